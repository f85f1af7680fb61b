"""The rounds that count: a line each in ``docs/faults.jsonl``, and the page made of them.

    python -m lab.recorded                      makes docs/faults.md, and docs/fronts.md, anew
    python -m lab.matrix --record docs/faults.jsonl …   adds to the record
    python -m lab.recorded --fill var/faults/rounds.jsonl   adds times that recorded rounds lack

A recorded round is what remains of a ``matrix.Round`` when its cluster is gone: of which build,
what was acknowledged, what was wrong, how long it took. Its (fault, seed, shards) is not made
again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from lab import drops
from lab.faults import FAULTS

ROOT = Path(__file__).resolve().parents[1]
RECORD, PAGE = ROOT / "docs" / "faults.jsonl", ROOT / "docs" / "faults.md"
Key = tuple[str, int, int]

HEAD = """# Faults: every round that was made

Three nodes with addresses, disks and clocks of their own on one machine, under load from outside,
and one fault after the other ([lab/DESIGN.md](../lab/DESIGN.md) says how each is made). After each:
every acknowledged effect is looked for through every node, repetitions by token, an order that
explains the recorded history is searched (linearizable by row, serializable by transaction), no
eventual read may be older than what its session saw or wrote through the same node, and the cluster
must be whole again by itself within two and a half minutes. *Lost*, *doubled* and
*wrong* count what was not so; *late* what was to happen by itself (a function called for later, an
end by TTL or by lifecycle) and had not five minutes after it was due.

*No write*, *no read*: from the fault until good answers again, for a client that asks every 20 ms
over a new connection, first at the node that fails; median of the rounds, 0 where none was missed.
*Whole*: from the fault's end until no node missed anything; median and longest.

Where the node that fails led the log that is written to: *reaction*, from the fault until a living
node says that it is not well; *repair*, from then until living nodes are seen to lead all logs
(they tell every other second); *recovery*, from the reaction until writes are good again; *outage*,
from the fault until then, for writes, strong and eventual reads. Medians of the rounds whose four
times were kept.

Each round with its build and seed is a line of [faults.jsonl](faults.jsonl), added by
`python -m lab.matrix --record docs/faults.jsonl`; `python -m lab.recorded` makes this page of them.
"""

LOSSES = ("kill", "freeze", "cut-both", "cut-one-way", "unplug", "log-leader")
TIMES = (
    "fault",
    "rounds",
    "reaction, s",
    "repair, s",
    "recovery, s",
    "outage: writes, s",
    "strong reads, s",
    "eventual reads, s",
)
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
    missing when it was looked for the last time, not counted as lost. ``session_reads``: eventual
    reads held to what their session knew. Times in seconds, what they
    mean says ``lab.probe``; None where the probe had nothing, or was not asked yet."""

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
    no_write_s: float | None = None
    no_read_s: float | None = None
    no_strong_s: float | None = None
    reaction_s: float | None = None
    repair_s: float | None = None
    recovery_s: float | None = None
    session_reads: int | None = None
    said: str | None = None  # of a round that lost, doubled or answered wrongly: its first finding

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
        out.write(_line(one))


def _line(one: Recorded) -> str:
    known = {name: value for name, value in asdict(one).items() if value is not None}
    return json.dumps(known) + "\n"


def times(told: dict[str, Any]) -> dict[str, float | None]:
    """The record's times, of a round's as ``rounds.jsonl`` keeps them: by kind of request."""

    def seconds(kind: str, name: str) -> float | None:
        found = told.get(kind, {}).get(name)
        return None if found is None else round(found, 2)

    outages = {f"no_{kind}_s": seconds(kind, "outage") for kind in ("write", "read", "strong")}
    steps = ("reaction", "repair", "recovery")
    return outages | {f"{step}_s": seconds("write", step) for step in steps}


def filled(rounds: Iterable[Recorded], kept: Iterable[dict[str, Any]]) -> list[Recorded]:
    """``rounds`` with the times they lack, where ``kept`` (lines of ``rounds.jsonl``) has the same
    round: of the same fault, seed and shards, and the same outage."""
    found = {
        (one["fault"], one["seed"], one["shards"], known["no_write_s"]): known
        for one in kept
        if "shards" in one and (known := times(one["times"]))
    }
    return [
        replace(one, **found.get((*one.key, one.no_write_s), {}))  # type: ignore[arg-type]
        if one.reaction_s is None
        else one
        for one in rounds
    ]


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
    sessions = sum(r.session_reads or 0 for r in rounds)
    lines = [
        f"## On {named}",
        "",
        f"{all_of} rounds, {over}: {effects:,} acknowledged effects, {operations:,} operations of"
        f" checked histories, {sessions:,} eventual reads of sessions, **{bad} lost, doubled or"
        f" wrong**, {late} late.",
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
    return "\n".join([*lines, *_times(rounds), *_findings(rounds), ""])


def _findings(rounds: Sequence[Recorded]) -> list[str]:
    """What was lost, doubled or wrong, in words."""
    found = [r for r in rounds if r.lost or r.doubled or r.wrong]
    if not found:
        return []
    lines = [
        "",
        "What was lost, doubled or wrong ([bugs.md](bugs.md) tells what it came from):",
        "",
    ]
    return lines + [f"- `{r.fault}` {r.seed}, build {r.build}: {r.said or '?'}" for r in found]


def _times(rounds: Sequence[Recorded]) -> list[str]:
    """How the loss of a leader went, medians of the rounds of which the record tells."""
    lines = ["", f"| {' | '.join(TIMES)} |", "|---" * len(TIMES) + "|"]
    for fault in LOSSES:
        own = [r for r in rounds if r.fault == fault and r.led and r.reaction_s is not None]
        if not own:
            continue
        steps = [(r.reaction_s, r.repair_s, r.recovery_s) for r in own]
        outages = [(r.no_write_s, r.no_strong_s, r.no_read_s) for r in own]
        told = [_median(column) for each in (steps, outages) for column in zip(*each, strict=True)]
        lines.append(f"| `{fault}` | {len(own)} | {' | '.join(told)} |")
    return lines if len(lines) > 3 else []


def _median(numbers: Iterable[float | None]) -> str:
    known = [n for n in numbers if n is not None]
    return f"{median(known):.1f}" if known else "–"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fill", type=Path, nargs="+", default=[], metavar="ROUNDS")
    kept = [json.loads(line) for file in parser.parse_args().fill for line in file.open()]
    rounds = read()
    if kept:
        rounds = filled(rounds, kept)
        RECORD.write_text("".join(map(_line, rounds)))
    PAGE.write_text(page(rounds))
    drops.PAGE.write_text(drops.page(drops.read()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
