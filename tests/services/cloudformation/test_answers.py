"""The addresses at which custom resources answer: signed, and good for a time (H8)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from pileus.assembly import RULES
from pileus.config import Config
from pileus.services.call import HttpRequest
from pileus.services.cloudformation.answers import BODY_BYTES_MAX, Answers, Name
from pileus.state.opening import open_store
from tests.beds import StepClock

NAME = Name("arn:aws:cloudformation:us-east-1:0:stack/s/1", "It", "request")


def asked(address: str, body: bytes = b"{}", method: str = "PUT") -> HttpRequest:
    parts = urlsplit(address)
    return HttpRequest(method, parts.path, parts.query, {}, body)


def test_an_address_is_good_until_its_end(tmp_path: Path) -> None:
    """Found again it is the same, with the same end; later nothing is taken, nor waited for."""

    async def go() -> None:
        clock = StepClock()
        store = await open_store(tmp_path, RULES, clock)
        parts: Any = SimpleNamespace(store=store, clock=clock, config=Config(home=tmp_path))
        answers, given_up = Answers(parts), asyncio.Event()
        opened = await answers.expect(NAME, 60)
        await answers.sent(NAME)
        clock.ms += 30_000
        again = await Answers(parts).expect(NAME, 60)
        assert again == opened | {"sent": True}
        address = opened["address"]
        statuses = [
            (await answers.serve(asked(address, method="GET"))).status,
            (await answers.serve(asked(address.replace("It", "At")))).status,
            (await answers.serve(asked(address.partition("?")[0]))).status,
        ]
        assert statuses == [405, 403, 403]
        clock.ms += 30_000
        assert (await answers.serve(asked(address))).status == 403
        assert await answers.wait(NAME, given_up) is None
        await store.close()

    asyncio.run(go())


def test_an_answer_wakes_who_waits(tmp_path: Path) -> None:
    """Of one that is too long no more is kept than shows it; without one a given-up wait ends."""

    async def go() -> None:
        clock = StepClock()
        store = await open_store(tmp_path, RULES, clock)
        parts: Any = SimpleNamespace(store=store, clock=clock, config=Config(home=tmp_path))
        answers, given_up = Answers(parts), asyncio.Event()
        address = (await answers.expect(NAME, 60))["address"]
        waiting = asyncio.create_task(answers.wait(NAME, given_up))
        long = b"x" * BODY_BYTES_MAX
        assert (await answers.serve(asked(address, long))).status == 200
        assert await waiting == "x" * 4097
        other = NAME._replace(request_id="other")
        await answers.expect(other, 60)
        waiting = asyncio.create_task(answers.wait(other, given_up))
        given_up.set()
        assert await waiting is None
        await store.close()

    asyncio.run(go())
