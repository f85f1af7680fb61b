"""What a round of the matrix records and shows; where a load's rows lie; which files rot."""

from __future__ import annotations

import dataclasses
import json
import os
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab import cluster, faults, matrix, recorded
from lab.cluster import Cluster
from lab.history.lists import Lists
from lab.history.names import Names, one_of
from lab.history.registers import Items, Objects
from lab.ledger import Ledger
from lab.matrix import Round
from lab.probe import Times


def test_rounds_of_before_shards_were_told_are_of_one(tmp_path: Path) -> None:
    file = tmp_path / "rounds.jsonl"
    told = dataclasses.asdict(Round("kill", 0, "n1", True, shards=8, acknowledged=7))
    former = {name: value for name, value in told.items() if name != "shards"}
    file.write_text(json.dumps(former) + "\n" + json.dumps(told | {"seed": 1}) + "\n")
    found = matrix.load_rounds(file)
    assert [one.shards for one in found] == [1, 8]
    lines = [line.split()[:3] for line in matrix.table(found).splitlines()]
    assert lines == [["fault", "shards", "rounds"], ["kill", "1", "1"], ["kill", "8", "1"]]


def test_a_round_on_one_shard_is_none_on_eight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def one_round(on: Any, fault: Any, seed: int, keep: Path) -> Round:
        made.append(on.shards)
        times = {"write": SimpleNamespace(outage=0.0)}
        done = Round(fault.name, seed, "n1", True, on.shards)
        return dataclasses.replace(done, times=times)  # type: ignore[arg-type]

    monkeypatch.setattr(matrix, "one_round", one_round)
    monkeypatch.setattr(matrix.dataclasses, "asdict", lambda one: vars(one) | {"times": {}})
    for shards in (1, 8, 1, 8):
        on: Any = SimpleNamespace(shards=shards)
        matrix.run(on, [faults.FAULTS[0]], 2, tmp_path, lambda said: None)
    assert made == [1, 1, 8, 8]


WRONG = ["a", "not expired: b, 700 s after its answer", "c"]


def test_a_recorded_round_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_round(on: Any, fault: Any, seed: int, keep: Path) -> Round:
        told = Times(1.0, None, 2.0, 3.456, 4.0, 5, 600)
        times = {"write": told, "read": dataclasses.replace(told, outage=0.0)}
        times["strong"] = dataclasses.replace(told, outage=2.5)
        done = Round(fault.name, seed, "n1", True, on.shards, acknowledged=20, operations=30)
        return dataclasses.replace(done, times=times, lost=WRONG if seed == 1 else [])

    monkeypatch.setattr(matrix, "one_round", one_round)
    on: Any = SimpleNamespace(shards=8)
    kept = tmp_path / "kept.jsonl"
    for name, rounds in (("first", 1), ("second", 3)):
        (tmp_path / name).mkdir()
        ran = matrix.run(
            on, [faults.FAULTS[0]], rounds, tmp_path / name, lambda said: None, kept=kept
        )
        assert [one.seed for one in ran] == ([0] if rounds == 1 else [1, 2])
    found = recorded.read(kept)
    assert [(one.seed, one.lost, one.late) for one in found] == [(0, 0, 0), (1, 2, 1), (2, 0, 0)]
    assert {(one.no_write_s, one.no_strong_s, one.no_read_s) for one in found} == {(3.46, 2.5, 0)}
    assert {(one.reaction_s, one.repair_s, one.recovery_s) for one in found} == {(1, None, 2)}
    page = recorded.page([*found, dataclasses.replace(found[0], shards=1)])
    assert "3 rounds" in page and "60 acknowledged effects" in page
    assert "**2 lost, doubled or wrong**, 1 late" in page and "## On one shard" in page
    assert "| `kill` | 3 | 1.0 | – | 2.0 | 3.5 | 2.5 | 0.0 |" in page
    lacking = [dataclasses.replace(one, reaction_s=None, recovery_s=None) for one in found]
    rounds = [*map(json.loads, (tmp_path / "second" / "rounds.jsonl").read_text().splitlines())]
    assert recorded.filled(lacking, rounds) == [lacking[0], *found[1:]]
    others = [one | {"shards": 1} for one in rounds]
    assert recorded.filled(lacking, others) == lacking


def test_the_probe_asks_what_is_judged_by_it() -> None:
    made = object.__new__(Cluster)
    made.probed, made.keys = "t", dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "x")
    made.keys["AWS_REGION"] = "us-east-1"
    node: Any = SimpleNamespace(endpoint="http://127.0.0.1:4566", address="127.0.0.1")
    asked = {kind: bytes.fromhex(request) for kind, request in made.asks(node).items()}
    assert set(asked) == {*matrix.PROBED, "nodes"}
    assert b'"ConsistentRead": true' in asked["strong"] and b"ConsistentRead" not in asked["read"]


def test_a_loads_rows_lie_in_all_tables_and_each_in_one() -> None:
    names = Names("load", 8)
    assert len(set(names.tables)) == len(set(names.wide)) == 8
    assert len({name[0] for name in names.wide}) == 8
    keys = [f"k{number}" for number in range(200)]
    lists, items, objects = Lists(*names.tables), Items(*names.tables), Objects(*names.tables)
    asked = lists.request("transact", tuple(("append", key, 1) for key in keys))[1]
    where = [item["Update"]["TableName"] for item in asked["TransactItems"]]
    assert set(where) == set(names.tables)
    for key, table in zip(keys, where, strict=True):
        assert table == one_of(names.tables, key)
        for kind, given in (("read", ()), ("write", ("x",)), ("swap", (None, "x"))):
            assert items.request(kind, key, given)[1]["TableName"] == table
            assert objects.request(kind, key, given)[1]["Bucket"] == table
    assert Names("load").tables == Names("load").wide == ("load",)


def views(*led: list[int]) -> list[dict[str, Any]]:
    """How three healthy nodes with copies of eight logs are seen."""
    return [
        {"name": f"n{number}", "health": "alive", "state": "member", "lag": 0}
        | {"roles": ["log-leader"] if leading else ["log"]}
        | {"logs": {"leads": len(leading), "copies": 8, "of": 8, "leading": leading}}
        for number, leading in enumerate(led, 1)
    ]


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = object.__new__(Cluster)
    made.shards, made.shard = 8, 7
    made.nodes = [SimpleNamespace(name=f"n{number}") for number in (1, 2, 3)]  # type: ignore[misc]
    monkeypatch.setattr(made, "told", views([0, 1, 2], [3, 4, 5], [6, 7]), raising=False)
    monkeypatch.setattr(made, "view", lambda node: made.told)
    return made


def test_the_leader_is_that_of_the_shard_that_is_probed(eight: Any) -> None:
    assert eight.leader().name == "n3" and eight.led(eight.nodes[1]) == [3, 4, 5]
    assert eight.whole() and eight.even()
    eight.told = views([0, 1, 2, 7], [3, 4, 5], [6])
    assert eight.leader().name == "n1" and eight.whole() and not eight.even()


@pytest.mark.parametrize("third", [[7], [5, 6, 7]], ids=["no leader", "two leaders"])
def test_a_cluster_is_whole_when_each_log_has_a_leader(eight: Any, third: list[int]) -> None:
    eight.told = views([0, 1, 2], [3, 4, 5], third)
    assert not eight.whole()


def test_each_node_must_have_told_once_that_its_copies_are_whole(eight: Any) -> None:
    """Not all at one moment: with writes one is a message behind at most times."""
    turns: list[int] = []

    def knows() -> bool:
        turns.append(len(turns))
        for number, told in enumerate(eight.told):
            late = number == 1 and len(turns) < 6
            told["logs"]["copies"] = 7 if late or number == len(turns) % 3 else 8
        return True

    eight.knows = knows
    eight.told[1]["logs"]["copies"] = 7
    eight.settled(0.2)
    assert len(turns) >= 6, "the second node's copy was behind until then"


def test_a_copy_that_stays_behind_is_given_up(eight: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE_S", 0.0)
    eight.told[1]["logs"]["copies"] = 7
    eight.knows = lambda: True
    assert eight.settled(0.2) > cluster.PATIENCE_S


def test_copies_of_every_shard_are_compared() -> None:
    equal: dict[str, Any] = {"digests": {"n1": "a", "n2": "a"}, "unasked": {}}
    other = equal | {"digests": {"n1": "a", "n2": "b"}}
    unasked = equal | {"digests": {"n1": "a"}, "unasked": {"n2": "it does not answer"}}

    def wrong(*shards: dict[str, Any]) -> int:
        told = {"problems": [], "nodes": shards[0], "shards": list(shards[1:])}
        node: Any = SimpleNamespace(run=lambda *words, timeout_s: json.dumps(told))
        return len(matrix._wrong_copies(node))

    assert [wrong(equal, equal), wrong(other, equal), wrong(equal, other)] == [0, 1, 1]
    assert wrong(equal, unasked) == 1


@pytest.mark.parametrize("shard", ["", "shards/3/"])
@pytest.mark.parametrize("kind", ["state.db", "state.db-wal"])
def test_what_rots_is_where_it_is_known_to_be(tmp_path: Path, shard: str, kind: str) -> None:
    known, calm = b"k" * 64, b"\0" * 500
    for folder in ("", "shards/1/", "shards/3/"):
        for name in ("state.db", "state.db-wal"):
            file = tmp_path / folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(calm)
    rotten = tmp_path / shard / kind
    rotten.write_bytes(calm + known + calm)
    before = {file: file.read_bytes() for file in tmp_path.rglob("state.db*")}
    victim: Any = SimpleNamespace(name="n1", home=tmp_path, kill=list, switch_on=list)
    rig: Any = None
    scene = faults.Scene(rig, [victim], victim, random.Random(1), known, log=lambda said: None)
    with faults.rot_state(scene):
        changed = [file for file, content in before.items() if file.read_bytes() != content]
    assert changed == [rotten]


def test_objects_that_were_looked_for_are_deleted_from_every_bucket() -> None:
    names, gone = Names("load", 4), []

    def delete_objects(Bucket: str, Delete: Any) -> None:
        gone.extend((Bucket, one["Key"]) for one in Delete["Objects"])

    s3 = SimpleNamespace(delete_objects=delete_objects)
    door: Any = SimpleNamespace(client=lambda service, config: s3)
    ledger = Ledger([door], names, "run", 1)
    ledger.kept.objects = {f"run/{number}": "sha" for number in range(3000)}
    ledger.forget_objects()
    assert sorted(gone) == sorted((one_of(names.tables, key), key) for key in ledger.kept.objects)


@pytest.mark.parametrize(("kind", "chosen"), [("log", "nats/x/1.blk"), ("blob", "blobs/aa/new")])
def test_the_longest_log_rots_and_the_newest_blob(tmp_path: Path, kind: str, chosen: str) -> None:
    files = {"nats/x/1.blk": (900, 5), "nats/y/1.blk": (90, 9)}
    files |= {"blobs/aa/old": (900, 5), "blobs/aa/new": (90, 9)}
    for name, (size, at) in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(size))
        os.utime(file, (at, at))
    victim: Any = SimpleNamespace(name="n1", home=tmp_path, kill=list, switch_on=list)
    rig: Any = None
    scene = faults.Scene(rig, [victim], victim, random.Random(1), log=lambda said: None)
    with faults.rot(scene, kind):
        changed = [name for name in files if any((tmp_path / name).read_bytes())]
    assert changed == [chosen]


def test_the_map_tells_where_a_table_lies_and_of_one_shard_needs_not(eight: Any) -> None:
    holds = ["everything else", "DynamoDB tables load, load-1", "DynamoDB tables load-7"]
    eight._map = lambda: {"tablets": [{"shard": n, "holds": h} for n, h in enumerate(holds)]}
    assert [eight._shard_of(name) for name in ("load", "load-1", "load-7")] == [1, 1, 2]
    with pytest.raises(LookupError):
        eight._shard_of("load-8")
    eight.shards = 1
    eight._map = lambda: {"tablets": [{"shard": 0, "holds": "everything else"}]}
    assert eight._shard_of("load") == 0
