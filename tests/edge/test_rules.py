"""Cache rules as properties: whatever an origin says, nobody sees what is not theirs or too old."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pileus.edge import freshness
from pileus.services.call import HttpRequest, HttpResponse
from pileus.wire.http import serve
from tests.edge.conftest import World, cached, opened
from tests.edge.test_serving import LEGACY

DIRECTIVES = st.lists(
    st.sampled_from(
        ["private", "no-store", "no-cache", "public", "max-age=0", "max-age=5", "max-age=100",
         "s-maxage=2", "s-maxage=50", "must-revalidate", "stale-if-error=0", "stale-if-error=30",
         "stale-while-revalidate=3", 'Private="set-cookie"', "NO-STORE", "max-age=x"]
    ),
    max_size=4, unique=True,
)  # fmt: skip
TTLS = st.tuples(*[st.integers(0, 120)] * 3).map(sorted)


@given(DIRECTIVES, TTLS, st.sampled_from([200, 203, 206, 301, 302, 304, 404, 418, 500, 503]))
@settings(max_examples=300, deadline=None)
def test_lives(said: list[str], ttls: list[int], status: int) -> None:
    least, default, most = ttls
    headers = {"cache-control": ", ".join(said)}
    life = freshness.life(status, headers, (least, default, most), None, 0.0)
    words = {word.lower().partition("=")[0] for word in said}
    if words & {"private", "no-store"} or status in (206, 304, 418):
        assert not life.keep
    if life.keep and status == 200:
        assert life.fresh_s <= most
        ages = [int(w.partition("=")[2]) for w in said if w.startswith("s-maxage=")]
        ages = ages or [int(w[8:]) for w in said if w.startswith("max-age=") and w[8:].isdigit()]
        if ages:
            assert life.fresh_s <= max(min(ages), least)
        if "max-age=x" in said and "s-maxage" not in words:
            assert life.fresh_s <= least
        if "no-cache" in words:
            assert life.fresh_s == 0
        if words & {"must-revalidate", "no-cache"}:
            assert life.stale_on_error_s == 0


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["", "ann", "bob"]),  # who asks: their Authorization
        st.sampled_from(["", "en", "de"]),  # and their language
        st.integers(0, 15),  # seconds later
    ),
    min_size=2, max_size=8,
)  # fmt: skip
FORWARDED = st.sampled_from([[], ["Authorization"], ["Accept-Language"], ["Authorization", "Via"]])
VARY = st.sampled_from(["", "Accept-Language", "Authorization", "*", "accept-language, x-y"])


@given(STEPS, FORWARDED, VARY, DIRECTIVES)
@settings(max_examples=25, deadline=None)
def test_nobody_gets_what_is_not_theirs(
    steps: list[tuple[str, str, int]], forwarded: list[str], vary: str, said: list[str]
) -> None:
    """The origin answers by who asks and in their language where it sees them. No viewer may get
    another's answer, nor one older than its life."""
    asyncio.run(_play(steps, forwarded, vary, said))


async def _play(
    steps: list[tuple[str, str, int]], forwarded: list[str], vary: str, said: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as home:
        async with opened(Path(home)) as w:
            w.origin = lambda r: _personal(w, r, vary, said)
            values: dict[str, Any] = {"QueryString": False, "Cookies": {"Forward": "none"}}
            values["Headers"] = {"Quantity": len(forwarded), "Items": forwarded}
            await w.make({"ForwardedValues": values, "MinTTL": 0}, s3=False)
            for who, language, later in steps:
                w.clock.ahead_s += later
                headers = {}
                if who:
                    headers["authorization"] = who
                if language:
                    headers["accept_language"] = language
                answer = await w.get("/me", **headers)
                seen_who, seen_language, made = bytes(answer.body).decode().split("|")
                hit = cached(answer) in ("Hit", "RefreshHit")
                if "Authorization" in forwarded:
                    assert seen_who == who
                else:
                    assert seen_who == ""  # what the origin did not see it cannot answer by
                if "Accept-Language" in forwarded:
                    assert seen_language == language
                words = {word.lower().partition("=")[0] for word in said}
                if words & {"private", "no-store"}:
                    assert not hit
                if hit and "stale-while-revalidate" not in words:
                    age = w.clock.now_ms() / 1000 - float(made)
                    assert age <= _life(said) + 1


def _life(said: list[str]) -> int:
    shared = [int(w[9:]) for w in said if w.startswith("s-maxage=")]
    plain = [int(w[8:]) for w in said if w.startswith("max-age=") and w[8:].isdigit()]
    return min(shared or plain or ([0] if "max-age=x" in said else [86_400]))


def _personal(w: World, request: HttpRequest, vary: str, said: list[str]) -> HttpResponse:
    asked = request.headers
    headers = [("cache-control", ", ".join(said))] if said else []
    if vary:
        headers.append(("vary", vary))
    made = w.clock.now_ms() / 1000
    text = f"{asked.get('authorization', '')}|{asked.get('accept-language', '')}|{made}"
    return HttpResponse(200, headers, text.encode())


@pytest.mark.parametrize(
    ("said", "after_s", "status"),
    [
        ("max-age=10", 3600, 200),
        ("max-age=10, stale-if-error=60", 60, 200),
        ("max-age=10, stale-if-error=60", 80, 502),
        ("max-age=10, stale-if-error=0", 20, 502),
        ("max-age=10, must-revalidate", 20, 502),
        ("no-cache", 1, 502),
        ("max-age=10", 8 * 86_400, 502),
    ],
)
def test_a_stopped_origin(run: Any, said: str, after_s: int, status: int) -> None:
    """E2: the origin's process is gone; what was kept serves as long as it may, then comes back."""

    async def body(w: World) -> None:
        answer = HttpResponse(200, [("cache-control", said)], b"kept")
        origin = await serve(lambda r: answer, ("127.0.0.1", 0))
        w.port = port = origin.port
        await w.make(LEGACY, s3=False)
        assert (await w.get("/a")).status == 200
        await origin.stop()
        w.clock.ahead_s += after_s
        for _ in range(2):
            got = await w.get("/a")
            assert got.status == status
            assert (got.body == b"kept") is (status == 200)
        answer = HttpResponse(200, [("cache-control", said)], b"again")
        origin = await serve(lambda r: answer, ("127.0.0.1", port))
        assert (await w.get("/a")).body == b"again"
        await origin.stop()

    run(body)


@pytest.mark.parametrize("header", [("set-cookie", "who=ann"), ("cache-control", "private")])
def test_a_revalidation_for_one_viewer_is_not_told_to_others(
    run: Any, header: tuple[str, str]
) -> None:
    async def body(w: World) -> None:
        def origin(request: HttpRequest) -> HttpResponse:
            if "if-none-match" in request.headers:
                return HttpResponse(304, [header, ("etag", '"e"')])
            return HttpResponse(200, [("cache-control", "max-age=5"), ("etag", '"e"')], b"1")

        w.origin = origin
        await w.make(LEGACY, s3=False)
        await w.get("/a")
        w.clock.ahead_s += 10
        assert cached(await w.get("/a")) == "RefreshHit"
        later = await w.get("/a")
        assert "set-cookie" not in dict(later.headers)
        if header[1] == "private":
            assert cached(later) == "Miss"

    run(body)
