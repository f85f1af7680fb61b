"""Random S3 operations beside a plain model: for each key its versions, newest first."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from pileus.errors import AwsError
from tests.simulation.machines import Machine
from tests.simulation.promises import require

KEYS = ("a", "a/b", "a/c", "a/d/e", "a!", "b", "b/", "ä/ö", "𝄞", "\ufb00x", "z z+%41")
SIZES = (0, 1, 100, 16_384, 16_385, 40_000)


@dataclass(eq=False)
class Version:
    """One version. ``id`` is "null" for the one made without versioning."""

    id: str
    body: bytes = b""
    told: str = ""  # the metadata header
    marker: bool = False
    etag: str = ""

    def __post_init__(self) -> None:
        self.etag = self.etag or hashlib.md5(self.body).hexdigest()


@dataclass
class Upload:
    key: str
    id: str
    parts: dict[int, bytes] = field(default_factory=dict)


class Buckets:
    """One caller with a bucket of its own."""

    def __init__(self, machine: Machine, rng: random.Random, name: str) -> None:
        self.machine = machine
        self.rng = rng
        self.name = name
        self.versioning = ""
        self.versions: dict[str, list[Version]] = {}
        self.uploads: list[Upload] = []
        self.done = 0

    async def object(
        self, operation: str, key: str, **told: Any
    ) -> tuple[int, dict[str, str], bytes]:
        answer = await self.machine.call(
            lambda desk, id: desk.object(operation, id, self.name, key, **told)
        )
        return answer[0], answer[1], answer[2]

    async def bucket(self, operation: str, **params: Any) -> Any:
        return await self.machine.call(
            lambda desk, id: desk.bucket(operation, id, Bucket=self.name, **params)
        )

    async def refusal(self, work: Awaitable[Any]) -> tuple[str, Any]:
        """(the error's code or '', the answer)."""
        try:
            return "", await work
        except AwsError as error:
            return error.code, None

    async def begin(self) -> None:
        await self.bucket("CreateBucket")

    # -- the model -----------------------------------------------------------------------------

    def current(self, key: str) -> Version | None:
        """The newest version, unless it is a delete marker."""
        found = self.versions.get(key)
        return found[0] if found and not found[0].marker else None

    def place(self, key: str, version: Version) -> None:
        """Put on top; a null version takes an older one's place."""
        there = self.versions.setdefault(key, [])
        if version.id == "null":
            there[:] = [v for v in there if v.id != "null"]
        there.insert(0, version)

    def remove(self, key: str, version: Version) -> None:
        self.versions[key].remove(version)
        if not self.versions[key]:
            del self.versions[key]

    def check_id(self, headers: dict[str, str]) -> str:
        told = headers.get("x-amz-version-id")
        if self.versioning == "Enabled":
            known = {v.id for vs in self.versions.values() for v in vs}
            require(told not in (None, "null") and told not in known, f"version id {told}")
            return str(told)
        require(told in (None, "null"), f"version id {told} while {self.versioning!r}")
        return "null"

    # -- operations ----------------------------------------------------------------------------

    async def step(self) -> None:
        steps: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (6, self._put), (4, self._delete), (3, self._delete_version), (1, self._delete_many),
            (2, self._copy), (4, self._get), (1, self._set_versioning), (3, self._multipart),
        ]  # fmt: skip
        await self.rng.choices([s for _, s in steps], [w for w, _ in steps])[0]()
        self.done += 1

    def _body(self) -> bytes:
        return self.rng.randbytes(self.rng.choice(SIZES))

    def _condition(self, key: str) -> tuple[dict[str, str], str]:
        """Headers of a conditional write and the error it must meet."""
        old, kind = self.current(key), self.rng.random()
        if kind < 0.15:
            return {"if-none-match": "*"}, "PreconditionFailed" if old else ""
        if kind < 0.3:
            etag = old.etag if old and self.rng.random() < 0.7 else "0" * 32
            wrong = "NoSuchKey" if old is None else "PreconditionFailed" if old.etag != etag else ""
            return {"if-match": f'"{etag}"'}, wrong
        return {}, ""

    async def _put(self) -> None:
        key, body, told = self.rng.choice(KEYS), self._body(), str(self.rng.random())
        headers, wanted = self._condition(key)
        headers["x-amz-meta-told"] = told
        code, answer = await self.refusal(self.object("PutObject", key, headers=headers, body=body))
        require(code == wanted, f"put {key} {headers}: {code!r}, not {wanted!r}")
        if not code:
            self.place(key, Version(self.check_id(answer[1]), body, told))

    async def _delete(self) -> None:
        key = self.rng.choice(KEYS)
        _, headers, _ = await self.object("DeleteObject", key)
        self._deleted(key, headers)

    def _deleted(self, key: str, headers: dict[str, str]) -> None:
        if not self.versioning:
            self.versions.pop(key, None)
            return
        require(headers.get("x-amz-delete-marker") == "true", f"no marker for {key}: {headers}")
        self.place(key, Version(self.check_id(headers), marker=True))

    async def _delete_version(self) -> None:
        key = self.rng.choice(sorted(self.versions) or list(KEYS))
        there = self.versions.get(key, [])
        version = self.rng.choice(there) if there else Version("null")
        await self.object("DeleteObject", key, query={"versionId": version.id})
        if version in there:
            self.remove(key, version)

    async def _delete_many(self) -> None:
        keys = self.rng.sample(KEYS, 3)
        answer = await self.bucket("DeleteObjects", Delete={"Objects": [{"Key": k} for k in keys]})
        require(not answer["Errors"], f"delete {keys}: {answer}")
        for told in answer["Deleted"]:
            marker = told.get("DeleteMarkerVersionId")
            headers = {"x-amz-delete-marker": "true"} if told.get("DeleteMarker") else {}
            self._deleted(told["Key"], headers | ({"x-amz-version-id": marker} if marker else {}))

    async def _copy(self) -> None:
        key, to = self.rng.choice(sorted(self.versions) or list(KEYS)), self.rng.choice(KEYS)
        source = self.rng.choice(self.versions.get(key) or [Version("null")])
        asked = f"{self.name}/{quote(key)}"
        if self.rng.random() < 0.5:
            asked += f"?versionId={source.id}"
        else:
            source = self.current(key) or Version("", marker=True)
        replaced = {"MetadataDirective": "REPLACE", "Metadata": {"told": "copy"}}
        more = replaced if key == to or self.rng.random() < 0.3 else {}
        params = {"Key": to, "CopySource": asked, **more}
        code, answer = await self.refusal(self.bucket("CopyObject", **params))
        if source.marker or key not in self.versions:
            require(code != "", f"copy of nothing: {params}")
            return
        require(code == "", f"copy {params}: {code}")
        told = answer["VersionId"]
        made = self.check_id({"x-amz-version-id": told} if told else {})
        etag = answer["CopyObjectResult"]["ETag"].strip('"')
        self.place(to, Version(made, source.body, "copy" if more else source.told, etag=etag))

    async def _get(self) -> None:
        key = self.rng.choice(KEYS)
        found = self.current(key)
        query: dict[str, str] = {}
        there = self.versions.get(key)
        if there and self.rng.random() < 0.5:
            found = self.rng.choice(there)
            query = {"versionId": found.id}
        await self.check_object(key, found, query)

    async def check_object(self, key: str, found: Version | None, query: dict[str, str]) -> None:
        headers: dict[str, str] = {}
        body = found.body if found else b""
        if len(body) > 10 and self.rng.random() < 0.5:
            first = self.rng.randrange(len(body))
            last = self.rng.randrange(first, len(body))
            headers, body = {"range": f"bytes={first}-{last}"}, body[first : last + 1]
        code, answer = await self.refusal(
            self.object("GetObject", key, query=query, headers=headers)
        )
        if found is None or found.marker:
            wanted = "MethodNotAllowed" if found else "NoSuchKey"
            require(code == wanted, f"get {key} {query}: {code!r}, not {wanted}")
            return
        require(code == "", f"get {key} {query}: {code}")
        _, told, got = answer
        require(got == body, f"get {key} {query} {headers}: {len(got)} other bytes")
        require(told["etag"] == f'"{found.etag}"', f"etag of {key}: {told['etag']}")
        require(told.get("x-amz-meta-told", "") == found.told, f"metadata of {key}: {told}")

    async def _set_versioning(self) -> None:
        self.versioning = self.rng.choice(("Enabled", "Enabled", "Suspended"))
        told = {"Status": self.versioning}
        await self.bucket("PutBucketVersioning", VersioningConfiguration=told)

    async def _multipart(self) -> None:
        if not self.uploads or self.rng.random() < 0.3:
            key = self.rng.choice(KEYS)
            answer = await self.bucket("CreateMultipartUpload", Key=key, Metadata={"told": "parts"})
            self.uploads.append(Upload(key, answer["UploadId"]))
            return
        upload = self.rng.choice(self.uploads)
        if not upload.parts or self.rng.random() < 0.5:
            number, body = self.rng.randint(1, 3), self._body()
            query = {"uploadId": upload.id, "partNumber": str(number)}
            await self.object("UploadPart", upload.key, query=query, body=body)
            upload.parts[number] = body
            return
        self.uploads.remove(upload)
        if self.rng.random() < 0.3:
            await self.bucket("AbortMultipartUpload", Key=upload.key, UploadId=upload.id)
            return
        await self._complete(upload)

    async def _complete(self, upload: Upload) -> None:
        """With one of the parts: more would have to be 5 MiB each."""
        number = self.rng.choice(sorted(upload.parts))
        body = upload.parts[number]
        digest = hashlib.md5(body)
        answer = await self.bucket(
            "CompleteMultipartUpload",
            Key=upload.key,
            UploadId=upload.id,
            MultipartUpload={"Parts": [{"PartNumber": number, "ETag": digest.hexdigest()}]},
        )
        etag = hashlib.md5(digest.digest()).hexdigest() + "-1"
        require(answer["ETag"] == f'"{etag}"', f"etag {answer['ETag']} of one part")
        told = answer["VersionId"]
        made = self.check_id({"x-amz-version-id": told} if told else {})
        self.place(upload.key, Version(made, body, "parts", etag=etag))
