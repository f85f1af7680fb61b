"""Which rules are in force: their version, the entry that raises it, and the release's rule book.

A rule that comes to mean something else makes the log's past entries mean something else too. So
each entry names the version it was written under, the state says which version is in force and
since when, and one entry, ``rules.switch``, raises it: releases that share a log change over at the
same place. An entry written under another version than the one in force is sent back to its author.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from pileus.errors import Unavailable
from pileus.state import checkpoint, keys
from pileus.state.entry import RULES_VERSION, Entry
from pileus.state.rules import Rule
from pileus.state.tx import Reader, Tx

SWITCH = "rules.switch"
KEY = keys.key("tablets", "rules")  # beside the map of tablets: read and watched with it
History = list[tuple[int, int]]

_decode = msgspec.msgpack.Decoder(list[tuple[int, int]]).decode


class RuleBook:
    """The rules of every version this release can apply. ``older[n]``: the rules that meant
    something else up to version n; versions below the oldest named are refused."""

    def __init__(
        self,
        newest: Mapping[str, Rule],
        older: Mapping[int, Mapping[str, Rule]] | None = None,
        version: int = RULES_VERSION,
    ) -> None:
        self.version = version
        self._newest = dict(newest)
        self._older = dict(older or {})
        self.oldest = min(self._older, default=version)

    def at(self, version: int) -> dict[str, Rule]:
        """The rules as ``version`` means them; 0, before any was named, as this release does."""
        found = dict(self._newest)
        for last in sorted(self._older, reverse=True):
            if version and version <= last:
                found |= self._older[last]
        return found

    def applies(self, version: int) -> bool:
        return self.oldest <= version <= self.version

    def check(self, sequence: int, e: Entry) -> None:
        """``Unavailable`` when this release cannot know what the entry means."""
        if e.rules > self.version:
            raise Unavailable(
                f"entry {sequence} needs rules of version {e.rules}", "upgrade this node"
            )
        if e.rules < self.oldest and e.rule != SWITCH:
            raise Unavailable(
                f"entry {sequence} was written under rules of version {e.rules}; this release"
                f" applies {self.oldest} to {self.version}",
                "start from a checkpoint taken after the upgrade, or use the release that wrote it",
            )


def history(reader: Reader) -> History:
    """Each version that was switched to, with the entry that did; empty before the first."""
    row = reader.row(KEY)
    return _decode(row.value) if row else []


def in_force(reader: Reader) -> int:
    """The version entries must be written under; 0: none is named yet."""
    found = history(reader)
    return found[-1][0] if found else 0


def replays_after(reader: Reader, book: RuleBook) -> int:
    """The last entry this release cannot apply again: a replay begins after it, from a
    checkpoint."""
    for version, since in history(reader):
        if version >= book.oldest:
            return since - 1
    return 0


def switch(tx: Tx, version: int) -> None:
    """The rule: ``version`` is in force from the next entry on. A lower one changes nothing."""
    found = history(tx)
    if not found or version > found[-1][0]:
        tx.put(KEY, msgspec.msgpack.encode([*found, (version, tx.entry)]))


def check(store: Any, book: RuleBook) -> None:
    """``Unavailable`` when a newer release has put its rules in force."""
    now = store.tablets.rules
    if now > book.version:
        raise Unavailable(
            f"this state is under rules of version {now}, this release knows {book.version}",
            "start the newer release again",
        )


async def settle(store: Any, book: RuleBook) -> bool:
    """At the start of a log's only writer: put this release's rules in force. What older rules did
    is copied first: from that checkpoint on this release can replay the log. Answers whether it
    switched; ``Unavailable`` when a newer release wrote this state."""
    check(store, book)
    if store.tablets.rules == book.version:
        return False
    if store.replica.applied:
        directory = store.home / "checkpoints"
        await asyncio.to_thread(checkpoint.take, store.replica.path, directory)
    await store.submit(SWITCH, book.version)
    return True


async def settle_shard(shard: Any, book: RuleBook) -> None:
    """``settle`` for a shard beside the first (``state.shard.Shard``)."""
    if shard.replica.applied:
        directory = shard.home / "checkpoints"
        await asyncio.to_thread(checkpoint.take, shard.replica.path, directory)
    await shard.ask(SWITCH, book.version)


RULES: Mapping[str, Rule] = {SWITCH: switch}
