"""Versions in depth: null versions, markers, pages of any size over any keys (B2)."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tests.services.s3.clocked import Clocked, refused, timed

LETTERS = ("a", "b", "/", "é", "\U0001f600", "\uffff", "\x01", " ", "%", "+")
Entry = tuple[str, str, bool]


def drawn(rng: random.Random) -> list[str]:
    return ["".join(rng.choices(LETTERS, k=rng.randint(1, 4))) for _ in range(rng.randint(3, 12))]


async def history(s3: Clocked, rng: random.Random) -> list[Entry]:
    """Random puts and deletes; answers what a listing must show: (key, version, latest)."""
    stacks: dict[str, list[str]] = {}
    keys = drawn(rng)
    for _ in range(40):
        if rng.random() < 0.1:
            await s3.versioning(rng.choice(["Enabled", "Suspended"]))
        key = rng.choice(keys)
        operation = "PutObject" if rng.random() < 0.7 else "DeleteObject"
        headers = (await s3.object(operation, key))[1]
        version = headers.get("x-amz-version-id", "null")
        there = stacks.setdefault(key, [])
        if version == "null" and version in there:
            there.remove(version)
        there.insert(0, version)
    return [
        (key, version, n == 0)
        for key in sorted(stacks, key=str.encode)
        for n, version in enumerate(stacks[key])
    ]


def named(page: dict[str, Any]) -> list[Entry]:
    found = [*page["Versions"], *page["DeleteMarkers"]]
    return [(v["Key"], v["VersionId"], v["IsLatest"]) for v in found]


@pytest.mark.parametrize("seed", range(12))
def test_pages_of_versions_join_to_the_whole(seed: int) -> None:
    async def work(s3: Clocked) -> None:
        rng = random.Random(seed)
        wanted = await history(s3, rng)
        places = {entry[:2]: n for n, entry in enumerate(wanted)}
        for size in (1, 2, 3, 7):
            at: dict[str, Any] = {}
            found: list[Entry] = []
            while True:
                page = await s3.bucket("ListObjectVersions", MaxKeys=size, **at)
                found += sorted(named(page), key=lambda e: places[e[:2]])
                if not page["IsTruncated"]:
                    break
                at = {
                    "KeyMarker": page["NextKeyMarker"],
                    "VersionIdMarker": page["NextVersionIdMarker"],
                }
            assert found == wanted

    timed(work, "Enabled")


@pytest.mark.parametrize("seed", range(8))
def test_prefixes_of_versions_roll_up_once(seed: int) -> None:
    async def work(s3: Clocked) -> None:
        rng = random.Random(seed)
        wanted = await history(s3, rng)
        for delimiter in ("/", "é", "a"):
            rolled = {k[: k.find(delimiter) + 1] for k, _, _ in wanted if delimiter in k}
            single = [e for e in wanted if delimiter not in e[0]]
            at: dict[str, Any] = {}
            prefixes: list[str] = []
            found: list[Entry] = []
            while True:
                told = {"MaxKeys": 2, "Delimiter": delimiter, **at}
                page = await s3.bucket("ListObjectVersions", **told)
                prefixes += [p["Prefix"] for p in page["CommonPrefixes"]]
                found += named(page)
                if not page["IsTruncated"]:
                    break
                at = {"KeyMarker": page["NextKeyMarker"]}
                if page.get("NextVersionIdMarker"):
                    at["VersionIdMarker"] = page["NextVersionIdMarker"]
            assert sorted(found) == sorted(single)
            assert prefixes == sorted(rolled, key=str.encode)

    timed(work, "Enabled")


def test_versions_made_before_and_during_a_suspension() -> None:
    async def work(s3: Clocked) -> None:
        await s3.put("a", b"before")  # the null version
        await s3.versioning("Enabled")
        one = (await s3.put("a", b"one"))["x-amz-version-id"]
        await s3.versioning("Suspended")
        await s3.put("a", b"during")  # takes the null version's place, keeps the named one
        found = (await s3.bucket("ListObjectVersions"))["Versions"]
        assert [v["VersionId"] for v in found] == ["null", one]
        null = {"query": {"versionId": "null"}}
        assert (await s3.object("GetObject", "a", **null))[2] == b"during"
        headers = (await s3.object("DeleteObject", "a"))[1]  # a null marker in its place
        assert headers["x-amz-delete-marker"] == "true" and headers["x-amz-version-id"] == "null"
        assert await s3.versions() == [("a", "marker"), ("a", "old")]
        await s3.object("DeleteObject", "a", **null)  # the marker goes: the object is back
        assert (await s3.object("GetObject", "a"))[2] == b"one"

    timed(work)


def test_a_marker_answers_as_one() -> None:
    async def work(s3: Clocked) -> None:
        await s3.put("a")
        marker = (await s3.object("DeleteObject", "a"))[1]["x-amz-version-id"]
        query = {"versionId": marker}
        assert await refused(s3.object("GetObject", "a")) == "NoSuchKey"
        assert await refused(s3.object("GetObject", "a", query=query)) == "MethodNotAllowed"
        tags = {"Key": "a", "VersionId": marker, "Tagging": {"TagSet": []}}
        assert await refused(s3.bucket("PutObjectTagging", **tags)) == "MethodNotAllowed"
        copy = s3.bucket("CopyObject", Key="b", CopySource=f"clocked/a?versionId={marker}")
        assert await refused(copy) == "InvalidRequest"
        headers = (await s3.object("DeleteObject", "a", query=query))[1]
        assert headers == {"x-amz-version-id": marker, "x-amz-delete-marker": "true"}
        assert (await s3.object("GetObject", "a"))[0] == 200

    timed(work, "Enabled")


@pytest.mark.parametrize("operation", ["GetObject", "HeadObject", "DeleteObject"])
def test_ids_that_name_no_version(operation: str) -> None:
    async def work(s3: Clocked) -> None:
        version = (await s3.put("a"))["x-amz-version-id"]
        for told in ("", "nonsense", version[:-1] + "!"):
            bad = s3.object(operation, "a", query={"versionId": told})
            assert await refused(bad) == "InvalidArgument"
        await s3.object("DeleteObject", "a", query={"versionId": version})
        if operation == "DeleteObject":  # once more: the same answer
            answer = await s3.object(operation, "a", query={"versionId": version})
            assert answer[0] == 204
        else:
            gone = s3.object(operation, "a", query={"versionId": version})
            assert await refused(gone) == "NoSuchVersion"

    timed(work, "Enabled")


def test_mfa_delete_is_refused_by_name() -> None:
    async def work(s3: Clocked) -> None:
        told = {"VersioningConfiguration": {"Status": "Enabled", "MFADelete": "Enabled"}}
        assert await refused(s3.bucket("PutBucketVersioning", **told)) == "NotImplemented"
        assert await s3.bucket("GetBucketVersioning") == {}
        told["VersioningConfiguration"]["MFADelete"] = "Disabled"
        await s3.bucket("PutBucketVersioning", **told)
        assert await s3.bucket("GetBucketVersioning") == {"Status": "Enabled"}

    timed(work)


def test_uploads_of_a_key_are_listed_by_the_time_they_began() -> None:
    async def work(s3: Clocked) -> None:
        begun: dict[str, list[str]] = {}
        for key in ("b", "a", "b", "\U0001f600", "\uffff", "b", "a"):
            made = await s3.bucket("CreateMultipartUpload", Key=key)
            begun.setdefault(key, []).append(made["UploadId"])
            s3.clock.step(5)
        wanted = [(k, u) for k in sorted(begun, key=str.encode) for u in begun[k]]
        at: dict[str, str] = {}
        found = []
        while True:
            page = await s3.bucket("ListMultipartUploads", MaxUploads=2, **at)
            found += [(u["Key"], u["UploadId"]) for u in page["Uploads"]]
            if not page["IsTruncated"]:
                break
            at = {
                "KeyMarker": page["NextKeyMarker"],
                "UploadIdMarker": page["NextUploadIdMarker"],
            }
        assert found == wanted

    timed(work)


def test_writers_of_one_key_make_one_version_each() -> None:
    async def work(s3: Clocked) -> None:
        made = await asyncio.gather(*(s3.put("a", str(n).encode()) for n in range(20)))
        ids = [m["x-amz-version-id"] for m in made]
        found = (await s3.bucket("ListObjectVersions"))["Versions"]
        assert sorted(v["VersionId"] for v in found) == sorted(set(ids)) and len(ids) == 20

    timed(work, "Enabled")
