"""How fast the edge of one node drops front ends that are gone, its own and other nodes'.

    python -m lab.fronts --rounds 10 --record docs/fronts.jsonl -- .venv/bin/pileus

forms three nodes and goes through ``lab.losses``, each so often; the record's rounds count as made
(``lab.drops`` makes the page of them). A round: ``lab.viewers`` ask the edge of the first node,
which has its own front ends busy unless one of those is to go; the loss is made, held, ended, and
the cluster waited for.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lab import drops, recorded
from lab.cluster import EDGE_PORT, PATIENCE_S, Cluster
from lab.distributions import forwarding, of_bucket
from lab.drops import Drop
from lab.faults import Scene
from lab.ledger import PATIENT
from lab.losses import LOSSES, Front, Loss, answers, fronts, upstreams
from lab.policies import public_read
from lab.probe import Seen
from lab.rig import Rig, until
from lab.viewers import Viewers

BUSY = 16  # requests under way at a front end from which on its Caddy looks at other nodes
BEFORE_S, POLL_S = 2.0, 0.05
SEEN_MIN = 3  # answers whose ids begin alike are of one process
PAGE_BYTES, LONG_BYTES = 2000, 20 * 1024 * 1024  # the edge keeps nothing as long as that


class Street:
    """A cluster whose first node's edge is asked, and what is asked for there."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.asked, *self.others = cluster.nodes
        s3 = cluster.doors[0].client("s3", PATIENT)
        bucket = f"{cluster.name}-pages"
        s3.create_bucket(Bucket=bucket)
        s3.delete_public_access_block(Bucket=bucket)
        s3.put_bucket_policy(Bucket=bucket, Policy=public_read(bucket))
        for key, size in (("page", PAGE_BYTES), ("long", LONG_BYTES)):
            s3.put_object(Bucket=bucket, Key=key, Body=random.randbytes(size))
        folder = f"/_cdn/{self._distribute(bucket)}"
        self.viewers = Viewers(self.asked.address, EDGE_PORT, f"{folder}/page", f"{folder}/long")

    def _distribute(self, bucket: str) -> str:
        methods = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]
        allowed: dict[str, Any] = {"AllowedMethods": {"Quantity": len(methods), "Items": methods}}
        config = of_bucket(bucket, **allowed, **forwarding(86400))
        cloudfront = self.cluster.doors[0].client("cloudfront", PATIENT)
        made = cloudfront.create_distribution(DistributionConfig=config)
        return str(made["Distribution"]["Id"])

    def prepare(self, busy: bool) -> None:
        """Every front end of every node answers, and knows the page; those of the asked node are
        as busy as asked for."""
        until(self.whole, PATIENCE_S, "three nodes whose front ends answer", 0.2)
        own = fronts(self.asked)
        self.viewers.slow(len(own) * BUSY if busy else 0)
        until(lambda: self._busy(own) == busy, PATIENCE_S, "front ends as busy as is wanted", 0.1)
        with self.viewers.asking() as seen:
            until(lambda: _well(seen), PATIENCE_S, "good answers to all", 0.1)
        self.viewers.answered()

    def whole(self) -> bool:
        if not self.cluster.whole():
            return False
        known = [fronts(node) for node in self.cluster.nodes]
        return all(known) and all(answers(front) for own in known for front in own)

    def _busy(self, own: Sequence[Front]) -> bool:
        """Whether none of the asked node's front ends takes more before other nodes are looked
        at."""
        busy = [u["address"] for u in upstreams(self.asked) if u["num_requests"] >= BUSY]
        return all(any(at.endswith(str(front.socket)) for at in busy) for front in own)


def _well(seen: Sequence[Seen], row: int = 50) -> bool:
    """Whether the last answers of each kind were good, and quick."""
    return all(
        len(own := [s for s in list(seen) if s.kind == kind][-row:]) == row
        and all(s.told == good and s.ended - s.began < drops.SLOW_S for s in own)
        for kind, good in drops.GOOD.items()
    )


def one_round(street: Street, loss: Loss, seed: int) -> Drop:
    """One loss, and what the viewers saw of it."""
    rng = random.Random(f"{loss.name}/{seed}")
    victim = street.asked if loss.own else rng.choice(street.others)
    nodes = street.cluster.nodes
    scene = Scene(street.cluster.rig, nodes, victim, rng, log=lambda said: None)
    street.prepare(busy=not loss.own)
    there = fronts(victim)
    lost = rng.sample(there, min(loss.fronts, len(there)))
    with street.viewers.asking() as seen:
        time.sleep(BEFORE_S)
        load, since = os.getloadavg()[0], time.monotonic()
        with loss.make(scene, lost):
            repair = _hold(lost, since, loss.hold_s)
            over = time.monotonic()
    street.viewers.answered()
    processes = Counter(s.target for s in seen if s.target and s.ended < since)
    return Drop(
        recorded.build(),
        time.strftime("%Y-%m-%d", time.gmtime()),
        loss.name,
        seed,
        f"{victim.name} {' '.join(front.name for front in lost)}".strip(),
        sum(count >= SEEN_MIN for count in processes.values()),
        round(load, 1),
        repair,
        *(drops.told(seen, kind, since, over) for kind in drops.GOOD),
    )


def _hold(lost: Sequence[Front], since: float, seconds: float) -> float | None:
    """Wait until ``seconds`` after ``since``; when all that were lost answered again."""
    repair = None
    while (now := time.monotonic()) < since + seconds:
        if lost and repair is None and all(answers(front) for front in lost):
            repair = round(now - since, 3)
        time.sleep(POLL_S)
    return repair


def run(
    street: Street,
    losses: Iterable[Loss],
    rounds: int,
    record: Path,
    say: Callable[[str], None],
    seconds_max: float = math.inf,
) -> list[Drop]:
    """Until every loss has had its rounds, those in ``record`` among them. No round begins after
    ``seconds_max``."""
    done = drops.read(record)
    made = {one.key for one in done}
    ends = time.monotonic() + seconds_max
    for seed in range(rounds):
        for loss in losses:
            if (loss.name, seed) in made:
                continue
            if time.monotonic() > ends:
                return done
            one = one_round(street, loss, seed)
            done.append(one)
            drops.add(record, one)
            say(
                f"{one.fault} {seed} ({one.victim}, {one.fronts} fronts, load {one.load}):"
                f" GET {one.GET}, POST {one.POST}, repair {one.repair_s}"
            )
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--losses", default=",".join(x.name for x in LOSSES))
    parser.add_argument("--record", type=Path, default=Path("var/fronts.jsonl"))
    parser.add_argument("--shards", type=int, default=1, help="of the cloud")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no round later")
    parser.add_argument("words", nargs="+", help="the product's command, after --")
    wish = parser.parse_args()
    wish.record.parent.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what is made is taken away first
    env = {"PILEUS_SHARDS": str(wish.shards), "PILEUS_FRONT_PROCESSES": "2"}
    with Rig(3, wish.words, env) as rig:
        rig.form()
        cluster = Cluster(rig)
        until(cluster.whole, PATIENCE_S, "three nodes that see each other")
        wanted = [x for x in LOSSES if x.name in wish.losses.split(",")]
        wanted = [x for x in wanted if rig.links or not x.links]
        street = Street(cluster)
        with street.viewers:
            say = partial(print, flush=True)
            done = run(street, wanted, wish.rounds, wish.record, say, wish.seconds)
    print(*(drops.table(done, kind) for kind in drops.GOOD), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
