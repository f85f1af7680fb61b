"""The short way of small requests for S3's objects: from the headers to the answer at once.

Most requests of a store of objects are alike: GET, HEAD or PUT of a plain key, signed in the
header, with none of the headers that change an answer, in a bucket whose permissions treat all its
objects alike. These are answered here, with what the door found out once per key and bucket. For
anything else the answer is None and the door goes its usual way from the start, so nothing is
accepted here that it would refuse, and every refusal is worded there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from math import inf
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import (
    Authorizer,
    Directory,
    HttpRequest,
    HttpResponse,
    Submission,
)
from pileus.services.plain_objects import PlainBucket, PlainObjects
from pileus.telemetry import Meters
from pileus.wire.canonical import EMPTY_SHA256, SigningKey
from pileus.wire.claims import Claim, loose
from pileus.wire.hosts import bucket_of_host
from pileus.wire.retries import object_of, write_id
from pileus.wire.router import Router
from pileus.wire.sigv4 import Verifier

SKEW_MS = 300_000
KEPT_MAX = 4096
MOMENTS_MAX = 32
GET, PUT = 1, 2
UNSIGNED = "UNSIGNED-PAYLOAD"
_METHODS = {"GET": GET, "HEAD": GET, "PUT": PUT}
_HINTS = {"GET": "x-id=GetObject", "HEAD": "x-id=HeadObject", "PUT": "x-id=PutObject"}
_OPERATIONS = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject"}
_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*){1,64}\Z")
# Headers that leave the answer as it is.
_EITHER = frozenset(
    {
        *("host", "authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"),
        *("accept", "accept-encoding", "accept-language", "user-agent", "x-amz-user-agent"),
        *("amz-sdk-invocation-id", "amz-sdk-request", "x-amzn-trace-id", "connection"),
        *("content-length", "content-type", "cache-control", "pragma", "date", "expect"),
    }
)
# Headers of a read of which the service is told.
_OF_GET = frozenset({"x-amz-checksum-mode"})
# Headers of a write that the service reads for itself.
_OF_PUT = frozenset(
    {
        *("content-md5", "x-amz-sdk-checksum-algorithm", "x-amz-checksum-crc32"),
        *("x-amz-checksum-crc32c", "x-amz-checksum-crc64nvme", "x-amz-checksum-sha1"),
        *("x-amz-checksum-sha256", "content-language", "content-disposition", "expires"),
    }
)
_NEEDED = ("host", "authorization", "x-amz-date", "x-amz-content-sha256")


Moment = tuple[int, Any]
Learn = Callable[[HttpRequest, "Signer", Moment, tuple[str, str], "Verdict"], None]


class Signer:
    """What all requests under one text of ``Authorization`` (but its signature) share."""

    __slots__ = (
        *("access_key_id", "date", "form", "inner", "moments", "outer", "scope"),
        *("secret", "shapes", "signed", "values"),
    )

    def __init__(self, claim: Claim, key: SigningKey) -> None:
        self.access_key_id = claim.access_key_id
        self.secret = claim.secret
        self.date = claim.date
        self.scope = claim.scope
        self.signed = claim.signed
        self.values = claim.values
        self.inner, self.outer = key.halves()
        # The canonical request, to be filled with method, path, query, values and body hash.
        lines = "".join(f"{name}:%s\n" for name in claim.signed)
        self.form = f"%s\n%s\n%s\n{lines}\n{claim.signed_text}\n%s"
        self.shapes: dict[tuple[str, ...], int] = {}
        self.moments: dict[str, Moment] = {}

    def moment(self, date: str, at_ms: int) -> Moment:
        """The time of a date and the HMAC's state after all lines but the request's hash."""
        state = self.inner.copy()
        state.update(f"AWS4-HMAC-SHA256\n{date}\n{self.scope}\n".encode())
        if len(self.moments) >= MOMENTS_MAX:
            self.moments.clear()
        self.moments[date] = told = (at_ms, state)
        return told

    def shape(self, names: tuple[str, ...]) -> int:
        """For which methods (GET, PUT bits) these headers change nothing."""
        given = frozenset(names)
        found = 0
        if given.issuperset(_NEEDED + self.signed) and not loose(names, self.signed):
            told = {name for name in given - _OF_PUT if not name.startswith("x-amz-meta-")}
            found = (GET if given - _OF_GET <= _EITHER else 0) | (PUT if told <= _EITHER else 0)
        if len(self.shapes) >= MOMENTS_MAX:
            self.shapes.clear()
        self.shapes[names] = found
        return found


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a caller may do to all objects of a bucket (GET, PUT bits), as of two generations."""

    identities: int
    buckets: int
    may: int
    secret: str
    expires_ms: float
    principal: Any
    bucket: Any
    meters: dict[str, int]


class ShortWay:
    """``answer`` for S3's door. ``objects`` is what the service offers for it."""

    def __init__(
        self,
        objects: PlainObjects,
        router: Router,
        verifier: Verifier,
        directory: Directory,
        authorizer: Authorizer,
        now_ms: Callable[[], int],
        meters: Meters,
    ) -> None:
        self._meters = meters
        self._objects = objects
        self._router = router
        self._verifier = verifier
        self._directory = directory
        self._authorizer = authorizer
        self.now_ms = now_ms
        self._bytes_max = objects.bytes_max
        self._bucket_changes = objects.changes
        self.identity_changes = authorizer.changes
        self._places: dict[tuple[str, str], tuple[str, str]] = {}
        self._signers: dict[str, Signer] = {}
        self._verdicts: dict[tuple[str, str | None, str], Verdict] = {}
        self.learn: Learn = _forget
        self._busy = ""  # the date of the last request

    def answer(self, request: HttpRequest) -> HttpResponse | Submission | None:
        """The answer, its request ids aside; None: go the usual way."""
        headers, method = request.headers, request.method
        text = headers.get("authorization", "")
        signer = self._signers.get(text[:-64]) or self._learn(text)
        if signer is None or request.stream is not None:
            return None
        names = tuple(headers)
        shape = signer.shapes.get(names)
        wish = (signer.shape(names) if shape is None else shape) & _METHODS.get(method, 0)
        if not wish or (request.query and request.query != _HINTS[method]):
            return None
        place = self._places.get((headers["host"], request.path)) or self._place(request)
        if place is None:
            return None
        # The signature, its time and the body's hash.
        date, told, body = headers["x-amz-date"], headers["x-amz-content-sha256"], request.body
        if body and len(body) > self._bytes_max:  # it is hashed where it is taken
            return None
        moment = signer.moments.get(date) or self._moment(signer, date)
        now_ms = self.now_ms()
        if moment is None or not -SKEW_MS <= now_ms - moment[0] <= SKEW_MS:
            return None
        if told != (sha256(body).hexdigest() if body else EMPTY_SHA256) and told != UNSIGNED:
            return None
        line = signer.form % (method, request.path, request.query, *signer.values(headers), told)
        inner = moment[1].copy()
        inner.update(sha256(line.encode("latin-1")).hexdigest().encode())
        outer = signer.outer.copy()
        outer.update(inner.digest())
        if not (text.isascii() and compare_digest(outer.hexdigest(), text[-64:])):
            return None
        # The caller and what it may do.
        who = (signer.access_key_id, headers.get("x-amz-security-token"), place[0])
        verdict = self._verdicts.get(who)
        if (
            verdict is None
            or verdict.buckets != self._bucket_changes()
            or verdict.identities != self.identity_changes()
        ):
            verdict = self.judge(*who)
        if verdict is None or not verdict.may & wish or verdict.expires_ms <= now_ms:
            return None
        if verdict.secret != signer.secret:  # it was rotated: learn the new one
            self._signers.clear()
            return None
        request.meter = verdict.meters[method]
        if date == self._busy:  # more than one in this second: its like will come again
            self.learn(request, signer, moment, place, verdict)
        self._busy = date
        if wish == PUT:
            retry, caller = headers.get("amz-sdk-invocation-id"), verdict.principal
            of = object_of(*place, told)
            id_ = b"" if retry is None else write_id(retry, caller.arn, "PutObject", of)
            return self._objects.put(verdict.bucket, place[1], request, caller, id_)
        checked = headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
        return self._objects.get(verdict.bucket, place[1], method == "HEAD", checked)

    # --- what is found out once --------------------------------------------------------------
    def _learn(self, text: str) -> Signer | None:
        """The signer of a header whose like was verified before on the usual way."""
        claim = self._verifier.known(text[:-74])
        if claim is None or claim.key is None or claim.service != "s3":
            return None
        if text[-74:-64] != "Signature=" or not text.isascii() or len(claim.signed) < 2:
            return None
        if len(self._signers) >= KEPT_MAX:
            self._signers.clear()
        signer = self._signers[text[:-64]] = Signer(claim, claim.key)
        return signer

    def _moment(self, signer: Signer, date: str) -> Moment | None:
        if date[:8] != signer.date:
            return None
        try:
            at_s = self._verifier.seconds(date, "s3")
        except AwsError:
            return None
        return signer.moment(date, at_s * 1000)

    def _place(self, request: HttpRequest) -> tuple[str, str] | None:
        """Bucket and key of a path that is its own canonical form."""
        host, path = request.headers["host"], request.path
        if not _PLAIN_PATH.match(path) or path[:2] == "/_" or not self._router.is_api(host):
            return None
        bucket = bucket_of_host(host)
        if not bucket:
            bucket, _, key = path[1:].partition("/")
        else:
            key = path[1:]
        if not key:
            return None
        if len(self._places) >= KEPT_MAX:
            self._places.clear()
        self._places[host, path] = place = (bucket, key)
        return place

    def _block(self, bucket: PlainBucket, operation: str) -> int:
        labels = {"service": "s3", "operation": operation, **bucket.labels}
        return self._meters.requests("pileus_request", **labels)

    def judge(self, key_id: str, token: str | None, name: str) -> Verdict | None:
        """Look the caller and the bucket up again. None where not all objects are alike to it."""
        identities, buckets = self.identity_changes(), self._bucket_changes()
        held = self._directory.lookup(key_id, token)
        bucket = self._objects.bucket(name, held.principal) if held is not None else None
        if held is None or bucket is None:
            return None
        may = sum(
            bit
            for bit, action in ((GET, "s3:GetObject"), (PUT, "s3:PutObject"))
            if self._authorizer.allows_all(held.principal, bucket.access(action))
        )
        if len(self._verdicts) >= KEPT_MAX:
            self._verdicts.clear()
        expires_ms = inf if held.expires_ms is None else held.expires_ms
        verdict = Verdict(
            identities,
            buckets,
            may,
            held.secret,
            expires_ms,
            held.principal,
            bucket,
            {m: self._block(bucket, operation) for m, operation in _OPERATIONS.items()},
        )
        self._verdicts[key_id, token, name] = verdict
        return verdict


def _forget(
    request: HttpRequest, signer: Signer, moment: Moment, place: tuple[str, str], verdict: Verdict
) -> None:
    """Nobody recognises heads."""
