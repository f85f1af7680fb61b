"""A bucket as an export or an import sees it: through the bucket service, as the caller.

What the bucket refuses ends the job, with the bucket's code (``S3NoSuchBucket``) as its reason;
what it cannot do now is tried again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from pileus.errors import AwsError, Unavailable
from pileus.services.call import Principal
from pileus.services.dynamodb.copying.jobs import Failed
from pileus.services.inside import body_of

FAULTY = 500


class Bucket:
    """``work``: a job's, with its ``caller`` and ``region``. ``owner``: whose the bucket must be
    ("": anybody's)."""

    def __init__(self, room: Any, work: dict[str, Any], name: str, owner: str = "") -> None:
        self._room = room
        self._principal = Principal.restore(work["caller"])
        self._region = work["region"]
        self._base: dict[str, Any] = {"Bucket": name}
        if owner:
            self._base["ExpectedBucketOwner"] = owner
        self.name = name

    async def _ask(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = await self._room.parts.dispatch(
                "s3",
                operation,
                self._base | params,
                principal=self._principal,
                region=self._region,
            )
        except AwsError as error:
            if error.status >= FAULTY:
                raise Unavailable(f"the bucket {self.name}: {error.message}", "") from error
            raise Failed(f"S3{error.code}", error.message) from error
        return answer

    async def put(self, key: str, data: bytes, **more: Any) -> str:
        """Write an object; answers its entity tag."""
        answer = await self._ask("PutObject", {"Key": key, "Body": data, **more})
        return str(answer["ETag"]).strip('"')

    async def objects(self, prefix: str) -> AsyncIterator[tuple[str, int]]:
        """(key, size) of all objects whose keys begin so, in order."""
        params: dict[str, Any] = {"Prefix": prefix} if prefix else {}
        while True:
            answer = await self._ask("ListObjectsV2", params)
            for found in answer.get("Contents", ()):
                yield found["Key"], found["Size"]
            if not answer.get("IsTruncated"):
                return
            params["ContinuationToken"] = answer["NextContinuationToken"]

    async def read(self, key: str) -> AsyncGenerator[bytes, None]:
        """An object's bytes, some at a time."""
        answer = await self._ask("GetObject", {"Key": key})
        body, _ = await body_of(answer["Body"], -1)
        if isinstance(body, bytes):
            yield body
            return
        async for piece in body:
            yield bytes(piece)
