"""The console on three nodes: one is drained, another restarted and stopped from the page of a
third, is seen down, its data is still there, and it catches up when it is started again (C5, S5,
S6)."""

from __future__ import annotations

from typing import Any

import boto3

from lab.rig import RigNode, until
from lab.tables import keyed
from tests import programs
from tests.acceptance import nodes as cluster
from tests.conftest import Cloud
from tests.console.conftest import Visit, browser

__all__ = ["browser"]  # a fixture here, too
expect = programs.playwright().expect


class Reached(Cloud):
    """A node of the rig as a browser reaches it: by TLS, which pages that sign need elsewhere than
    on localhost."""

    def __init__(self, node: RigNode, keys: dict[str, str]) -> None:
        super().__init__(node.home, env=keys)
        self._address = node.address

    @property
    def edge(self) -> str:
        return f"https://{self._address}:8443"


def _items(node: RigNode, keys: dict[str, str]) -> Any:
    return boto3.resource(
        "dynamodb",
        endpoint_url=node.endpoint,
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        region_name=keys["AWS_REGION"],
    )


def test_a_node_is_stopped_from_another_and_comes_back(
    three_nodes: cluster.Cloud, browser: Any
) -> None:
    first, third, keys = three_nodes.rig.nodes[0], three_nodes.rig.nodes[2], three_nodes.keys
    table = _items(first, keys).create_table(
        TableName="orders",
        **keyed(id="S"),
    )
    table.put_item(Item={"id": "before"})
    me = Visit(browser, Reached(first, keys), ignore_https_errors=True).arrive().sign_in()
    nodes = me.find("[aria-label=Nodes] tbody tr")
    expect(nodes).to_have_count(3)
    me.page.get_by_role("link", name="n3").click()
    expect(me.find("h2", has_text="Processes of n3")).to_be_visible()
    expect(me.find("[aria-label=Processes] tbody tr", has_text="front-0").first).to_be_visible()
    me.seen("80-cluster")
    me.go("charts")
    me.find("[aria-label='Node']").wait_for()
    expect(me.find("[data-now='0']")).to_contain_text("n3 ", timeout=90_000)
    me.seen("83-charts-of-all")
    _drained_and_back(me, nodes.nth(1))
    me.allowed = ("503",)
    me.go("nodes/n3")
    _restarted(me)
    me.button("Stop node").click()
    me.page.get_by_label("Type").fill("n3")
    me.find("dialog").get_by_role("button", name="Stop node").click()
    expect(nodes.nth(2).get_by_text("down")).to_be_visible(timeout=90_000)
    expect(me.find("main [role=alert]")).to_contain_text("n3 does not answer", timeout=90_000)
    me.seen("81-down")
    me.go("charts")
    expect(me.find(".absent")).to_contain_text("n3 is missing here", timeout=90_000)
    me.seen("84-charts-without-one")
    me.go("errors")
    expect(me.find(".absent")).to_contain_text("n3 is missing here")
    me.seen("85-errors-without-one")
    me.go("tables/orders")
    expect(me.find("tbody tr")).to_have_count(1)
    me.button("Put item").click()
    me.page.get_by_label("Item as JSON").fill('{"id": "meanwhile"}')
    me.find("dialog").get_by_role("button", name="Put item").click()
    expect(me.find("tbody tr")).to_have_count(2)
    third.up()
    me.go("nodes/n3")
    expect(nodes.nth(2).get_by_text("alive")).to_be_visible(timeout=90_000)
    expect(me.find("[aria-label=Processes] tbody tr", has_text="front-0").first).to_be_visible(
        timeout=90_000
    )
    read = _items(third, keys).Table("orders")
    until(lambda: len(read.scan()["Items"]) == 2, 20, "what was written meanwhile, at the node")
    me.seen("82-back")
    me.context.close()


def _drained_and_back(me: Visit, row: Any) -> None:
    """The second node takes no new work, and takes it again."""
    me.go("nodes")
    for verb, state in (("drain", "draining"), ("undrain", "member")):
        row.get_by_role("button", name=f"{verb} n2", exact=True).click()
        me.find("dialog").get_by_role("button", name=verb, exact=True).click()
        expect(row).to_contain_text(state, timeout=90_000)


def _restarted(me: Visit) -> None:
    """All processes of the node that is shown are others now, and serve."""
    row = me.find("[aria-label=Processes] tbody tr", has_text="front-0").first
    pid = row.locator("td").nth(1)
    before = pid.inner_text()
    me.button("Restart all").click()
    me.find("dialog").get_by_role("button", name="Restart all").click()
    expect(pid).not_to_have_text(before, timeout=90_000)
    expect(me.find(".facts").get_by_text("all parts answer")).to_be_visible(timeout=90_000)
