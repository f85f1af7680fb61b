"""Code zips: from the request or a bucket, checked, kept as blobs, given out by signed address.

https://docs.aws.amazon.com/lambda/latest/api/API_FunctionCode.html
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import Any

from pileus.errors import AwsError
from pileus.runtime.function import UNZIPPED_BYTES_MAX
from pileus.runtime.unpack import inspect
from pileus.services import from_bucket
from pileus.services.call import Call
from pileus.services.lambda_ import rows
from pileus.services.lambda_.names import USER, invalid
from pileus.services.lambda_.room import Room
from pileus.state import keys
from pileus.state.draft import Draft
from pileus.state.store import Store

ZIP_BYTES_MAX = 50 * 1024 * 1024  # in the request
BUCKET_ZIP_BYTES_MAX = 250 * 1024 * 1024
LOCATION_SECONDS = 600

Code = dict[str, Any]  # {"digest": hex SHA-256, "size": bytes, "unzipped": bytes}


async def take(room: Room, call: Call, source: dict[str, Any]) -> Code:
    """Store the zip that ``source`` gives (``ZipFile`` or ``S3Bucket`` and ``S3Key``). Nobody
    names the blob until the caller's row does; a refused one is collected."""
    data = source.get("ZipFile")
    if data is not None:
        digest, size = await _from_request(room, data)
    elif source.get("S3Bucket") and source.get("S3Key"):
        digest, size = await _from_bucket(room, call, source)
    else:
        raise invalid("Please provide a source for function code.")
    unzipped = await asyncio.to_thread(inspect, room.blobs.path(digest), UNZIPPED_BYTES_MAX)
    return {"digest": digest, "size": size, "unzipped": unzipped}


async def _from_request(room: Room, data: bytes) -> tuple[str, int]:
    if len(data) > ZIP_BYTES_MAX:
        raise AwsError(
            "RequestEntityTooLargeException",
            f"Zipped size must be smaller than {ZIP_BYTES_MAX} bytes",
            413,
        )
    if not data:
        raise invalid("Uploaded file must be a non-empty zip")
    return await room.blobs.put(data), len(data)


async def _from_bucket(room: Room, call: Call, source: dict[str, Any]) -> tuple[str, int]:
    """The object, read with the caller's own permission, a piece at a time."""
    params = from_bucket.wanted(source)
    try:
        pieces = await from_bucket.opened(room.dispatch, call, params)
    except AwsError as error:
        raise _bucket_error(error, params) from error
    refusal = invalid(f"Unzipped size must be smaller than {UNZIPPED_BYTES_MAX} bytes")
    return await from_bucket.kept(room.blobs, pieces, BUCKET_ZIP_BYTES_MAX, refusal)


def _bucket_error(error: AwsError, params: dict[str, str]) -> AwsError:
    told = f"S3 Error Code: {error.code}. S3 Error Message: {error.message}"
    if error.status != 403:
        return invalid(f"Error occurred while GetObject. {told}")
    return AwsError(
        "AccessDeniedException",
        "Your access has been denied by S3, please make sure your request credentials have"
        f" permission to GetObject for {params['Bucket']}/{params['Key']}. {told}",
        403,
        fields=USER,
    )


# -- where a client may fetch it ---------------------------------------------------------------


async def location(room: Room, call: Call, digest: str) -> str:
    """An address of the zip, valid for ten minutes without further credentials."""
    expires = room.clock.now_ms() // 1000 + LOCATION_SECONDS
    signature = _sign(await _signing_key(room), digest, expires)
    host = call.request.headers.get("host") if call.request else None
    base = f"http://{host or f'127.0.0.1:{room.config.port}'}"
    return f"{base}/_lambda/code/{digest}?Expires={expires}&Signature={signature}"


def location_holds(store: Store, now_ms: int, digest: str, expires: str, signature: str) -> bool:
    """Whether such an address was signed here and is still valid."""
    secret = store.get(_KEY)
    if secret is None or not expires.isdigit():
        return False
    expected = _sign(secret, digest, int(expires))
    fresh = now_ms // 1000 <= int(expires)
    return fresh and hmac.compare_digest(expected, signature)


_KEY = keys.key(rows.TABLE, "keys", "location")


def _sign(secret: bytes, digest: str, expires: int) -> str:
    return hmac.new(secret, f"{digest}/{expires}".encode(), hashlib.sha256).hexdigest()


async def _signing_key(room: Room) -> bytes:
    found = room.store.get(_KEY)
    if found is not None:
        return found
    fresh = room.clock.random_bytes(32)

    def change(draft: Draft) -> bytes:
        kept = draft.get(_KEY)
        if kept is None:
            draft.put(_KEY, fresh)
        return kept or fresh

    return await room.store.transact(change)
