"""How fast front ends were dropped: a line for each round in ``docs/fronts.jsonl``, and the page
made of them (``python -m lab.recorded``)."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.losses import LOSSES
from lab.probe import Seen, outage

ROOT = Path(__file__).resolve().parents[1]
RECORD, PAGE = ROOT / "docs" / "fronts.jsonl", ROOT / "docs" / "fronts.md"
GOOD = {"GET": 200, "POST": 405}  # what the fronts answer: a bucket takes no POST
SLOW_S = 0.5  # beyond the median of before the fault

HEAD = """# Front ends: how fast the edge drops one that is gone

Three nodes with addresses of their own on one machine. Every 20 ms a GET and a POST, each over a
new connection, to the edge (Caddy) of one node; they ask a front end for what it can answer alone:
a page from the cache, and a POST that it refuses. Then a front end, or the whole of another node,
is lost ([lab/DESIGN.md](../lab/DESIGN.md)). So that other nodes' front ends are asked at all, the
asked node's own are as busy as its Caddy lets them become with viewers who read slowly, except
where one of them is the one to be lost.

*Reaction*: from the fault until the last request began that failed, or that took half a second
longer than before: the edge hands nothing more to the lost one. *Recovery*: from then until the
first of five good answers in a row, where a request failed; *outage*: from the fault until then, 0
where none failed. *Repair*: from the fault until the front ends that were lost answer again, by
their supervisor's work. *Waited*: requests that took half a second longer and were answered well
in the end; *longest*: the longest time a request took. Median and worst of the rounds, seconds.

One that is killed is found by the first request that meets it. One that hangs is found when it
leaves Caddy's question for its health unanswered for a second; a node's own front ends are asked
every half second, another node every second. Until then the least busy come first, and a request
that hangs makes its front end busier, so few are handed over. They wait until the front end is
ended, when GETs are asked again elsewhere, or until the node goes on. A POST is never sent twice:
one that was under way is answered 502 or 503.

Each round with its build and seed is a line of [fronts.jsonl](fronts.jsonl), added by
`python -m lab.fronts --record docs/fronts.jsonl`; `python -m lab.recorded` makes this page of them.
"""
COLUMNS = ("fault", "rounds", "asked", "failed", "waited", "reaction", "recovery", "outage",
           "longest", "repair")  # fmt: skip


@dataclass(frozen=True)
class Told:
    """One kind of request after the fault, in seconds. ``failed``: how many by status, "0" where
    there was no whole answer. The times: see ``HEAD``; ``usual_s``: the median of before."""

    asked: int
    failed: dict[str, int]
    waited: int
    usual_s: float
    reaction_s: float
    outage_s: float
    longest_s: float

    @property
    def recovery_s(self) -> float | None:
        return max(0.0, self.outage_s - self.reaction_s) if self.outage_s else None


@dataclass(frozen=True)
class Drop:
    """One round. ``fronts``: how many processes answered before the fault; ``load``: the machine's
    load average then."""

    build: str
    day: str
    fault: str
    seed: int
    victim: str
    fronts: int
    load: float
    repair_s: float | None
    GET: Told
    POST: Told

    @property
    def key(self) -> tuple[str, int]:
        return self.fault, self.seed


def told(seen: Iterable[Seen], kind: str, since: float, until: float) -> Told:
    """How requests of ``kind`` fared that were under way at ``since`` or began before ``until``."""
    own = sorted((s for s in seen if s.kind == kind), key=lambda s: s.began)
    before = [s for s in own if s.ended < since]
    assert before, "nothing was asked before the fault"
    usual = statistics.median(s.ended - s.began for s in before)
    after = [s for s in own if s.ended >= since and s.began < until]
    failed = [s for s in after if s.told != GOOD[kind]]
    waited = [s for s in after if s.told == GOOD[kind] and s.ended - s.began > usual + SLOW_S]
    judged = [Seen(kind, s.began, s.ended, s.target, s.told == GOOD[kind]) for s in after]
    last = max((s.began for s in failed + waited), default=since)
    return Told(
        len(after),
        dict(Counter(str(s.told) for s in failed)),
        len(waited),
        round(usual, 4),
        round(max(0.0, last - since), 3),
        round(outage(judged, since), 3) if judged else 0.0,
        round(max((s.ended - s.began for s in after), default=0.0), 3),
    )


def read(file: Path = RECORD) -> list[Drop]:
    """The recorded rounds, oldest first; none where there is no file."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [_drop(json.loads(line)) for line in lines]


def _drop(line: dict[str, Any]) -> Drop:
    return Drop(**line | {kind: Told(**line[kind]) for kind in GOOD})


def add(file: Path, one: Drop) -> None:
    """Append ``one``."""
    with file.open("a") as out:
        out.write(json.dumps(asdict(one)) + "\n")


def page(rounds: Sequence[Drop]) -> str:
    """The page's text."""
    days = sorted({r.day for r in rounds})
    parts = [HEAD]
    if days:
        over = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
        loads = [r.load for r in rounds]
        parts.append(
            f"{len(rounds)} rounds, {over}, on two cores with a load of {min(loads):.0f} to"
            f" {max(loads):.0f} (median {statistics.median(loads):.0f}).\n"
        )
    for kind in GOOD:
        parts += [f"## {kind}", "", table(rounds, kind), ""]
    return "\n".join(parts)


def table(rounds: Sequence[Drop], kind: str) -> str:
    """A line for each fault."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for loss in LOSSES:
        own = [r for r in rounds if r.fault == loss.name]
        if not own:
            continue
        all_of: list[Told] = [getattr(r, kind) for r in own]
        cells = (
            f"`{loss.name}`: {loss.what}",
            str(len(own)),
            f"{sum(t.asked for t in all_of):,}",
            _by_status(all_of),
            str(sum(t.waited for t in all_of)),
            *(_both(getattr(t, f"{name}_s") for t in all_of) for name in COLUMNS[5:9]),
            _both(r.repair_s for r in own),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _by_status(all_of: Sequence[Told]) -> str:
    failed: Counter[str] = sum((Counter(t.failed) for t in all_of), Counter())
    names = {"0": "broken off"}
    told = [f"{names.get(s, s)}: {n}" for s, n in sorted(failed.items())]
    return f"{failed.total()} ({', '.join(told)})" if told else "0"


def _both(numbers: Iterable[float | None]) -> str:
    there = [n for n in numbers if n is not None]
    return f"{statistics.median(there):.2f}, {max(there):.2f}" if there else "–"
