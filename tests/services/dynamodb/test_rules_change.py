"""A table written under older rules and gone on with under newer ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pileus.assembly import RULES
from pileus.state import entry
from pileus.state.store import Store
from pileus.state.verify import verify
from pileus.state.versions import RuleBook
from tests.services.dynamodb.desk import Desk, TestClock

REMOVE = {"UpdateExpression": "REMOVE x"}


async def take_away(desk: Desk, name: str) -> None:
    """From items that are not there, each way there is."""
    legacy = {"AttributeUpdates": {"x": {"Action": "DELETE"}}}
    for way, update in (("plain", REMOVE), ("legacy", legacy)):
        await desk.UpdateItem(TableName="tab", Key={"p": {"S": f"{name} {way}"}}, **update)
    key = {"p": {"S": f"{name} together"}}
    await desk.TransactWriteItems(
        TransactItems=[{"Update": {"TableName": "tab", "Key": key, **REMOVE}}]
    )


def test_updates_that_take_away_mean_what_they_meant_when_they_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def under(rules: RuleBook, name: str, make: bool = False) -> list[str]:
        store = await Store.open(tmp_path, rules, TestClock())
        try:
            desk = Desk(store, TestClock())
            if make:
                await desk.table("tab", "p:S")
            await take_away(desk, name)
            found = (await desk.Scan(TableName="tab"))["Items"]
            assert store.tablets.rules == rules.version
            return sorted(item["p"]["S"] for item in found)
        finally:
            await store.close()

    made = ["before legacy", "before plain", "before together"]
    with monkeypatch.context() as earlier:
        earlier.setattr(entry, "RULES_VERSION", 2)
        assert asyncio.run(under(RuleBook(RULES.at(2), version=2), "before", make=True)) == made
    assert asyncio.run(under(RULES, "after")) == made

    report = verify(tmp_path, RULES)
    assert report.ok and report.base == 0 and report.entries >= 8, report
