"""Log lines, metrics and alarms of three nodes, asked for at any of them (L1, L2, L3)."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

import pytest

from lab.rig import RigNode, until
from tests.acceptance.nodes import Cloud
from tests.services.alarms import above

GROUP = "/told/on-all-nodes"
PERIOD_S = 10


def _put(cloud: Cloud, node: RigNode, text: str) -> None:
    event = {"timestamp": int(time.time() * 1000), "message": text}
    cloud.client("logs", node).put_log_events(
        logGroupName=GROUP, logStreamName="s", logEvents=[event]
    )


def _lines(cloud: Cloud, node: RigNode) -> tuple[set[str], str]:
    """What ``node`` tells, and whose lines it says are missing."""
    told = cloud.client("logs", node).filter_log_events(logGroupName=GROUP)
    headers = told["ResponseMetadata"]["HTTPHeaders"]
    return {e["message"] for e in told["events"]}, headers.get("x-pileus-missing", "")


def _whole(told: tuple[set[str], str]) -> set[str]:
    """Lines of which none is missing, all three there; else nothing."""
    lines, missing = told
    return lines if not missing and len(lines) >= 3 else set()


def _top(node: RigNode) -> Any:
    told = json.loads(node.run("top", "--json"))
    return None if told["missing"] else told["nodes"]


def _handed(node: RigNode, others: Sequence[RigNode], text: bytes) -> bool:
    """Whether one of the others has a copy of what ``node`` took."""
    files = [f for other in others for f in (other.home / "copies").glob(f"{node.name}.db*")]
    try:
        return any(text in file.read_bytes() for file in files)
    except FileNotFoundError:  # a journal that ended
        return False


def _sum(cloud: Cloud, node: RigNode) -> Any:
    now = time.time()
    stat = {"Metric": {"Namespace": "All", "MetricName": "Load"}, "Period": 60, "Stat": "Sum"}
    told = cloud.client("cloudwatch", node).get_metric_data(
        MetricDataQueries=[{"Id": "m", "MetricStat": stat}], StartTime=now - 3600, EndTime=now + 60
    )
    return sum(told["MetricDataResults"][0]["Values"])


def _alarmed(watches: Sequence[Any]) -> bool:
    """Each node takes 2 at the beginning of one of the alarm's periods; it wants more than any two
    of them have."""
    time.sleep(PERIOD_S - time.time() % PERIOD_S)
    data = [{"MetricName": "Weight", "Value": 2.0, "StorageResolution": 1}]
    for watch in watches:
        watch.put_metric_data(Namespace="All", MetricData=data)
    told_until = time.monotonic() + 2 * PERIOD_S
    while time.monotonic() < told_until:
        told = watches[1].describe_alarms(AlarmNames=["all-together"])["MetricAlarms"]
        if told[0]["StateValue"] == "ALARM":
            return True
        time.sleep(0.3)
    return False


def _scraped(node: RigNode, keys: dict[str, str]) -> str:
    """What Prometheus reads of all nodes at this one."""
    file = node.home / "metrics.token"
    address = f"{node.endpoint}/_pileus/metrics?node=all"
    if not file.exists():  # the first one who asks has it made
        with pytest.raises(urllib.error.HTTPError):
            _get(address, "none")
    return _get(address, file.read_text().strip())


def _get(address: str, token: str) -> str:
    asked = urllib.request.Request(address, headers={"authorization": f"Bearer {token}"})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return str(answer.read().decode())


def test_all_nodes_are_told_of_at_any(three_nodes: Cloud) -> None:
    cloud, nodes = three_nodes, three_nodes.rig.nodes[:3]
    logs = cloud.client("logs", nodes[0])
    logs.create_log_group(logGroupName=GROUP)
    logs.create_log_stream(logGroupName=GROUP, logStreamName="s")
    heavy = above("all-together", "All", "Weight", 5.0, Period=PERIOD_S)
    cloud.client("cloudwatch", nodes[2]).put_metric_alarm(**heavy)
    for number, node in enumerate(nodes):
        until(
            lambda n=node: cloud.client("logs", n).describe_log_streams(logGroupName=GROUP), 5, ""
        )  # type: ignore[misc]
        _put(cloud, node, f"line of {number}")
        data = [{"MetricName": "Load", "Value": 2.0, "StorageResolution": 1}]
        cloud.client("cloudwatch", node).put_metric_data(Namespace="All", MetricData=data)
    for node in nodes:  # a node that takes more than a second to answer is named, and asked again
        told = until(lambda n=node: _whole(_lines(cloud, n)), 10, "nobody's lines are missing")
        assert told == {"line of 0", "line of 1", "line of 2"}
        until(lambda n=node: _sum(cloud, n) == 6.0, 10, "what three nodes took")
    told = until(lambda: _top(nodes[1]), 10, "all nodes")
    assert sorted(told) == ["n1", "n2", "n3"]
    assert told["n3"]["processes"]["front-0"]["process_up"] == 1
    until(lambda: "line of 2" in nodes[0].run("logs", "--since", "5m", GROUP), 10, "its line here")
    up = [f'pileus_node_up{{node="n{n}"}} 1' for n in (1, 2, 3)]
    until(lambda: all(u in _scraped(nodes[2], cloud.keys) for u in up), 10, "all three are up")
    watches = [cloud.client("cloudwatch", node) for node in nodes]
    until(lambda: _alarmed(watches), 60, "an alarm over what three nodes took")


def test_a_silent_node_costs_a_second_and_nothing_is_missing_unnamed(three_nodes: Cloud) -> None:
    """Its lines are told from its neighbour's copy; where that is too old, the node is named."""
    cloud, (first, second, third) = three_nodes, three_nodes.rig.nodes[:3]
    before = until(lambda: _whole(_lines(cloud, second)), 10, "nobody's lines are missing")
    assert "line of 2" in before
    third.freeze()
    until(lambda: _told_of_two(cloud, first), 10, "the living nodes' lines")
    _put(cloud, second, "while one was frozen")
    until(lambda: "while one was frozen" in _lines(cloud, first)[0], 10, "the living node's line")
    third.thaw()
    lines = until(lambda: _whole(_lines(cloud, first)), 30, "the third node's lines again")
    assert "line of 2" in lines


def _told_of_two(cloud: Cloud, node: RigNode) -> bool:
    """The third is silent. The second may be slow, too: then it is named, and asked again."""
    began = time.monotonic()
    lines, missing = _lines(cloud, node)
    print(f"asked of two, and of one that is silent: {time.monotonic() - began:.2f} s")
    assert "line of 0" in lines
    named = {name.strip() for name in missing.split(",")}
    for number in (1, 2):
        assert f"n{number + 1}" in named or f"line of {number}" in lines
    return "line of 1" in lines


def test_a_lost_nodes_lines_and_points_are_still_told(three_nodes: Cloud) -> None:
    cloud, (first, second, third) = three_nodes, three_nodes.rig.nodes[:3]
    _put(cloud, third, "the last words of a node")
    until(lambda: _handed(third, (first, second), b"the last words"), 10, "a copy elsewhere")
    third.kill()
    for node in (first, second):
        until(lambda n=node: _lines(cloud, n)[1] == "", 15, "its copy instead of the node")  # type: ignore[misc]
        lines = until(lambda n=node: _whole(_lines(cloud, n)), 10, "nobody's lines are missing")
        assert {"the last words of a node", "line of 2"} <= lines
        until(lambda n=node: _sum(cloud, n) == 6.0, 10, "what three nodes took")
