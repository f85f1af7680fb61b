"""The fault matrix: every fault of ``lab.faults`` on a cluster under load, round by round.

    python -m lab.matrix --rounds 5 --out var/faults -- .venv/bin/pileus

forms three nodes with disks of their own and goes through the faults, each so often; resumable:
``rounds.jsonl`` keeps every round with its seed, ``--record`` adds a line to those that the
project keeps (``lab.recorded``), whose rounds count as made. A round: load begins
(``lab.history.load`` and ``lab.sessions`` at each node, ``lab.ledger``, the probe), the fault is
made, held, ended; the cluster must be whole again by itself; everything is read. Wrong is: an
acknowledged write lost or doubled, a history that no order explains, a session that went back, a
cluster that is not whole in time.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from lab import probe, recorded
from lab.chores import EXPIRED_LATE_S, LATE
from lab.cluster import PATIENCE_S, Cluster
from lab.faults import FAULTS, Fault, Scene, possible
from lab.history.linearizable import Undecided
from lab.history.load import Load
from lab.ledger import Ledger, enough
from lab.rig import API_PORT, NodeFailed, Rig, RigNode, until
from lab.sessions import Sessions

PACE_S, PAUSE_S, ROWS = 0.1, 1.5, 8
BEFORE_ACKNOWLEDGED, AFTER_ACKNOWLEDGED = 15, 15
PROBED = ("write", "strong", "read")
DAY_S = 30
SAID_CHARS_MAX = 200
DISK_MB = 8192  # a round leaves some 20 MB behind for an hour


@dataclass
class Round:
    """One round. ``led``: the victim led the log that the probe writes to. ``whole_s``: from the
    end of the fault until the cluster was whole. ``session_reads``: eventual, held to what their
    session knew. ``times``: of each kind the probe asked."""

    fault: str
    seed: int
    victim: str
    led: bool
    shards: int = 1  # of the cloud; what was recorded before it was told is of one
    acknowledged: int = 0
    operations: int = 0
    chores: int = 0  # of the background work, since the cluster began
    session_reads: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    whole_s: float = 0.0
    seconds: float = 0.0
    times: dict[str, probe.Times] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def bad(self) -> list[str]:
        return self.lost + self.doubled + self.wrong


def one_round(cluster: Cluster, fault: Fault, seed: int, keep: Path) -> Round:
    """Raises nothing for what the cluster does wrong: that is told."""
    began = time.monotonic()
    rng = random.Random(f"{fault.name}/{seed}")
    leader = cluster.leader()
    others = [n for n in cluster.nodes if n is not leader]
    victim = leader if fault.led or seed % 2 == 0 else rng.choice(others)
    done = Round(fault.name, seed, victim.name, victim is leader, cluster.shards)
    scene = Scene(cluster.rig, cluster.nodes, victim, rng, cluster.known.encode(), notes=done.notes)
    ended = {"victim": [victim], "all": cluster.nodes, "": []}[fault.kills]
    killed = [node.name for node in ended]
    run = f"{fault.name}-{seed}-{time.time_ns():x}"
    ledger = Ledger(cluster.doors, cluster.names, run, seed)
    load = Load(
        [door.client for door in cluster.doors],
        cluster.names,
        random.Random(run).randrange(2**60),
        each=len(cluster.doors),
        cells=[door.cells for door in cluster.doors],
        pace_s=PACE_S,
        pause_s=PAUSE_S,
        rows=ROWS,
    )
    sessions = Sessions(cluster.doors, cluster.names.tables, run, seed)
    seen = keep / f"{run}.probe"
    broken_at = time.monotonic()
    load.start()
    ledger.start()
    sessions.start()
    cluster.chores.start(run, seed)
    try:
        with probing(cluster, victim, seen):
            broken_at, since = _break(cluster, fault, scene, ledger, done)
    finally:
        ledger.stop()
        load.stop()
        sessions.stop()
        cluster.chores.stop()
    done.session_reads, done.wrong = sessions.reads, done.wrong + sessions.wrong
    _judge(cluster, load, ledger, done)
    _judge_chores(cluster, broken_at, killed, done)
    shown = list(probe.read(seen))
    done.times = {kind: probe.times(shown, kind, since, victim.name) for kind in PROBED}
    done.seconds = time.monotonic() - began
    if done.bad:
        load.recorder.save(keep / f"{run}.jsonl")
    return done


def _break(
    cluster: Cluster, fault: Fault, scene: Scene, ledger: Ledger, done: Round
) -> tuple[float, float]:
    """Make the fault and end it; when that was begun, when it was made."""
    if not enough(ledger, BEFORE_ACKNOWLEDGED, PATIENCE_S):
        done.wrong.append("nothing was acknowledged before the fault")
    scene.note(fault.what)
    if cluster.shards > 1:
        led = cluster.led(scene.victim)
        scene.note(f"it leads the logs of shards {led}; the probe writes to {cluster.shard}")
    begun = time.monotonic()
    with fault.make(scene):
        since = time.monotonic()
        time.sleep(fault.hold_s)
    done.whole_s = cluster.settled(fault.settle_s)
    if done.whole_s > PATIENCE_S:
        done.wrong.append(f"the cluster is not whole {PATIENCE_S:.0f} s after the fault")
    if not enough(ledger, AFTER_ACKNOWLEDGED, PATIENCE_S):
        done.wrong.append("nothing is acknowledged after the fault")
    return begun, since


def _judge(cluster: Cluster, load: Load, ledger: Ledger, done: Round) -> None:
    done.acknowledged = len(ledger.kept)
    try:
        for door in cluster.doors:
            load.read_all(door.client, door.cells())
        done.lost, done.doubled = ledger.wrong()
        if not done.lost:
            ledger.forget_objects()
    except Exception as error:  # whatever a client says: it did not get what it should
        done.wrong.append(f"reading everything ended with {error!r}")
    done.operations = len(load.recorder.operations) + len(load.recorder.transactions)
    try:
        done.wrong += load.wrong()
    except Undecided as error:
        done.wrong.append(f"the search for an order was given up: {error}")


def _judge_chores(cluster: Cluster, begun: float, killed: Sequence[str], done: Round) -> None:
    try:
        lost, doubled = cluster.chores.wrong(begun, killed)
    except Exception as error:
        done.wrong.append(f"looking at the background work ended with {error!r}")
        return
    done.lost += lost
    done.doubled += doubled
    done.chores = cluster.chores.acknowledged


@contextmanager
def probing(cluster: Cluster, first: RigNode, out: Path) -> Any:
    """The probe runs; it begins at the address of the node that is to fail."""
    nodes = [first, *(n for n in cluster.nodes if n is not first)]
    targets = [
        {"name": n.name, "host": n.address, "port": API_PORT, "asks": cluster.asks(n)}
        for n in nodes
    ]
    words = [sys.executable, "-m", "lab.probe"]
    folder = Path(__file__).resolve().parents[1]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, text=True, cwd=folder)
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps({"out": str(out.absolute()), "targets": targets}) + "\n")
        process.stdin.flush()
        until(out.exists, 60, "the probe began")
        yield
    finally:
        process.stdin.close()
        process.wait(timeout=60)


def verified(cluster: Cluster) -> list[str]:
    """What is wrong with the copies, as the product's own proof tells, and stays wrong: a third
    copy of a blob may still be on its way."""
    deadline = time.monotonic() + PATIENCE_S
    while (wrong := _wrong_copies(cluster.nodes[0])) and time.monotonic() < deadline:
        time.sleep(2)
    return wrong


def _wrong_copies(node: RigNode) -> list[str]:
    try:
        told = json.loads(node.run("verify", "--json", timeout_s=600))
    except NodeFailed as error:
        said = str(error)
        return [said[max(0, said.find('"problems"')) :][:2000]]
    shards = [told["nodes"], *told["shards"]]
    unequal = [f"copies differ: {one}" for one in shards if len(set(one["digests"].values())) != 1]
    unasked = [f"not compared: {one}" for one in shards if one["unasked"]]
    return [*told["problems"], *unequal, *unasked]


# -- many rounds -----------------------------------------------------------------------------------


def table(rounds: Sequence[Round]) -> str:
    """A line for each number of shards and fault: rounds, what is lost, doubled or wrong, medians
    of times."""

    def shown(number: float | None) -> str:
        return "    –" if number is None else f"{number:5.1f}"

    heads = ("reaction", "repair", "recovery", "outage", "gap")
    about = f"{'fault':<14}{'shards':>6}{'rounds':>7}{'acked':>7}{'lost':>5}{'dbl':>4}{'bad':>4} "
    lines = [f"{about}{'write: ' + ' '.join(heads):<44} strong {'read: outage gap':<18} whole"]
    for shards, name in dict.fromkeys((r.shards, r.fault) for r in rounds):
        own = [r for r in rounds if (r.shards, r.fault) == (shards, name)]
        writes, strong, reads = ([r.times[k] for r in own if k in r.times] for k in PROBED)
        wanted: list[tuple[list[probe.Times], str]] = [(writes, head) for head in heads]
        wanted += [(strong, "outage"), (reads, "outage"), (reads, "gap")]
        medians = [probe.median(getattr(t, head) for t in of) for of, head in wanted]
        lines.append(
            f"{name:<14}{shards:>6}{len(own):>7}{sum(r.acknowledged for r in own):>7}"
            f"{sum(len(r.lost) for r in own):>5}{sum(len(r.doubled) for r in own):>4}"
            f"{sum(len(r.wrong) for r in own):>4} " + " ".join(shown(m) for m in medians)
            + f" {shown(probe.median(r.whole_s for r in own))}"
        )  # fmt: skip
    return "\n".join(lines)


def load_rounds(file: Path) -> list[Round]:
    """What was recorded before."""
    if not file.exists():
        return []
    found = [Round(**json.loads(line)) for line in file.read_text().splitlines()]
    for one in found:
        one.times = {k: probe.Times(**t) for k, t in one.times.items()}  # type: ignore[arg-type]
    return found


def run(
    cluster: Cluster,
    faults: Iterable[Fault],
    rounds: int,
    out: Path,
    say: Callable[[str], None],
    seconds_max: float = math.inf,
    kept: Path | None = None,
) -> list[Round]:
    """Until every fault has had its rounds; those recorded in ``out`` and in ``kept`` count. No
    round begins after ``seconds_max``."""
    record = out / "rounds.jsonl"
    done = load_rounds(record)
    made = {(r.fault, r.seed, r.shards) for r in done}
    made |= {r.key for r in recorded.read(kept)} if kept else set()
    faults = list(faults)
    ends = time.monotonic() + seconds_max
    for seed in range(rounds):
        for fault in faults:
            if (fault.name, seed, cluster.shards) in made:
                continue
            if time.monotonic() > ends:
                return done
            one = one_round(cluster, fault, seed, out)
            done.append(one)
            with record.open("a") as file:
                file.write(json.dumps(dataclasses.asdict(one)) + "\n")
            if kept:
                recorded.add(kept, summary(one))
            write = one.times["write"]
            say(
                f"{one.fault} {one.seed} on {one.victim}{' (led)' if one.led else ''}:"
                f" {one.acknowledged} acknowledged, outage {write.outage:.1f} s, whole after"
                f" {one.whole_s:.1f} s, {len(one.bad)} wrong, {one.seconds:.0f} s"
            )
            for said in one.bad[:5]:
                say(f"  {said}")
    return done


def summary(one: Round) -> recorded.Recorded:
    """What the project keeps of a round."""
    late = sum(said.startswith(LATE) for said in one.lost)
    return recorded.Recorded(
        recorded.build(),
        time.strftime("%Y-%m-%d", time.gmtime()),
        one.fault,
        one.seed,
        one.shards,
        one.led,
        one.acknowledged,
        one.operations,
        one.chores,
        len(one.lost) - late,
        late,
        len(one.doubled),
        len(one.wrong),
        round(one.whole_s, 1),
        **recorded.times(dataclasses.asdict(one)["times"]),
        session_reads=one.session_reads,
        said=next((said for said in one.bad if not said.startswith(LATE)), "")[:SAID_CHARS_MAX]
        or None,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--faults", default=",".join(f.name for f in FAULTS))
    parser.add_argument("--out", type=Path, default=Path("var/faults"))
    parser.add_argument("--record", type=Path, help="add each round to this file, make none of it")
    parser.add_argument("--shards", type=int, help="of the cloud; else what a new cluster has")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no round later")
    parser.add_argument("words", nargs="+", help="the product's command, after --")
    wish = parser.parse_args()
    wish.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what is made is taken away first
    env = {"PILEUS_S3_DAY_S": str(DAY_S)}
    env |= {"PILEUS_SHARDS": str(wish.shards)} if wish.shards else {}
    with Rig(3, wish.words, env, disks=True, disk_mb=DISK_MB) as rig:
        rig.form()
        cluster = Cluster(rig, day_s=DAY_S)
        until(cluster.whole, PATIENCE_S, "three nodes that see each other")
        until(cluster.even, PATIENCE_S, "as many logs led by one node as by another")
        wanted = [f for f in possible(rig.nodes) if f.name in wish.faults.split(",")]
        try:
            say = partial(print, flush=True)
            done = run(cluster, wanted, wish.rounds, wish.out, say, wish.seconds, wish.record)
            problems = sum(cluster.chores.settled(EXPIRED_LATE_S), verified(cluster))
        finally:
            for node in rig.nodes:
                (wish.out / f"{node.name}.log").write_text(node.log())
    print(table(done))
    print("\n".join(problems) or "the nodes' copies are equal, and whole")
    return 1 if problems or any(r.bad for r in done) else 0


if __name__ == "__main__":
    sys.exit(main())
