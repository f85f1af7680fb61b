"""A few seconds of ``make fuzz`` with fixed seeds; and proof that it notices."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pileus.services.dynamodb.expressions.tokens import Tokens
from pileus.wire import chunked, post_form
from tests.fuzz import judge
from tests.fuzz.run import Fuzz
from tests.fuzz.server import Server, answers

SEEDS = 1500
KEPT = Path(__file__).parent / "kept"


def fuzzed(home: Path, work: Callable[[Fuzz], Any]) -> Fuzz:
    async def main() -> Fuzz:
        server = Server(home)
        await server.start()
        fuzz = Fuzz(server)
        await work(fuzz)
        gone = await fuzz.health()
        await server.stop()
        assert not gone
        return fuzz

    return asyncio.run(main())


def seeds(first: int, end: int) -> Callable[[Fuzz], Any]:
    async def work(fuzz: Fuzz) -> None:
        for seed in range(first, end):
            await fuzz.seed(seed)

    return work


def test_changed_requests_are_answered_in_awss_words(tmp_path: Path) -> None:
    fuzz = fuzzed(tmp_path / "home", seeds(0, SEEDS))
    told = [f"python -m tests.fuzz.run --seed {f['seed']}: {f['wrong']}" for f in fuzz.findings]
    assert not told, "\n".join(told)
    assert {200, 400, 403, 404} <= fuzz.statuses.keys()
    assert fuzz.statuses[200] > SEEDS // 20, "the changes are too rough: little is understood"


def test_what_was_found_once_is_in_order(tmp_path: Path) -> None:
    async def work(fuzz: Fuzz) -> None:
        for file in sorted(KEPT.glob("*.json")):
            await fuzz.note({**json.loads(file.read_text()), "file": file.name})

    fuzz = fuzzed(tmp_path / "home", work)
    assert not [(f["file"], f["wrong"]) for f in fuzz.findings]
    assert sum(fuzz.statuses.values()) >= len(list(KEPT.glob("*.json"))) > 0


@pytest.mark.parametrize(
    ("module", "name"), [(Tokens, "take"), (chunked.ChunkDecoder, "feed"), (post_form, "_part")]
)
def test_a_parser_that_crashes_is_noticed(
    tmp_path: Path, module: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: Any, **named: Any) -> Any:
        raise KeyError("a bug")

    monkeypatch.setattr(module, name, broken)
    assert fuzzed(tmp_path / "home", seeds(0, 100)).findings


def test_a_hang_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(self: Fuzz, kept: Any) -> str:
        self.server.cpu_s = judge.CPU_S_MAX + 1
        return ""

    monkeypatch.setattr(Fuzz, "_send", slow)
    assert fuzzed(tmp_path / "home", seeds(0, 20)).findings


@pytest.mark.parametrize(
    "answer",
    [
        (500, {"x-amzn-requestid": "a"}, b"{}"),
        (400, {"x-amzn-requestid": "a", "content-type": "application/json"}, b"{}"),
        (400, {"x-amzn-requestid": "a", "content-type": "application/json"}, b"{"),
        (400, {"x-amz-request-id": "a", "content-type": "application/xml"}, b"<Error></Error>"),
        (400, {"content-type": "application/xml"}, b"<Error><Code>A</Code></Error>"),
        (404, {}, b""),
    ],
)
def test_answers_no_client_reads_are_noticed(answer: Any) -> None:
    assert judge.wrong("GET", answer, False)


def test_bytes_that_are_no_http_are_noticed() -> None:
    with pytest.raises(ValueError):
        answers(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab", ["GET"])
