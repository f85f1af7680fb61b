"""The console in Chromium, as an operator uses it (C5, C6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests import programs
from tests.conftest import Cloud
from tests.console.conftest import Visit

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
