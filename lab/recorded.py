"""The rounds that count: a line each in ``docs/faults.jsonl``, and the page made of them.

    python -m lab.recorded                      makes docs/faults.md anew
    python -m lab.matrix --record docs/faults.jsonl …   adds to the record

A recorded round is what remains of a ``matrix.Round`` when its cluster is gone: of which build,
what was acknowledged, what was wrong, how long it took. Its (fault, seed, shards) is not made
again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from lab.faults import FAULTS
from lab.probe import Times

ROOT = Path(__file__).resolve().parents[1]
RECORD, PAGE = ROOT / "docs" / "faults.jsonl", ROOT / "docs" / "faults.md"
Key = tuple[str, int, int]

HEAD = """# Faults: every round that was made

Three nodes with addresses, disks and clocks of their own on one machine, under load from outside,
and one fault after the other ([lab/DESIGN.md](../lab/DESIGN.md) says how each is made). After each:
every acknowledged effect is looked for through every node, repetitions by token, an order that
explains the recorded history is searched (linearizable by row, serializable by transaction), and
the cluster must be whole again by itself within two and a half minutes. *Lost*, *doubled* and
*wrong* count what was not so; *late* what was to happen by itself (a function called for later, an
end by TTL or by lifecycle) and had not five minutes after it was due.

*No write*, *no read*: from the fault until good answers again, for a client that asks every 20 ms
over a new connection, first at the node that fails; median of the rounds, 0 where none was missed.
*Whole*: from the fault's end until no node missed anything; median and longest.

Each round with its build and seed is a line of [faults.jsonl](faults.jsonl), added by
`python -m lab.matrix --record docs/faults.jsonl`; `python -m lab.recorded` makes this page of them.
"""

COLUMNS = (
    "fault",
    "rounds",
    "acknowledged",
    "lost",
    "late",
    "doubled",
    "wrong",
    "no write, s",
    "no read, s",
    "whole, s",
)


@dataclass(frozen=True)
class Recorded:
    """One round. ``build``: the commit. ``late``: what was to happen by itself and was still
    missing when it was looked for the last time, not counted as lost. Times in seconds; None where
    the probe had nothing."""

    build: str
    day: str
    fault: str
    seed: int
    shards: int
    led: bool
    acknowledged: int
    operations: int
    chores: int
    lost: int
    late: int
    doubled: int
    wrong: int
    whole_s: float
    no_write_s: float | None
    no_read_s: float | None

    @property
    def key(self) -> Key:
        return self.fault, self.seed, self.shards


def read(file: Path = RECORD) -> list[Recorded]:
    """The recorded rounds, oldest first; none where there is no file."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [Recorded(**json.loads(line)) for line in lines]


def add(file: Path, one: Recorded) -> None:
    """Append ``one``."""
    with file.open("a") as out:
        out.write(json.dumps(asdict(one)) + "\n")


def seconds(times: Times | None, name: str) -> float | None:
    """A time of the probe's, for the record."""
    told: float | None = getattr(times, name) if times else None
    return None if told is None else round(told, 2)


def build() -> str:
    """The commit of this checkout, "" where it is none."""
    words = ["git", "-C", str(ROOT), "rev-parse", "--short=8", "HEAD"]
    told = subprocess.run(words, capture_output=True, text=True, timeout=30)
    return told.stdout.strip()


def page(rounds: Sequence[Recorded]) -> str:
    """The page's text."""
    parts = [HEAD]
    for shards in sorted({r.shards for r in rounds}, reverse=True):
        parts.append(_section(shards, [r for r in rounds if r.shards == shards]))
    return "\n".join(parts)


def _section(shards: int, rounds: Sequence[Recorded]) -> str:
    named = "one shard" if shards == 1 else f"{shards} shards"
    days = sorted({r.day for r in rounds})
    over = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    bad, all_of = sum(r.lost + r.doubled + r.wrong for r in rounds), len(rounds)
    late = sum(r.late for r in rounds)
    effects, operations = sum(r.acknowledged for r in rounds), sum(r.operations for r in rounds)
    lines = [
        f"## On {named}",
        "",
        f"{all_of} rounds, {over}: {effects:,} acknowledged effects, {operations:,} operations of"
        f" checked histories, **{bad} lost, doubled or wrong**, {late} late.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    for fault in FAULTS:
        own = [r for r in rounds if r.fault == fault.name]
        if not own:
            continue
        whole = [r.whole_s for r in own]
        cells = (
            f"`{fault.name}`: {fault.what}",
            len(own),
            f"{sum(r.acknowledged for r in own):,}",
            sum(r.lost for r in own),
            sum(r.late for r in own),
            sum(r.doubled for r in own),
            sum(r.wrong for r in own),
            _median(r.no_write_s for r in own),
            _median(r.no_read_s for r in own),
            f"{median(whole):.1f}, {max(whole):.1f}",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, ""])


def _median(numbers: Iterable[float | None]) -> str:
    known = [n for n in numbers if n is not None]
    return f"{median(known):.1f}" if known else "–"


def main() -> int:
    PAGE.write_text(page(read()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
