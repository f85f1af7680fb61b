"""How a version's bytes are encrypted and opened again: SSE-S3, SSE-KMS, SSE-C.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/serv-side-encryption.html
A request says how, else its bucket does, else S3's own keys. What was chosen stands in the row
(``Seal``); the bytes are sealed as ``segments`` says.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.s3 import customer_keys, faults, segments
from pileus.services.s3.customer_keys import CustomerKey
from pileus.services.s3.names import bucket_arn, object_arn
from pileus.services.s3.room import Bucket, Room
from pileus.services.s3.rows import AES256, CUSTOMER, KMS, Meta, Seal

METHOD = "x-amz-server-side-encryption"
KEY_ID = "x-amz-server-side-encryption-aws-kms-key-id"
CONTEXT = "x-amz-server-side-encryption-context"
BUCKET_KEY = "x-amz-server-side-encryption-bucket-key-enabled"
OF_WRITES = (METHOD, KEY_ID, CONTEXT, BUCKET_KEY)
OWN_KEY = "alias/aws/s3"
NO_CONTEXT: dict[str, str] = {}
_OWN = ((METHOD, AES256),)


@dataclass(slots=True)
class Sealer:
    """Encrypts one body. ``seal`` is what its row will tell; ``tag`` makes its ETag of its MD5
    where the MD5 must not be told."""

    seal: Seal
    secret: bytes
    tag: Any = None

    def cipher(self) -> AESGCM:
        return segments.cipher(self.secret, self.seal.salt)

    def etag(self, md5: bytes) -> str:
        return md5.hex() if self.tag is None else str(self.tag(md5))


@dataclass(frozen=True, slots=True)
class Wish:
    """How to encrypt: by the request, or by its bucket."""

    kind: str
    key_id: str = ""
    context: dict[str, str] | None = None
    bucket_key: bool = False
    customer: CustomerKey | None = None


# -- what is asked for -------------------------------------------------------------------------


def default_of(bucket: Bucket) -> Wish:
    """The bucket's default encryption."""
    told = bucket.settings.get("encryption")
    if not told:
        return Wish(AES256)
    rule = told["Rules"][0]
    apply = rule.get("ApplyServerSideEncryptionByDefault") or {"SSEAlgorithm": AES256}
    key_id = apply.get("KMSMasterKeyID") or ""
    return Wish(apply["SSEAlgorithm"], key_id, None, bool(rule.get("BucketKeyEnabled")))


def wish(call: Call, bucket: Bucket, headers: Mapping[str, str]) -> Wish:
    """What the headers of a write ask for; S3's errors where they contradict themselves."""
    method, key_id = headers.get(METHOD), headers.get(KEY_ID)
    if customer_keys.told(headers) and (method is not None or key_id is not None):
        raise faults.invalid_argument(
            "Server Side Encryption with Customer provided key is incompatible with the"
            " encryption method specified",
            METHOD,
            method or "",
        )
    customer = customer_keys.read(headers, call.request)
    if customer is not None:
        _check_blocked(bucket)
        return Wish(CUSTOMER, customer=customer)
    if method not in (None, AES256, KMS, "aws:kms:dsse"):
        raise faults.invalid_argument(
            "The encryption method specified is not supported", METHOD, method
        )
    if method == "aws:kms:dsse":
        raise faults.not_built(METHOD, method)
    if method != KMS and (key_id is not None or CONTEXT in headers):
        raise faults.invalid_argument(
            "Server Side Encryption with AWS KMS managed key requires HTTP header"
            " x-amz-server-side-encryption : aws:kms",
            METHOD,
            method or "null",
        )
    usual = default_of(bucket)
    if method is None:
        return usual
    if method == AES256:
        return Wish(AES256)
    told = headers.get(BUCKET_KEY)
    bucket_key = usual.bucket_key if told is None else told.lower() == "true"
    if key_id is None and usual.kind == KMS:
        key_id = usual.key_id
    return Wish(KMS, key_id or "", _context(headers.get(CONTEXT)), bucket_key)


def _check_blocked(bucket: Bucket) -> None:
    """``BlockedEncryptionTypes`` of the bucket's encryption."""
    for rule in (bucket.settings.get("encryption") or {}).get("Rules", []):
        if "SSE-C" in (rule.get("BlockedEncryptionTypes") or {}).get("EncryptionType", []):
            raise faults.access_denied(
                "Server Side Encryption with Customer provided keys is blocked by the bucket's"
                " encryption configuration"
            )


def _context(told: str | None) -> dict[str, str] | None:
    """The encryption context: base64 of a JSON object of strings."""
    if told is None:
        return None
    try:
        found = orjson.loads(base64.b64decode(told.encode("latin-1"), validate=True))
    except (binascii.Error, ValueError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise faults.invalid_argument(
            "The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8"
            " string holding JSON which represents a string-string map",
            CONTEXT,
            told,
        )
    return found


# -- writing -----------------------------------------------------------------------------------


async def for_write(
    room: Room, call: Call, bucket: Bucket, key: str, headers: Mapping[str, str]
) -> Sealer:
    """The encryption of a new version."""
    told = wish(call, bucket, headers)
    salt = room.clock.random_bytes(segments.SALT_BYTES)
    if told.kind == AES256:
        key_id = await room.keys.of_bucket(bucket)
        return Sealer(Seal(AES256, salt, key_id.encode()), room.keys.secret(key_id))
    if told.customer is not None:
        seal = Seal(CUSTOMER, salt, told.customer.check(salt))
        return Sealer(seal, told.customer.secret, room.keys.etag)
    context = dict(told.context or NO_CONTEXT)
    arn = bucket_arn(bucket.name) if told.bucket_key else object_arn(bucket.name, key)
    context.setdefault("aws:s3:arn", arn)
    how = {"KeyId": told.key_id or OWN_KEY, "KeySpec": "AES_256", "EncryptionContext": context}
    ask = partial(ask_kms, room, call, bucket, "GenerateDataKey", **how)
    if told.bucket_key:  # serves several objects, each under a key derived from it
        made = await room.kms.ask(call.principal, {**how, "Bucket": bucket.name}, ask)
    else:
        made = await ask()
    seal = Seal(KMS, salt, made["CiphertextBlob"], made["KeyId"], context, told.bucket_key)
    return Sealer(seal, made["Plaintext"], room.keys.etag)


def check_upload_key(whole: Seal, customer: CustomerKey | None, needed: bool = True) -> None:
    """The customer's key of a request on an upload, against the upload's. S3 words it so for
    uploads that took no such key, too: all are encrypted."""
    if (whole.kind == CUSTOMER and customer is None and needed) or (
        whole.kind != CUSTOMER and customer is not None
    ):
        raise faults.invalid_request(
            "The multipart upload initiate requested encryption. Subsequent part requests must"
            " include the appropriate encryption parameters."
        )
    if customer is not None and not customer.fits(whole):
        raise faults.invalid_request(
            "The provided encryption parameters did not match the ones used originally."
        )


async def for_part(
    room: Room, call: Call, bucket: Bucket, upload: Meta, headers: Mapping[str, str]
) -> Sealer | None:
    """The encryption of one part: its upload's, under a salt of its own. None for an upload that
    was begun before anything was encrypted."""
    whole = upload.seal
    customer = customer_keys.read(headers, call.request)
    if whole is None:
        return None
    check_upload_key(whole, customer)
    secrets = await unlock(room, call, bucket, whole, customer)
    own = whole.key if whole.kind == AES256 else b""
    seal = Seal(whole.kind, room.clock.random_bytes(segments.SALT_BYTES), own)
    return Sealer(seal, secrets.of(seal), None if whole.kind == AES256 else room.keys.etag)


def shares(source: Seal | None, sealer: Sealer | None) -> bool:
    """Whether a copy can name the source's blob: both are opened with S3's own keys."""
    if source is None or sealer is None:
        return source is None and sealer is None
    return source.kind == AES256 == sealer.seal.kind


# -- reading -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Secrets:
    """What opens a version: the secret all its bodies share, or (SSE-S3) that of each."""

    room: Room
    shared: bytes | None

    def of(self, seal: Seal) -> bytes:
        if self.shared is not None:
            return self.shared
        return self.room.keys.secret(seal.key.decode())

    def cipher(self, seal: Seal) -> AESGCM:
        return segments.cipher(self.of(seal), seal.salt)


def check_read(call: Call, meta: Meta, headers: Mapping[str, str]) -> CustomerKey | None:
    """What a read must tell: the customer's key where one was used, and nowhere else."""
    for name in OF_WRITES:
        if name in headers:
            raise faults.invalid_argument(
                f"{name} header is not supported for this operation.", name, headers[name]
            )
    return check_key(call, meta.seal, headers)


def check_key(
    call: Call, seal: Seal | None, headers: Mapping[str, str], prefix: str = ""
) -> CustomerKey | None:
    """The customer's key of a read or of a copy's source, if it is the right one."""
    wanted = seal is not None and seal.kind == CUSTOMER
    if not wanted and not customer_keys.told(headers, prefix):
        return None
    customer = customer_keys.read(headers, call.request, prefix)
    if not wanted:
        raise faults.invalid_request("The encryption parameters are not applicable to this object.")
    if customer is None:
        raise faults.invalid_request(
            "The object was stored using a form of Server Side Encryption. The correct parameters"
            " must be provided to retrieve the object."
        )
    assert seal is not None
    if not customer.fits(seal):
        raise customer_keys.another()
    return customer


def quick_unlock(room: Room, seal: Seal | None, customer: CustomerKey | None) -> Secrets | None:
    """What opens a version without asking the key service: all but SSE-KMS."""
    if seal is None or seal.kind == AES256:
        return Secrets(room, None)
    return Secrets(room, customer.secret) if customer is not None else None


async def unlock(
    room: Room, call: Call, bucket: Bucket, seal: Seal | None, customer: CustomerKey | None
) -> Secrets:
    """What opens a version; the caller must be allowed to use its KMS key."""
    quick = quick_unlock(room, seal, customer)
    if quick is not None:
        return quick
    assert seal is not None
    told = {"CiphertextBlob": seal.key, "EncryptionContext": seal.context, "KeyId": seal.kms}
    ask = partial(ask_kms, room, call, bucket, "Decrypt", **told)
    made = await room.kms.ask(call.principal, {**told, "Region": bucket.region}, ask)
    return Secrets(room, made["Plaintext"])


async def ask_kms(
    room: Room, call: Call, bucket: Bucket, operation: str, **params: Any
) -> dict[str, Any]:
    """The key service, asked as the caller through S3; its errors as S3 tells them."""
    through = {"kms:ViaService": f"s3.{bucket.region}.amazonaws.com"}
    try:
        return await room.dispatch(
            "kms",
            operation,
            params,
            principal=call.principal,
            region=bucket.region,
            context=through,
        )
    except AwsError as error:
        if error.code == "AccessDeniedException":
            raise faults.access_denied(error.message) from error
        raise AwsError(f"KMS.{error.code}", error.message, 400) from error


# -- what is told ------------------------------------------------------------------------------


def answer_headers(
    seal: Seal | None, headers: Mapping[str, str] = NO_CONTEXT
) -> Sequence[tuple[str, str]]:
    """Headers that tell how a version is encrypted; ``headers``: the request's."""
    if seal is None:
        return ()
    if seal.kind == AES256:
        return _OWN
    if seal.kind == CUSTOMER:
        told = headers.get(customer_keys.MD5)
        more = [(customer_keys.MD5, told)] if told is not None else []
        return [(customer_keys.ALGORITHM, AES256), *more]
    out = [(METHOD, KMS), (KEY_ID, seal.kms)]
    if seal.bucket_key:
        out.append((BUCKET_KEY, "true"))
    return out


_MEMBERS = {
    METHOD: "ServerSideEncryption",
    KEY_ID: "SSEKMSKeyId",
    BUCKET_KEY: "BucketKeyEnabled",
    customer_keys.ALGORITHM: "SSECustomerAlgorithm",
    customer_keys.MD5: "SSECustomerKeyMD5",
}


def members(seal: Seal | None, headers: Mapping[str, str] = NO_CONTEXT) -> dict[str, Any]:
    """The same as members of a model's output."""
    out: dict[str, Any] = {_MEMBERS[n]: v for n, v in answer_headers(seal, headers)}
    if "BucketKeyEnabled" in out:
        out["BucketKeyEnabled"] = True
    return out
