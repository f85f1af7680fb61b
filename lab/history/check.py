"""Check recorded histories: ``python -m lab.history.check FILE …``.

Exit code 0: one order explains every answer; 1: none does (the anomalies are printed).
"""

from __future__ import annotations

import sys
from pathlib import Path

from lab.history import linearizable, serializable
from lab.history.records import Operation, Transaction, load


def anomalies(operations: list[Operation], transactions: list[Transaction]) -> list[str]:
    """What is wrong, in words; nothing for a history that one order explains."""
    found = [str(v) for v in linearizable.check(operations)]
    return found + [str(a) for a in serializable.check(transactions)]


def main(paths: list[str]) -> int:
    wrong = 0
    for path in paths:
        operations, transactions = load(Path(path))
        found = anomalies(operations, transactions)
        wrong += bool(found)
        lost = sum(o.ended is None for o in operations)
        unknown = sum(t.outcome == "unknown" for t in transactions)
        print("\n".join(found))
        print(
            f"{path}: {len(operations)} operations ({lost} answers lost), {len(transactions)}"
            f" transactions ({unknown} unknown), {len(found)} anomalies"
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
