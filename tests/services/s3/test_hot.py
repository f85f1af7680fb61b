"""Bodies kept open are the ones stored, in their bound, and nobody's who may not have them (B1)."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from pileus.services.call import FileBody
from pileus.services.s3.hot import BODY_BYTES_MAX, FILE_BYTES_MIN, HotBodies
from tests.services.s3.test_short_way import Cloud, policy, run

__all__ = ["run"]


def test_a_large_object_asked_for_often(run: Any) -> None:
    async def test(c: Cloud) -> None:
        objects = c.front.services["s3"].objects
        first, second, huge = os.urandom(500_000), os.urandom(500_000), os.urandom(1_500_000)
        get = c.request("GET", "/bucket/k")
        for body in (first, second):
            await c.done("PUT", "/bucket/k", body)
            for _ in range(3):
                assert (await c.both(get, quick=True))[2] == body
        assert [len(kept) for kept in objects._hot._kept.values()] == [len(first), len(second)]
        ranged = c.request("GET", "/bucket/k", headers={"range": "bytes=7-70000"})
        assert (await c.both(ranged, quick=False))[2] == second[7:70001]
        await c.done("PUT", "/bucket/huge", huge)
        for _ in range(3):
            assert (await c.both(c.request("GET", "/bucket/huge"), quick=True))[2] == huge
        assert len(objects._hot._kept) == 2
        denied = policy("Deny", "s3:GetObject", "arn:aws:s3:::bucket/k", Principal="*")
        await c.done("PUT", "/bucket?policy", denied.encode())
        assert (await c.both(get, quick=False))[0] == 403
        await c.done("DELETE", "/bucket?policy")
        assert (await c.both(get, quick=True))[2] == second
        await c.done("DELETE", "/bucket/k")
        assert (await c.both(get, quick=False))[0] == 404

    run(test)


def test_only_what_is_asked_for_again_within_a_bound() -> None:
    hot = HotBodies(bytes_max=100)
    assert not hot.wanted("a", 50) and hot.wanted("a", 50)
    assert not hot.wanted("b", BODY_BYTES_MAX + 1) and not hot.wanted("b", 1)
    for name in "abc":
        hot.keep(name, bytes(40))
        assert hot.get(name) == bytes(40)
    assert hot.get("a") is None and hot.get("b") and hot.get("c")
    hot.get("b")
    hot.keep("c", bytes(45))
    hot.keep("d", bytes(40))
    assert hot.get("b") is None and hot.get("c") and hot.get("d") and hot._bytes == 85
    hot.keep("e", bytes(101))
    assert hot._bytes == 0 and not hot._kept


def test_large_bodies_lie_in_files_that_go_with_the_last_answer() -> None:
    hot = HotBodies(bytes_max=2 * FILE_BYTES_MIN)
    first, second, third = (os.urandom(FILE_BYTES_MIN) for _ in range(3))
    hot.keep("first", first)
    answer = hot.get("first")
    assert isinstance(answer, FileBody) and answer.length == len(first)
    hot.keep("second", second)
    hot.keep("third", third)
    assert hot.get("first") is None and len(hot._kept) == 2
    assert os.pread(answer.fd, len(first) + 1, 0) == first  # one that is under way is finished
    os.close(answer.fd)
    held = memory_files()
    hot.keep("large", bytes(2 * FILE_BYTES_MIN + 1))
    assert not hot._kept and memory_files() == held - 2


def memory_files() -> int:
    """How many files without a name this process has open."""
    found = 0
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # others' files come and go
            found += os.readlink(f"/proc/self/fd/{fd}").startswith("/memfd:body")
    return found
