"""A bucket service of a few lines, as ``Parts.dispatch`` shows it: objects in a dict."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Principal


class Shelf:
    """Give it to a desk's parts as ``dispatch``. ``calls`` holds who asked for what."""

    def __init__(self, *buckets: str) -> None:
        self.objects: dict[str, dict[str, bytes]] = {name: {} for name in buckets}
        self.calls: list[tuple[str, str, Principal]] = []
        self.fail_after = 10**9
        self.failed = asyncio.Event()
        self.lines: list[str] = []

    async def __call__(
        self,
        service: str,
        operation: str,
        params: dict[str, Any],
        *,
        principal: Principal,
        **more: Any,
    ) -> dict[str, Any]:
        self.calls.append((service, operation, principal))
        if service == "logs":
            self.lines += [e["message"] for e in params.get("logEvents", ())]
            return {}
        self.fail_after -= 1
        if self.fail_after < 0:
            self.failed.set()
            raise AwsError("InternalError", "the disk is full", 500)
        if params["Bucket"] not in self.objects:
            raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
        held = self.objects[params["Bucket"]]
        if operation == "PutObject":
            held[params["Key"]] = params["Body"]
            return {"ETag": f'"{hashlib.md5(params["Body"]).hexdigest()}"'}
        if operation == "GetObject":
            return {"Body": held[params["Key"]]}
        return _page(held, params)


def _page(held: dict[str, bytes], params: dict[str, Any]) -> dict[str, Any]:
    """ListObjectsV2, two at a time."""
    found = sorted(k for k in held if k.startswith(params.get("Prefix", "")))
    rest = [k for k in found if k > params.get("ContinuationToken", "")]
    told = [{"Key": k, "Size": len(held[k])} for k in rest[:2]]
    more = {"NextContinuationToken": rest[1]} if len(rest) > 2 else {}
    return {"Contents": told, "IsTruncated": len(rest) > 2, **more}
