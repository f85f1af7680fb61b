"""Who belongs to the cluster: rows of the state, changed by entries, one change at a time.

A joining or leaving node holds the one claim row until it has arrived or gone; names count up and
are never given again. The functions that take a ``draft`` run inside ``Store.transact``.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import orjson

from pileus.errors import Unavailable
from pileus.nodes.places import PORTS, Cluster, Node
from pileus.state import durable, keys, removed

TABLE = "nodes"
ABOUT = keys.key(TABLE, "cluster", "about")
CLAIM = keys.key(TABLE, "cluster", "change")
STAYING_MIN = 2
CLAIM_MS = 600_000  # a change that has not ended by then may be overtaken
NONCE_MS = 3_600_000
STATES = ("joining", "member", "draining", "leaving", "gone")


class Refused(Unavailable):
    """The change cannot be made now, or not like this. ``status`` is for its HTTP answer."""

    def __init__(self, message: str, hint: str = "", status: int = 409) -> None:
        super().__init__(message, hint)
        self.status = status


def node_key(name: str) -> bytes:
    return keys.key(TABLE, "node", name)


def nodes(store: Any) -> list[Node]:
    """Every node there ever was, in the order of their names."""
    return [_node(row) for row in rows(store)]


def rows(store: Any) -> list[dict[str, Any]]:
    """The nodes with all that is kept of them: ``since_ms``, when the state last changed."""
    return sorted(_rows(store), key=lambda row: _number(row["name"]))


def moves(store: Any) -> list[dict[str, Any]]:
    """Each node's part in the last move it saw the end of (``engine.cluster.blobs_moving.Move``,
    with ``node`` and ``state_bytes``, the size of the state it began from)."""
    prefix = keys.partition_prefix(TABLE, "moved")
    told = [orjson.loads(r.value) for r in store.range(prefix, keys.after_prefix(prefix))]
    return sorted(told, key=lambda row: (row["ended_ms"], _number(row["node"])))


def moved(draft: Any, node: str, told: dict[str, Any]) -> None:
    """``node`` has done its part in a move."""
    draft.put_json(moved_key(node), told | {"node": node})


def moved_key(name: str) -> bytes:
    return keys.key(TABLE, "moved", name)


def known(store: Any, cluster: Cluster) -> Cluster:
    """``cluster`` as the rows tell it now."""
    for node in nodes(store):
        cluster = cluster.knowing(node)
    return cluster


def found(draft: Any, cluster: Cluster) -> None:
    """The first node's first rows; nothing when they are there."""
    if draft.get(ABOUT) is None:
        draft.put_json(ABOUT, {"id": cluster.id, "next": _number(cluster.name) + 1})
        draft.put_json(node_key(cluster.name), asdict(cluster.here) | {"since_ms": draft.now_ms})


def admit(draft: Any, asked: Node, mark: str, nonce: str) -> Node:
    """Take in a new node under the next name and claim the one change there may be. ``mark``: of
    its key; one that asks again with the same key gets the name it had. ``Refused`` when a change
    is under way, the address is taken, or the request (``nonce``) came before."""
    _once(draft, nonce)
    about = draft.get_json(ABOUT)
    if about is None:
        raise Refused("this cluster has no nodes yet", "try again in a moment", 503)
    here = _rows(draft)
    again = next((r for r in here if r.get("mark") == mark), None)
    if again is not None and again["state"] != "joining":
        raise Refused("this key has joined already", "use a new --home", 409)
    for row in here:
        taken = row["address"] == asked.address and (
            row["port"] == asked.port or row["node_port"] == asked.node_port
        )
        if taken and row is not again and row["state"] != "gone":
            raise Refused(
                f"{row['name']} is at {asked.address} with these ports already",
                "choose other ports, or another --host",
            )
    name = again["name"] if again else f"n{about['next']}"
    _claim(draft, "join", name)
    if again is None:
        draft.put_json(ABOUT, about | {"next": about["next"] + 1})
    node = replace(asked, name=name, state="joining")
    draft.put_json(node_key(name), asdict(node) | {"mark": mark, "since_ms": draft.now_ms})
    return node


def arrive(draft: Any, node: Node) -> None:
    """A node says where it is now; a joining one has thereby arrived, and the next change may
    begin. Writes nothing when all is as told."""
    check_stays(draft, node.name)
    row = _existing(draft, node.name)
    places = {name: getattr(node, name) for name in ("address", *PORTS)}
    state = "member" if row["state"] == "joining" else row["state"]
    if row != row | places | {"state": state}:
        since = {"since_ms": draft.now_ms} if state != row["state"] else {}
        draft.put_json(node_key(node.name), row | places | {"state": state} | since)
    _release(draft, node.name)


def check_stays(reader: Any, name: str) -> None:
    """``Refused`` when ``name`` is no node of the cluster any more: it must not serve."""
    row = reader.get_json(node_key(name))
    if row is None or row["state"] in ("gone", "leaving"):
        raise Refused(f"{name} is not a node of this cluster any more", "use a new --home")


def drain(draft: Any, name: str, undo: bool = False) -> None:
    """No new work for this node, or (``undo``) work again."""
    row = _existing(draft, name)
    if row["state"] not in ("member", "draining"):
        raise Refused(f"{name} is {row['state']}", "wait until it has arrived or gone")
    _set(draft, row, "member" if undo else "draining")


def begin_leave(draft: Any, name: str) -> None:
    """Claim the change by which ``name`` goes; nothing when it has gone. Two must stay: a server of
    the log alone never leads. One that was let in and never came holds nothing: it is gone at
    once."""
    row = _existing(draft, name)
    if row["state"] == "gone":
        return
    if row["state"] == "joining":
        end_leave(draft, name)
        return
    others = [r for r in _rows(draft) if r["state"] in ("member", "draining")]
    if len([r for r in others if r["name"] != name]) < STAYING_MIN:
        raise Refused(
            f"without {name} there would be fewer than {STAYING_MIN} nodes",
            "let another join first",
        )
    _claim(draft, "leave", name)
    _set(draft, row, "leaving")


async def fence(store: Any, name: str) -> None:
    """Let the logs of all shards but the first (its entry is ``end_leave``'s) know that ``name``,
    which leaves or is gone, answers nothing from there on (``state.removed``)."""
    for shard in store.shards[1:]:
        if not removed.told(shard.rows, name):
            await shard.ask("write", [[removed.key(name), removed.GONE]])


def fenced(store: Any, name: str) -> bool:
    """Whether the logs of all shards but the first have told so here."""
    return all(removed.told(shard.rows, name) for shard in store.shards[1:])


def end_leave(draft: Any, name: str) -> None:
    """``name`` holds nothing any more and never comes back. Where there are more shards, ``fence``
    comes before; of one that never came, after (``copies``): it could not say that it arrived."""
    row = _existing(draft, name)
    if row["state"] != "gone":
        _set(draft, row, "gone")
    _release(draft, name)


def _once(draft: Any, nonce: str) -> None:
    key = keys.key(TABLE, "nonce", nonce)
    if draft.get(key) is not None:
        raise Refused("this request was made before", "join again", 403)
    prefix = keys.partition_prefix(TABLE, "nonce")
    for row in draft.range(prefix, keys.after_prefix(prefix)):
        if orjson.loads(row.value)["at_ms"] < draft.now_ms - NONCE_MS:
            draft.delete(row.key)
    draft.put_json(key, {"at_ms": draft.now_ms})


def _claim(draft: Any, what: str, name: str) -> None:
    held = draft.get_json(CLAIM)
    if held is not None and held["node"] != name:
        if draft.now_ms < held["at_ms"] + CLAIM_MS:
            raise Refused(
                f"another change is under way ({held['what']} of {held['node']})",
                "one at a time: try again when `pileus nodes` shows it done"
                f" (or `pileus leave {held['node']}`, where that machine will not come)",
            )
        overtaken = draft.get_json(node_key(held["node"]))
        if overtaken is not None and overtaken["state"] == "joining":
            _set(draft, overtaken, "gone")
    draft.put_json(CLAIM, {"what": what, "node": name, "at_ms": draft.now_ms})


def _release(draft: Any, name: str) -> None:
    held = draft.get_json(CLAIM)
    if held is not None and held["node"] == name:
        draft.delete(CLAIM)


def _existing(draft: Any, name: str) -> dict[str, Any]:
    row = draft.get_json(node_key(name))
    if row is None:
        raise Refused(f"there is no node {name}", "`pileus nodes` lists them", 404)
    return dict(row)


def _set(draft: Any, row: dict[str, Any], state: str) -> None:
    assert state in STATES
    if row["state"] != state:
        told = row | {"state": state, "since_ms": draft.now_ms}
        draft.put_json(node_key(row["name"]), told)
    if state == "gone":
        durable.forget(draft, row["name"])
        draft.put(removed.key(row["name"]), removed.GONE)


def _rows(reader: Any) -> list[dict[str, Any]]:
    prefix = keys.partition_prefix(TABLE, "node")
    return [orjson.loads(r.value) for r in reader.range(prefix, keys.after_prefix(prefix))]


def _node(row: dict[str, Any]) -> Node:
    return Node(**{name: row[name] for name in Node.__dataclass_fields__})


def _number(name: str) -> int:
    digits = name.lstrip("n")
    return int(digits) if digits.isdigit() else 0
