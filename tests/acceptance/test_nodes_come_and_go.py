"""Nodes join, die, drain and leave under load; data, the log's copies and the work done once for
all move with them (C1, C3, C5, F6, S6, S7).

Each test goes on where the one before it ended.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.rig import NodeFailed, RigNode, until
from tests.acceptance import functions, losing_log
from tests.acceptance.grown import REBUILD_S, Grown
from tests.acceptance.nodes import TABLE, At, Cloud, all_alive, last_words, seen_from, whole
from tests.acceptance.spread import BODY, Spread, even, served, told

OBJECTS = 200  # their names are random: of so many every node keeps a fair share for sure
EVEN_WRITES = 150
FOUR = ["n1", "n2", "n3", "n4"]
NOTING = f"""
import boto3
def handler(event, context):
    told = event.get("Records", [])
    for name in [r["s3"]["object"]["key"] for r in told] or [event["k"]]:
        item = {{"k": {{"S": name}}, "v": {{"S": "noted"}}}}
        boto3.client("dynamodb").put_item(TableName="{TABLE}", Item=item)
"""


class Parting(Cloud):
    """``early``: the names of the blobs that are there before a node joins."""

    early: frozenset[str] = frozenset()
    acknowledged: tuple[str, ...] = ()

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud.rig)
        self.keys = cloud.keys
        self.token = cloud.rig.nodes[0].run("token").split()[-1]


@pytest.fixture(scope="module")
def parting_nodes(grown: Grown) -> Iterator[Parting]:
    """The three nodes that tests share, and a host for a fourth."""
    made = Parting(grown.whole())
    _make_objects(made)
    _make_events(At(made, made.rig.nodes[0]))
    yield made
    for node in made.rig.nodes:
        print(last_words(node))
    grown.close()


def blobs(node: RigNode) -> dict[str, Path]:
    return {path.name: path for path in (node.home / "blobs").glob("??/*")}


def _make_objects(cloud: Parting) -> None:
    """Blobs on three nodes, of some time ago: what is younger than an hour stays where it is."""
    s3, living = cloud.client("s3", cloud.rig.nodes[0]), cloud.rig.nodes[:3]
    s3.create_bucket(Bucket="spread")
    before = set().union(*(blobs(node) for node in living))
    for number in range(OBJECTS):
        s3.put_object(Bucket="spread", Key=f"early{number}", Body=BODY + b"%d" % number)

    def on_all() -> frozenset[str]:
        return frozenset.intersection(*(frozenset(blobs(node)) - before for node in living))

    until(lambda: len(on_all()) >= OBJECTS, 20, "three copies of each")
    cloud.early = on_all()
    for node in living:
        for name in cloud.early:
            os.utime(node.home / "blobs" / name[:2] / name, (time.time() - 7200,) * 2)


def _make_events(at: At) -> None:
    """A function that notes, asked by a bucket."""
    allowed = {"Effect": "Allow", "Action": "dynamodb:PutItem", "Resource": "*"}
    functions.make_function(at, functions.make_role(at, allowed), NOTING, "noting")  # type: ignore[arg-type]
    lambda_, s3 = at.client("lambda"), at.client("s3")
    lambda_.add_permission(
        FunctionName="noting",
        StatementId="s3",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
    )
    arn = lambda_.get_function(FunctionName="noting")["Configuration"]["FunctionArn"]
    s3.create_bucket(Bucket="noted")
    asked = [{"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]}]
    s3.put_bucket_notification_configuration(
        Bucket="noted", NotificationConfiguration={"LambdaFunctionConfigurations": asked}
    )


def _moves(cloud: Cloud, node: RigNode, keepers: list[str]) -> dict[str, dict[str, Any]]:
    """Each node's part in the move to ``keepers``, once all have done theirs."""
    try:
        moves = {m["node"]: m for m in told(cloud, node)["moves"] if m["keepers"] == keepers}
    except OSError:  # not now
        return {}
    return moves if set(keepers) <= set(moves) else {}


def _is_even(cloud: Parting, load: Spread, nodes: Sequence[RigNode]) -> None:
    """Requests answered in some time, and blobs."""
    until(lambda: sorted(load.now) == [n.name for n in nodes], 5, "all are announced")
    with load.resting():  # the nodes are not asked at one moment: nothing may come in between
        before, many = served(cloud, nodes), len(load.acknowledged) + EVEN_WRITES
    until(lambda: len(load.acknowledged) > many, 20, "some requests more")
    with load.resting():
        requests = Counter(served(cloud, nodes))
    requests.subtract(before)
    kept = {node.name: len(cloud.early & set(blobs(node))) for node in nodes}
    print(f"requests {dict(requests)}, blobs {kept}")
    assert even(requests) <= 0.2 and even(kept) <= 0.2


def test_a_fourth_node_joins_under_load(parting_nodes: Parting) -> None:
    cloud = parting_nodes
    first, second, _, fourth = cloud.rig.nodes
    load = Spread(cloud, {node.name: node for node in cloud.rig.nodes})
    try:
        until(lambda: load.acknowledged, 40, "the load has begun")
        began = time.monotonic()
        fourth.join(cloud.token, second)
        joined_s = time.monotonic() - began
        moves = until(lambda: _moves(cloud, first, FOUR), 40, "the move to four has ended")
        moved_s = time.monotonic() - began
        _is_even(cloud, load, cloud.rig.nodes)
    finally:
        load.stop()
    assert load.failures == [] and len(load.acknowledged) > 50
    came, dropped = moves["n4"], sum(move["dropped"] for move in moves.values())
    assert came["state_bytes"] > 0 and came["fetched"] > OBJECTS / 2 and dropped > OBJECTS / 2
    assert "move to n1,n2,n3,n4: n4 fetched the state" in first.run("nodes")
    assert set(load.acknowledged) <= set(cloud.items(fourth))
    cloud.acknowledged += tuple(load.acknowledged)
    print(
        f"joined after {joined_s:.1f} s, moved after {moved_s:.1f} s: state"
        f" {came['state_bytes'] / 1e6:.1f} MB, {came['fetched']} blobs"
        f" ({came['fetched_bytes'] / 1e6:.1f} MB); {dropped} let go of by the others;"
        f" {len(load.acknowledged)} writes"
    )


def test_what_a_lost_node_kept_is_made_anew_on_the_fourth(parting_nodes: Parting) -> None:
    """Unasked: its copies of the log and of blobs; the state every node has."""
    cloud = parting_nodes
    first, second, third, _ = cloud.rig.nodes
    kept = until(
        lambda: [n for n in (first, second, third) if _keeps_log(first, n)], 20, "who keeps the log"
    )
    lost = kept[0]
    asked = next(n for n in (first, second) if n is not lost)
    living = [n for n in cloud.rig.nodes if n is not lost]
    began = time.monotonic()
    lost.kill()
    until(lambda: all(_keeps_log(asked, n) for n in living), 40, "three copies of the log")
    log_s = time.monotonic() - began
    until(lambda: all(cloud.early <= set(blobs(n)) for n in living), 40, "three copies of blobs")
    blobs_s = time.monotonic() - began
    print(f"rebuild_after_s {REBUILD_S}: log after {log_s:.1f} s, blobs after {blobs_s:.1f} s")
    lost.switch_on()
    until(lambda: whole(asked, FOUR), 20, "it is back")
    proved = until(lambda: _proved(asked), 30, "every node tells its rows")
    assert set(proved["nodes"]["digests"]) == set(FOUR)
    assert len(set(proved["nodes"]["digests"].values())) == 1


def _proved(asked: RigNode) -> dict[str, Any]:
    """What ``pileus verify`` finds, once it could ask every node."""
    proved: dict[str, Any] = json.loads(asked.run("verify", "--json"))
    assert proved["problems"] == []
    return {} if proved["nodes"]["unasked"] else proved


def _keeps_log(asked: RigNode, node: RigNode) -> bool:
    roles = {name: told["roles"] for name, told in seen_from(asked).items()}
    return bool({"log", "log-leader"} & set(roles.get(node.name, [])))


def test_a_drained_node_hands_over_and_one_leaves_under_load(parting_nodes: Parting) -> None:
    cloud = parting_nodes
    first, second, third, fourth = cloud.rig.nodes
    load = Spread(cloud, {node.name: node for node in cloud.rig.nodes})
    try:
        _drained(cloud, first, second)
        began = time.monotonic()
        assert "has left" in third.run("leave")
        left_s = time.monotonic() - began
        until(lambda: all_alive(second, ("n1", "n2", "n4")), 20, "the third is gone")
        until(lambda: _moves(cloud, first, ["n1", "n2", "n4"]), 40, "the move has ended")
        _is_even(cloud, load, [first, second, fourth])
    finally:
        load.stop()
    assert load.failures == [] and len(load.acknowledged) > 50
    with pytest.raises(NodeFailed, match="has left its cluster"):
        third.up()
    moves = [m for m in told(cloud, first)["moves"] if m["keepers"] == ["n1", "n2", "n4"]]
    moved = sum(m["given"] + m["fetched"] for m in moves)
    moved_bytes = sum(m["given_bytes"] + m["fetched_bytes"] for m in moves)
    print(f"left after {left_s:.1f} s: {moved} blobs ({moved_bytes / 1e6:.1f} MB) moved")
    assert "n3" in {m["node"] for m in moves} and moved > 0
    cloud.acknowledged += tuple(load.acknowledged)


def _drained(cloud: Cloud, first: RigNode, second: RigNode) -> None:
    """A drained node hands over the work for all, and gets it back only when it is asked to."""
    holder = until(lambda: _holder(second), 10, "somebody does the work for all")
    first.run("drain", holder)
    until(lambda: _holder(second) not in ("", holder), 10, "another does the work for all")
    noted = _cause(cloud, first, "drained")
    until(lambda: noted <= set(cloud.items(second)), 15, "events while one is drained")
    first.run("drain", holder, "--undo")


def _cause(cloud: Cloud, node: RigNode, word: str) -> set[str]:
    """An event of each kind, through ``node``; what it will note."""
    cloud.client("s3", node).put_object(Bucket="noted", Key=f"s3-{word}", Body=b"x")
    event = json.dumps({"k": f"async-{word}"})
    lambda_ = cloud.client("lambda", node)
    lambda_.invoke(FunctionName="noting", InvocationType="Event", Payload=event)
    return {f"s3-{word}", f"async-{word}"}


def _holder(node: RigNode) -> str:
    return next((n for n, told in seen_from(node).items() if "background" in told["roles"]), "")


def test_who_does_the_work_for_all_dies(parting_nodes: Parting) -> None:
    """What was asked before and after is done."""
    cloud = parting_nodes
    first, second, _, fourth = cloud.rig.nodes
    nodes = [first, second, fourth]
    holder = until(lambda: _holder(first), 10, "somebody does the work for all")
    dead = next(n for n in nodes if n.name == holder)
    living = [n for n in nodes if n is not dead]
    noted = _cause(cloud, living[0], "before")
    dead.kill()
    began = time.monotonic()
    noted |= _cause(cloud, living[1], "after")
    until(lambda: noted <= set(cloud.items(living[0])), 30, "events after the holder died")
    print(f"events flow {time.monotonic() - began:.1f} s after the node died")
    names = {n.name for n in living}
    until(lambda: _holder(living[0]) in names, 10, "one that lives does the work for all")
    dead.switch_on()
    until(lambda: whole(dead, [n.name for n in nodes]), 20, "it is back")
    for node in nodes:
        assert set(cloud.acknowledged) <= set(cloud.items(node)), node.name


def test_a_log_lost_on_most_nodes_is_made_anew_from_the_best_state(
    parting_nodes: Parting,
) -> None:
    """The other ways to damage it are rounds of ``make soak``."""
    cloud = parting_nodes
    first, second, _, fourth = cloud.rig.nodes
    nodes = [first, second, fourth]
    written = [*cloud.acknowledged, *losing_log.rolled_back(cloud, nodes, 0)]
    print("writing goes on", how := losing_log.mended(cloud, nodes, written))
    assert how.startswith("by renew-log")
