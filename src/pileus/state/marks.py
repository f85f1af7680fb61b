"""Hash marks: the running hash at every ten-thousandth entry, told in the log itself.

A replica notes its hash as it passes such an entry, however entries are grouped. The writer then
appends an entry that tells it; whoever applies that entry, now or in a replay, compares it with his
own. So a log that lies elsewhere, or whose journal was rewritten, cannot give another state unseen.
"""

from __future__ import annotations

from typing import Any

import apsw

from pileus.state import keys
from pileus.state.entry import Corrupt
from pileus.state.tx import Tx

RULE = "mark"
EVERY = 10_000
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
        sequence, chain = args
        own = at(self._c, sequence)
        if own is not None:
            if own != chain:
                raise Corrupt(
                    f"the log's hash mark at entry {sequence} is {chain.hex()}, this state's is"
                    f" {own.hex()}: they part between entries {sequence - EVERY + 1} and {sequence}"
                )
            self.compared += 1
        tx.put(LAST, sequence.to_bytes(8, "big") + chain)


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
