"""Plain requests for objects, as the door's short way asks for them (``PlainObjects``).

A bucket is plain for a caller when nothing but policies decides on its objects and none of its
settings changes an answer; an object, when its answer hangs on its row alone. What is not known to
be plain is not: a new kind of setting or a new member of ``Meta`` ends the short way by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import md5
from operator import attrgetter
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pileus.errors import AwsError, Unavailable
from pileus.services.call import (
    Access,
    FileBody,
    HttpRequest,
    HttpResponse,
    Principal,
    Submission,
)
from pileus.services.plain_objects import ReadPlain, StorePlain, Told
from pileus.services.s3 import checksums, encryption, rows, storage_classes
from pileus.services.s3.access import effective_policy
from pileus.services.s3.get_object import described
from pileus.services.s3.headers import DEFAULT_TYPE, kept
from pileus.services.s3.hot import HotBodies
from pileus.services.s3.ingest import Body, small
from pileus.services.s3.kept import KeptObjects
from pileus.services.s3.names import object_arn
from pileus.services.s3.reading import reopened
from pileus.services.s3.room import Bucket, Room
from pileus.services.s3.rows import AES256, INLINE_BYTES_MAX, Meta, Seal
from pileus.services.s3.segments import SALT_BYTES, Opened, cipher, open_small, seal_small
from pileus.state import keys

HEADS_MAX = 8192
HEAD_BYTES_MAX = 2048
KEY_CHARS_MAX = 1024
# Settings of a bucket that change no answer to a plain request (rules for origins count only
# where the request names one, a policy is judged by the door).
_HARMLESS = frozenset(
    {
        *("policy", "public-access-block", "ownership", "cors", "tagging", "website"),
        *("accelerate", "inventory"),
        "encryption",  # S3's own keys; any other way is not plain
    }
)
# What the short way knows of a version; all else must be as it is by default.
_KNOWN = frozenset(
    {
        *("etag", "size", "modified_ms", "headers", "owner", "blob", "order", "version"),
        *("checks", "check_type", "grants", "seal"),
    }
)
_ENCRYPTED = "x-amz-server-side-encryption: AES256\r\n"
_DEFAULT = Meta("", 0, 0, {})
_others = attrgetter(*(f for f in Meta.__struct_fields__ if f not in _KNOWN))
_NO_OTHERS = _others(_DEFAULT)
# Headers of which a write keeps nothing.
_NOT_KEPT = frozenset(
    {
        *("host", "authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"),
        *("accept", "accept-encoding", "accept-language", "user-agent", "x-amz-user-agent"),
        *("amz-sdk-invocation-id", "amz-sdk-request", "connection", "content-length", "expect"),
        *("content-type", "content-md5", "x-amz-sdk-checksum-algorithm", "x-amz-checksum-crc32"),
    }
)
# Header lines, blob, size, and what opens the bytes (None: they lie in the clear).
Described = tuple[bytes, str, int, AESGCM | None]
Entries = Callable[[str, bytes, str, dict[str, str], dict[str, str]], list[Any]]


@dataclass(frozen=True, slots=True)
class PlainBucket:
    """A bucket as one caller sees it; ``prefix`` is what the rows' keys of its objects start
    with, ``account`` who owns what this caller writes."""

    bucket: Bucket
    name: str
    prefix: bytes
    versioned: bool
    account: str
    policy: dict[str, Any] | None

    @property
    def labels(self) -> dict[str, str]:
        return self.bucket.labels

    def access(self, action: str) -> Access:
        """The permission for all objects of the bucket."""
        resource = object_arn(self.name, "")
        owner = self.bucket.owner
        if self.policy is None and owner == self.account:
            return Access(action, resource)
        return Access(action, resource, self.policy, owner)


class Plain:
    """See ``pileus.services.plain_objects.PlainObjects``."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._get = room.store.get
        self._open = room.blobs.open
        self._now_ms = room.clock.now_ms
        self._random = room.clock.random_bytes
        self._secret = room.keys.secret
        self._submit_soon = room.store.submit_soon
        self.changes = room.store.counter(rows.TABLE)
        self.bytes_max = INLINE_BYTES_MAX
        # By the description and what is told of it: versions (1), checksums (2).
        self._heads: dict[tuple[bytes, int], Described | None] = {}
        self._hot = HotBodies()
        self._kept = KeptObjects(self._get, room.store.stamp(rows.OBJECTS))

    def bucket(self, name: str, principal: Principal) -> PlainBucket | None:
        """The bucket as ``principal`` meets it; None where it is missing or not plain."""
        try:
            bucket = self._room.bucket(name)
        except AwsError:
            return None
        if bucket.acls or not _HARMLESS.issuperset(bucket.settings):
            return None
        if encryption.default_of(bucket).kind != AES256:
            return None
        prefix = keys.partition_prefix(rows.OBJECTS, name)
        policy = effective_policy(bucket, principal)
        versioned = bool(bucket.versioning)
        return PlainBucket(bucket, name, prefix, versioned, principal.account, policy)

    def get(self, bucket: PlainBucket, key: str, head: bool, checked: bool) -> HttpResponse | None:
        """The object whole. ``key`` holds no NUL."""
        value = self._get(b"%b%b\x00\x01" % (bucket.prefix, key.encode()))
        if value is None:
            return None
        end = 4 + int.from_bytes(value[:4], "big")
        told = (value[4:end], bucket.versioned + 2 * checked)
        try:
            known = self._heads[told]
        except KeyError:
            known = self._describe(*told)
        if known is None:
            return None
        lines, blob, size, opener = known
        if head:
            return HttpResponse(200, [("content-length", str(size))], b"", -1, lines)
        if opener is not None:
            if not blob:
                return HttpResponse(200, [], open_small(opener, value[end:]), -1, lines)
            hot = self._hot.get(blob)
            if hot is not None:
                return HttpResponse(200, [], hot, size, lines)
        elif not blob:
            return HttpResponse(200, [], value[end:], -1, lines)
        try:
            fd = self._open(blob)
        except FileNotFoundError:
            return None  # the usual way brings it here
        if opener is None:
            return HttpResponse(200, [], FileBody(fd, 0, size), size, lines)
        keep = partial(self._hot.keep, blob) if self._hot.wanted(blob, size) else None
        again = partial(reopened, self._room, blob)
        body = Opened(self._room.scratch, fd, opener, size, 0, size, keep, again)
        return HttpResponse(200, [], body, size, lines)

    def small(
        self, bucket: PlainBucket, key: bytes, checked: bool
    ) -> tuple[bytes, bytes | FileBody] | None:
        value = self._get(b"%b%b\x00\x01" % (bucket.prefix, key))
        if value is None:
            return None
        end = 4 + int.from_bytes(value[:4], "big")
        told = (value[4:end], bucket.versioned + 2 * checked)
        known = self._heads.get(told) or self._describe(*told)
        if known is None:
            return None
        lines, blob, _, opener = known
        if blob:
            hot = self._hot.get(blob) if opener is not None else None
            return None if hot is None else (lines, hot)
        body = value[end:]
        try:
            return lines, body if opener is None else open_small(opener, body)
        except Unavailable:
            return None  # the usual way says so

    def sized(self, bucket: PlainBucket, key: bytes, checked: bool) -> tuple[bytes, int] | None:
        value = self._get(b"%b%b\x00\x01" % (bucket.prefix, key))
        if value is None:
            return None
        told = (value[4 : 4 + int.from_bytes(value[:4], "big")], bucket.versioned + 2 * checked)
        known = self._heads.get(told) or self._describe(*told)
        return None if known is None else (known[0], known[2])

    def reading(
        self,
        bucket: PlainBucket,
        checked: bool,
        looks: bool,
        plain: Callable[[bytes], Any],
    ) -> ReadPlain:
        more = bucket.versioned + 2 * checked
        way = b"%d" % (more + 4 * looks) + bucket.prefix  # which ends itself

        def answered(value: bytes) -> tuple[bytes, bytes] | None:
            end = 4 + int.from_bytes(value[:4], "big")
            told = value[4:end], more
            known = self._heads.get(told) or self._describe(*told)
            if known is None:
                return None
            lines, blob, size, opener = known
            body = b""
            if not looks:
                if blob:
                    return None
                body = value[end:]
                try:
                    body = body if opener is None else open_small(opener, body)
                except Unavailable:
                    return None  # the usual way says so
            text = b"%bcontent-length: %d\r\n\r\n%b" % (lines, size, body)
            return text, b"" if opener is None else value[:end]

        return self._kept.reading(way, bucket.prefix, answered, plain)

    def _describe(self, packed: bytes, more: int) -> Described | None:
        """The header lines of a version; None when it is not plain."""
        meta = rows.unpack_meta(packed)
        plain = _others(meta) == _NO_OTHERS
        plain = plain and storage_classes.of(meta) not in storage_classes.ARCHIVES
        found: Described | None = None
        seal = meta.seal
        plain = plain and (seal is None or seal.kind == AES256)
        if plain and (not meta.blob or meta.size):
            told = described(meta, bool(more & 1))
            if more & 2:
                told += checksums.answer_headers(meta.checks, meta.check_type)
            text = "".join(map("%s: %s\r\n".__mod__, told))
            if text.count("\n") == text.count("\r") == text.count("\r\n"):
                try:
                    secret = None if seal is None else self._secret(seal.key.decode())
                except Unavailable:
                    return None  # the usual way says so
                key = None if seal is None or secret is None else cipher(secret, seal.salt)
                found = (_encoded(text), meta.blob, meta.size, key)
        if len(packed) <= HEAD_BYTES_MAX:  # clients choose the text
            if len(self._heads) >= HEADS_MAX:
                self._heads.clear()
            self._heads[packed, more] = found
        return found

    def put(
        self,
        bucket: PlainBucket,
        key: str,
        request: HttpRequest,
        principal: Principal,
        invocation_id: bytes,
    ) -> Submission | None:
        """Store a small body; None also where a header is wrong: the usual way says how."""
        data, headers = request.body, request.headers
        if len(data) > self.bytes_max or len(key) > KEY_CHARS_MAX or not bucket.bucket.data_key:
            return None
        try:
            if _NOT_KEPT.issuperset(headers):
                told = {"content-type": headers.get("content-type") or DEFAULT_TYPE}
            else:
                told = kept(headers)
            body = small(headers, data)
        except AwsError:
            return None
        return self._stored(bucket, key, body, told, invocation_id)

    def _stored(
        self, bucket: PlainBucket, key: str, body: Body, told: dict[str, str], invocation_id: bytes
    ) -> Submission:
        checks = body.checks or {}
        args = self._entries(bucket.bucket)(key, body.data, body.etag, checks, told)
        text = f'etag: "{body.etag}"\r\n{_ENCRYPTED}{checksums.answer_lines(checks)}'
        lines = text.encode()

        def answer(version: str | None) -> HttpResponse:
            told = "" if version is None else f"x-amz-version-id: {version}\r\n"
            return HttpResponse(200, [], b"", -1, lines + told.encode())

        return Submission(self._room.store, "s3.put", args, invocation_id, answer)

    def told(self, headers: dict[str, str]) -> Told | None:
        if "content-md5" in headers or "x-amz-trailer" in headers:
            return None
        try:
            return Told(kept(headers), checksums.algorithm_of(headers))
        except AwsError:
            return None

    def storing(self, bucket: PlainBucket, told: Told) -> StorePlain | None:
        if not bucket.bucket.data_key:
            return None
        try:
            entry = self._entries(bucket.bucket)
        except Unavailable:
            return None  # its key is lost: the usual way says so
        algorithm = told.algorithm or checksums.DEFAULT
        summed, headers, submit = checksums.text_of(algorithm), told.kept, self._submit_soon
        tail = checksums.answer_lines({algorithm: "%b"})
        form = f'etag: "%b"\r\n{_ENCRYPTED}{tail}'.encode()

        def store(
            key: str,
            data: bytes,
            check: bytes,
            invocation_id: bytes,
            done: Callable[[Any, Exception | None], None],
        ) -> bytes | None:
            found = summed(data)
            if (check and check != found) or len(key) > KEY_CHARS_MAX:
                return None
            etag = md5(data, usedforsecurity=False).hexdigest()
            args = entry(key, data, etag, {algorithm: found.decode()}, headers)
            submit("s3.put", args, invocation_id, done)
            return form % (etag.encode(), found)

        return store

    def _entries(self, bucket: Bucket) -> Entries:
        """Makes the arguments of entries that store small bodies in ``bucket``, which has a key: of
        an object's key, its bytes, their ETag and checksums, and the headers to keep."""
        name, owner, key_id = bucket.name, bucket.owner, bucket.data_key
        secret, told_id = self._secret(key_id), key_id.encode()
        random_bytes, now_ms, pack = self._random, self._now_ms, rows.pack_meta

        def entry(
            key: str, data: bytes, etag: str, checks: dict[str, str], told: dict[str, str]
        ) -> list[Any]:
            random = random_bytes(16 + SALT_BYTES)
            salt = random[16:]
            sealed = seal_small(cipher(secret, salt), data)
            seal = Seal(AES256, salt, told_id)
            meta = Meta(etag, len(data), now_ms(), told, owner, checks=checks, seal=seal)
            return [name, key, pack(meta), sealed, {}, random[:16], []]

        return entry


def _encoded(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()
