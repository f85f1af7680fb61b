"""Wait condition handles: addresses at which others tell that what a stack waits for is done.

A handle is a row as long as its resource; each signal is in it before it is acknowledged. The
address is signed and good for a day, twice the longest wait.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-waitcondition.html
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import unquote, urlsplit

from pileus.errors import AwsError
from pileus.services.cloudformation import rows
from pileus.services.cloudformation.answers import PREFIX, Answers, Name

LIFE_S = 24 * 3600
SUCCESS, FAILURE = "SUCCESS", "FAILURE"
Record = dict[str, Any]


async def opened(answers: Answers, name: Name) -> str:
    """Make the handle, or find it made: its address."""

    def change(draft: Any) -> int:
        found = draft.get_json(rows.handle_key(*name[::2]))
        if found is None:
            found = {"end": draft.now_ms // 1000 + LIFE_S, "signals": {}, "waits": {}}
            draft.put_json(rows.handle_key(*name[::2]), found)
        return int(found["end"])

    end = await answers.store.transact(change)
    return await answers.address(name, end, answers.outside())


async def closed(answers: Answers, address: str) -> None:
    """Forget the handle; nothing more is taken at its address."""
    name = named(address)
    await answers.store.transact(lambda draft: draft.delete(rows.handle_key(*name[::2])))


def named(address: str) -> Name:
    """Whose address it is. ``ValidationError`` for what is no handle's."""
    path = unquote(urlsplit(address).path)
    if not path.startswith(PREFIX) or path.count("|") != 2:
        raise AwsError("ValidationError", "Handle must be the Ref of a wait condition handle")
    return Name(*path.removeprefix(PREFIX).split("|"))


def taken(draft: Any, name: Name, body: str) -> bool | None:
    """Write a signal down. None where there is no such handle, False for what is no signal. What
    is signalled again under the same id counts once."""
    key = rows.handle_key(*name[::2])
    record = draft.get_json(key)
    if record is None:
        return None
    try:
        told = json.loads(body)
        signal = {n: str(told.get(n) or "") for n in ("Status", "UniqueId", "Reason", "Data")}
    except (ValueError, AttributeError):
        return False
    if signal["Status"] not in (SUCCESS, FAILURE) or not signal["UniqueId"]:
        return False
    if signal["UniqueId"] not in record["signals"]:
        record["signals"][signal["UniqueId"]] = signal
        draft.put_json(key, record)
    return True


async def waited(
    answers: Answers, name: Name, step: str, count: int, timeout_s: int, given_up: asyncio.Event
) -> Record | None:
    """The signals' data by their ids, as soon as ``count`` told success; None when ``given_up``.
    ``step``: whose wait it is; its end is counted from its beginning, whoever goes on with it.
    ``AwsError`` for a failure that was told, and when time ran out."""
    key = rows.handle_key(*name[::2])

    def change(draft: Any) -> int:
        record = draft.get_json(key)
        if record is None:
            raise AwsError("ValidationError", "The wait condition's handle is gone")
        end = record["waits"].setdefault(step, draft.now_ms + timeout_s * 1000)
        draft.put_json(key, record)
        return int(end)

    end_ms = await answers.store.transact(change)
    while True:
        seen = answers.store.generation(rows.TABLE)
        signals = (answers.store.get_json(key) or {"signals": {}})["signals"]
        for signal in signals.values():
            if signal["Status"] == FAILURE:
                told = f"'{signal['Reason']}' for uniqueId: {signal['UniqueId']}"
                raise AwsError("NotStabilized", f"WaitCondition received failed message: {told}")
        if len(signals) >= count:
            return {n: s["Data"] for n, s in signals.items()}
        left_s = (end_ms - answers.now_ms()) / 1000
        if given_up.is_set():
            return None
        if left_s <= 0:
            told = f"Received {len(signals)} conditions when expecting {count}"
            raise AwsError("NotStabilized", f"WaitCondition timed out. {told}")
        await answers.changed(seen, left_s, given_up)
