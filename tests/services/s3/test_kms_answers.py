"""How long an answer of the key service counts, and for whom."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pileus.services.call import Principal
from pileus.services.s3.kms_answers import ANSWERS_MAX, KEPT_MS, KmsAnswers

ONE, OTHER = (Principal("user", "1", f"arn:aws:iam::1:user/{n}", n) for n in ("one", "other"))


class Keys:
    """A key service that counts, its clock and its tables' generations."""

    def __init__(self) -> None:
        self.asked = self.now_ms = 0
        self.generations = {"kms": 1, "iam": 1}
        clock = SimpleNamespace(now_ms=lambda: self.now_ms)
        store = SimpleNamespace(generation=self.generations.__getitem__)
        self.answers = KmsAnswers(store, clock)

    async def decrypt(self) -> dict[str, Any]:
        self.asked += 1
        return {"Plaintext": self.asked}

    def ask(self, principal: Principal = ONE, **params: Any) -> Any:
        told = {"CiphertextBlob": b"x", "EncryptionContext": {"a": "b"}, **params}
        return asyncio.run(self.answers.ask(principal, told, self.decrypt))["Plaintext"]


def test_the_same_question_is_asked_once() -> None:
    keys = Keys()
    assert [keys.ask(), keys.ask()] == [1, 1]
    assert keys.ask(OTHER) == 2
    assert keys.ask(EncryptionContext={"a": "c"}) == 3
    assert keys.ask(CiphertextBlob=b"y") == 4
    keys.now_ms = KEPT_MS
    assert keys.ask() == 5


@pytest.mark.parametrize("table", ("kms", "iam"))
def test_any_change_of_keys_or_identities_ends_it(table: str) -> None:
    keys = Keys()
    keys.ask()
    keys.generations[table] += 1
    assert keys.ask() == 2


def test_what_changes_meanwhile_is_not_kept() -> None:
    keys = Keys()

    async def disabled_meanwhile() -> dict[str, Any]:
        keys.generations["kms"] += 1
        return await keys.decrypt()

    for n in (1, 2):
        told = asyncio.run(keys.answers.ask(ONE, {"KeyId": "k"}, disabled_meanwhile))
        assert told["Plaintext"] == n


def test_refusals_are_not_kept_and_memory_is_bounded() -> None:
    keys = Keys()

    async def refused() -> dict[str, Any]:
        raise PermissionError

    with pytest.raises(PermissionError):
        asyncio.run(keys.answers.ask(ONE, {"KeyId": "k"}, refused))
    for n in range(ANSWERS_MAX + 10):
        keys.ask(CiphertextBlob=bytes([n % 256, n // 256]))
    assert len(keys.answers._kept) <= ANSWERS_MAX
