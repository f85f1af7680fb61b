"""The console in Chromium, as an operator uses it (C5, C6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests import programs
from tests.conftest import Cloud
from tests.console.conftest import Visit
from tests.services.kv.client import WideTable

playwright = programs.playwright()
expect = playwright.expect


def test_sign_in_says_what_is_wrong(visit: Callable[..., Visit]) -> None:
    me = visit()
    expect(me.page.get_by_label("Access key id")).to_be_focused()
    me.seen("00-door")
    me.button("Sign in").click()
    expect(me.find("[role=alert]")).to_contain_text("Enter both parts")
    me.allowed = ("403",)
    me.page.get_by_label("Access key id").fill("AKIANOBODY")
    me.page.get_by_label("Secret access key").fill("wrong")
    me.page.keyboard.press("Enter")
    expect(me.find("[role=alert]")).to_contain_text("security token")
    me.seen("01-refused")


def test_tables(visit: Callable[..., Visit], cloud: Cloud) -> None:
    me = visit("#/tables").sign_in()
    me.settled()
    me.seen("10-tables")
    me.button("Create table").click()
    me.page.get_by_label("Name").fill("console-orders")
    me.page.get_by_label("Sort key").fill("line")
    me.seen("11-create")
    me.find("dialog").get_by_role("button", name="Create table").click()
    expect(me.find("h1")).to_have_text("console-orders")
    me.settled()
    dynamodb = cloud.client("dynamodb")
    for n in range(13):
        item = {"id": {"S": f"order-{n % 2}"}, "line": {"S": f"{n:02}"}, "n": {"N": str(n)}}
        dynamodb.put_item(TableName="console-orders", Item=item)
    me.button("Load this page again").click()
    expect(me.find("tbody tr")).to_have_count(10)
    me.seen("12-items")
    me.button("Next").click()
    expect(me.find("tbody tr")).to_have_count(3)
    me.button("Previous").click()
    expect(me.find("tbody tr")).to_have_count(10)
    me.find("#pk").fill("order-1")
    me.find("#compare").select_option("begins")
    me.page.get_by_label("Sort key").fill("0")
    me.button("Find").click()
    expect(me.find("tbody tr")).to_have_count(5)
    me.find("tbody tr button.link").first.click()
    box = me.page.get_by_label("Item as JSON")
    box.fill("not json")
    me.button("Save").click()
    expect(me.find("dialog [role=alert]")).to_contain_text("JSON")
    box.fill('{"id": "order-1", "line": "01", "told": {"SS": ["a", "b"]}}')
    me.seen("13-edit")
    me.button("Save").click()
    expect(me.find("dialog")).to_have_count(0)
    key = {"id": {"S": "order-1"}, "line": {"S": "01"}}
    got = dynamodb.get_item(TableName="console-orders", Key=key)["Item"]
    assert got["told"] == {"M": {"SS": {"L": [{"S": "a"}, {"S": "b"}]}}}
    me.button("Delete item order-1").first.click()
    me.find("dialog").get_by_role("button", name="Delete item").click()
    expect(me.find("tbody tr")).to_have_count(4)
    assert "Item" not in dynamodb.get_item(TableName="console-orders", Key=key)
    me.button("Delete table").click()
    me.page.get_by_label("Type").fill("console-orders")
    me.find("dialog").get_by_role("button", name="Delete table").click()
    expect(me.find("h1")).to_have_text("Tables")
    assert me.errors == []


def test_reload_keeps_and_sign_out_forgets(visit: Callable[..., Visit]) -> None:
    me = visit().sign_in()
    me.page.reload()
    me.find("#content h1").wait_for()
    me.button("Sign out").click()
    expect(me.page.get_by_label("Access key id")).to_be_visible()
    me.page.reload()
    expect(me.page.get_by_label("Access key id")).to_be_visible()
    kept: Any = me.page.evaluate("JSON.stringify({...sessionStorage, ...localStorage})")
    assert "secret" not in kept


def test_nodes(visit: Callable[..., Visit]) -> None:
    me = visit().sign_in()
    expect(me.find("tbody tr", has_text="caddy").get_by_text("alive")).to_be_visible()
    me.page.wait_for_timeout(2300)
    me.seen("20-nodes")


def test_wide_table_and_raw_rows(visit: Callable[..., Visit], cloud: Cloud) -> None:
    me = visit("#/wide").sign_in()
    me.settled()
    me.seen("30-wide")
    kv = WideTable(cloud)
    for n in range(12):
        kv("PUT", f"console-wide/row-{n:02}/greeting", b'{"hello": ["w\xc3\xb6rld", %d]}' % n)
    kv("PUT", "console-wide/row-00/packed", b"\x82\xa1a\x01\xa1b\x93\xc3\xc0\xc4\x02\x00\xff")
    kv("PUT", "console-wide/row-00/raw", bytes(range(200, 256)) * 3)
    me.go("wide/console-wide")
    expect(me.find("tbody tr")).to_have_count(10)
    me.button("Next").click()
    expect(me.find("tbody tr")).to_have_count(2)
    me.page.get_by_label("Rows that begin with").fill("row-0")
    me.button("Jump").click()
    expect(me.find("tbody tr")).to_have_count(10)
    me.seen("31-wide-rows")
    me.page.get_by_role("link", name="row-00").click()
    me.button("greeting", exact=True).click()
    expect(me.find("dialog pre")).to_contain_text('"wörld"')
    me.seen("32-value")
    me.button("Edit").click()
    me.page.get_by_label("Value (text)").fill("changed")
    me.button("Store").click()
    expect(me.find("dialog")).to_have_count(0)
    assert kv("GET", "console-wide/row-00/greeting").body == b"changed"
    me.button("packed", exact=True).click()
    expect(me.find("dialog pre")).to_contain_text('"bytes": "00ff"')
    me.page.get_by_role("tab", name="Hex").click()
    expect(me.find("dialog pre")).to_contain_text("82 a1 61 01")
    me.seen("33-hex")
    me.page.keyboard.press("Escape")
    me.button("Delete cell raw").click()
    me.find("dialog").get_by_role("button", name="Delete cell").click()
    expect(me.find("tbody tr")).to_have_count(2)
    me.go("rows")
    me.seen("34-raw")
    me.page.get_by_role("link", name="kv:console-wide").click()
    expect(me.find("tbody tr")).to_have_count(10)
    me.seen("35-raw-rows")
    me.button("Next").click()
    expect(me.find("tbody tr")).to_have_count(3)
    me.go("tablets")
    me.seen("36-tablets")
