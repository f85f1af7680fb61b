"""Hash marks: the running hash at every ten-thousandth entry, told in the log itself.

A replica notes its hash as it passes such an entry, however entries are grouped. The writer then
appends an entry that tells it; whoever applies that entry, now or in a replay, compares it with his
own. So a log that lies elsewhere, or whose journal was rewritten, cannot give another state unseen.

In a cluster every node tells its own (a vote): one whose hash two others contradict has parted from
them and stops; where one word stands against another, nobody can say who is right, and it is
logged.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import apsw

from pileus.state import keys
from pileus.state.entry import Corrupt
from pileus.state.tx import Reader, Tx

log = logging.getLogger("pileus.state.marks")
RULE = "mark"
EVERY = 10_000
KEPT = 10 * EVERY  # votes on entries further back are forgotten
VOTES = keys.partition_prefix("marks", "votes")
VOTES_MAX = 1000
LAST = keys.key("marks", "marks", "last")
TABLE = "CREATE TABLE IF NOT EXISTS marks(sequence INTEGER PRIMARY KEY, chain BLOB)"


class Marks:
    """The marks of one state file, on the connection that writes it. ``compared`` counts the log's
    marks found true since it was opened."""

    def __init__(self, connection: apsw.Connection) -> None:
        connection.execute(TABLE)
        self._c = connection
        self.compared = 0

    def note(self, sequence: int, chain: bytes) -> None:
        """Keep the hash after entry ``sequence``, in the transaction that applies it."""
        self._c.execute("INSERT OR REPLACE INTO marks VALUES(?,?)", (sequence, chain))

    def compare(self, tx: Tx, args: list[Any]) -> None:
        """The rule: ``[sequence, hash]`` as the log's author had it. ``Corrupt`` when it is not
        ours. A state that began later has nothing to compare."""
        sequence, chain, *node = args
        own = at(self._c, sequence)
        if node:
            self._vote(tx, sequence, chain, node[0], own)
            return
        if own is not None:
            if own != chain:
                raise Corrupt(
                    f"the log's hash mark at entry {sequence} is {chain.hex()}, this state's is"
                    f" {own.hex()}: they part between entries {sequence - EVERY + 1} and {sequence}"
                )
            self.compared += 1
        tx.put(LAST, sequence.to_bytes(8, "big") + chain)

    def _vote(self, tx: Tx, sequence: int, chain: bytes, node: str, own: bytes | None) -> None:
        for row in tx.range(VOTES, _vote_key(max(0, sequence - KEPT), ""), VOTES_MAX):
            tx.delete(row.key)
        tx.put(_vote_key(sequence, node), chain)
        if own is None:
            return  # a state that began later has nothing to compare
        if own == chain:
            self.compared += 1
            return
        said = chain.hex(), own.hex()
        log.error("entry %d: node %s has the hash %s, this one %s", sequence, node, *said)
        told = tx.range(_vote_key(sequence, ""), _vote_key(sequence + 1, ""), VOTES_MAX)
        count = Counter(row.value for row in told)
        if count[chain] > max(1, count[own]):
            raise Corrupt(
                f"{count[chain]} nodes have hash {chain.hex()} at entry {sequence}, this one"
                f" {own.hex()}: it parted from them after entry {sequence - EVERY}"
            )


def _vote_key(sequence: int, node: str) -> bytes:
    return keys.key("marks", "votes", sequence.to_bytes(8, "big") + node.encode())


def at(connection: apsw.Connection, sequence: int) -> bytes | None:
    """The hash a state file noted at ``sequence``."""
    found: Any = connection.execute(
        "SELECT chain FROM marks WHERE sequence = ?", (sequence,)
    ).fetchall()
    return bytes(found[0][0]) if found else None


def due(connection: apsw.Connection, told: bytes | None) -> list[Any] | None:
    """Arguments of the mark to append: the newest the file noted, unless ``told`` (the row
    ``LAST``) has it."""
    found: Any = connection.execute(
        "SELECT sequence, chain FROM marks ORDER BY sequence DESC LIMIT 1"
    ).fetchall()
    last = int.from_bytes(told[:8], "big") if told else 0
    if not found or found[0][0] <= last:
        return None
    return [found[0][0], bytes(found[0][1])]


def due_vote(connection: apsw.Connection, reader: Reader, node: str) -> list[Any] | None:
    """Arguments of ``node``'s next vote: on the newest entry others voted on that this node has
    noted and not voted on yet; else on the newest it noted."""
    last, others = 0, []
    for row in reader.range(VOTES, keys.after_prefix(VOTES), VOTES_MAX):
        told = keys.split(row.key)[2]
        sequence = int.from_bytes(told[:8], "big")
        if told[8:] == node.encode():
            last = max(last, sequence)
        else:
            others.append(sequence)
    for sequence in sorted({s for s in others if s > last}, reverse=True):
        chain = at(connection, sequence)
        if chain is not None:
            return [sequence, chain]
    return due(connection, last.to_bytes(8, "big"))
