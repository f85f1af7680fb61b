"""Listings against a plain model, and versions against a plain stack."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pileus.engine.embedded.blobs import FileBlobs
from pileus.engine.embedded.clock import SystemClock
from pileus.services import s3
from pileus.state.store import Store
from tests.simulation.desk import Desk

KEYS = st.text(
    st.sampled_from(["a", "b", "/", "é", "\U0001f600", "\x01", "￿", " "]), min_size=1, max_size=5
)


class Bench:
    """One store for all examples; each gets a bucket of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, desk: Desk) -> None:
        self._loop, self.desk = loop, desk
        self._buckets = itertools.count()

    def run(self, work: Callable[[Desk, str], Awaitable[None]]) -> None:
        name = f"bucket-{next(self._buckets)}"

        async def whole() -> None:
            await self.desk.bucket("CreateBucket", b"", Bucket=name)
            await work(self.desk, name)

        self._loop.run_until_complete(whole())


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    loop = asyncio.new_event_loop()
    with tempfile.TemporaryDirectory() as name:
        home, clock = Path(name), SystemClock()
        store = loop.run_until_complete(Store.open(home, s3.RULES, clock))
        blobs = FileBlobs(home / "blobs")
        yield Bench(loop, Desk(store, blobs, clock))
        loop.run_until_complete(store.close())
        blobs.close()
    loop.close()


def model(keys: set[str], prefix: str, delimiter: str, after: str) -> list[str]:
    """What a listing shows: keys and common prefixes in UTF-8 order."""
    shown = set()
    for key in keys:
        if not key.startswith(prefix) or key.encode() <= after.encode():
            continue
        at = key.find(delimiter, len(prefix)) if delimiter else -1
        shown.add(key if at < 0 else key[: at + len(delimiter)])
    return sorted(shown, key=str.encode)


async def listed(desk: Desk, bucket: str, size: int, **params: Any) -> list[str]:
    """All pages of a listing."""
    out: list[str] = []
    token: dict[str, Any] = {}
    while True:
        page = await desk.bucket(
            "ListObjectsV2", b"", Bucket=bucket, MaxKeys=size, **params, **token
        )
        names = [c["Key"] for c in page["Contents"]]
        names += [p["Prefix"] for p in page["CommonPrefixes"]]
        assert len(names) == page["KeyCount"] <= size
        out += sorted(names, key=str.encode)
        if not page["IsTruncated"]:
            return out
        assert names, "a page that is cut short holds something"
        token = {"ContinuationToken": page["NextContinuationToken"]}


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    keys=st.sets(KEYS, max_size=25),
    asks=st.lists(
        st.tuples(
            st.sampled_from(["", "a", "a/", "é"]),
            st.sampled_from(["", "/", "b/", "é"]),
            st.integers(1, 7),
        ),
        min_size=4,
        max_size=8,
    ),
    after=KEYS,
)
def test_a_listing_shows_what_a_sorted_set_would(
    bench: Bench, keys: set[str], asks: list[tuple[str, str, int]], after: str
) -> None:
    async def work(desk: Desk, bucket: str) -> None:
        await asyncio.gather(
            *(desk.object("PutObject", b"", bucket, key, body=b"x") for key in keys)
        )
        for prefix, delimiter, size in asks:
            found = await listed(desk, bucket, size, Prefix=prefix, Delimiter=delimiter)
            assert found == model(keys, prefix, delimiter, "")
        found = await listed(desk, bucket, 3, StartAfter=after)
        assert found == model(keys, "", "", after)

    bench.run(work)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["put", "put", "delete", "delete version", "suspend", "enable"]),
            st.integers(0, 20),
        ),
        max_size=25,
    )
)
def test_versions_behave_like_a_stack(bench: Bench, steps: list[tuple[str, int]]) -> None:
    """Newest first; the null version is replaced while versioning is suspended."""

    async def work(desk: Desk, bucket: str) -> None:
        stack: list[tuple[str, bytes | None]] = []  # newest first; None is a delete marker
        state = ""

        def push(version: str, body: bytes | None) -> None:
            if version == "null":
                stack[:] = [s for s in stack if s[0] != "null"]
            stack.insert(0, (version, body))

        for number, (step, pick) in enumerate(steps):
            if step in ("suspend", "enable"):
                state = "Suspended" if step == "suspend" else "Enabled"
                told = {"Status": state}
                await desk.bucket(
                    "PutBucketVersioning", b"", Bucket=bucket, VersioningConfiguration=told
                )
            elif step == "put":
                body = str(number).encode()
                _, headers, _ = await desk.object("PutObject", b"", bucket, "k", body=body)
                push(headers.get("x-amz-version-id", "null"), body)
            elif step == "delete":
                _, answer, _ = await desk.object("DeleteObject", b"", bucket, "k")
                if state:
                    push(answer["x-amz-version-id"], None)
                else:
                    stack.clear()
            elif stack and state:
                version, _ = stack.pop(pick % len(stack))
                await desk.object("DeleteObject", b"", bucket, "k", {"versionId": version})
            await check(desk, bucket, stack)

    async def check(desk: Desk, bucket: str, stack: list[tuple[str, bytes | None]]) -> None:
        page = await desk.bucket("ListObjectVersions", b"", Bucket=bucket)
        found = {v["VersionId"]: v["IsLatest"] for v in page["Versions"]}
        markers = {v["VersionId"]: v["IsLatest"] for v in page["DeleteMarkers"]}
        assert set(found) == {v for v, body in stack if body is not None}
        assert set(markers) == {v for v, body in stack if body is None}
        latest = [v for v, newest in {**found, **markers}.items() if newest]
        assert latest == [v for v, _ in stack[:1]]
        current = await desk.bucket("ListObjectsV2", b"", Bucket=bucket)
        alive = bool(stack) and stack[0][1] is not None
        assert [c["Key"] for c in current["Contents"]] == (["k"] if alive else [])
        if alive:
            _, _, body = await desk.object("GetObject", b"", bucket, "k")
            assert body == stack[0][1]

    bench.run(work)
