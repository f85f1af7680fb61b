"""The console in Chromium, as an operator uses it (C5, C6)."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import programs
from tests.acceptance.aws_cli import http
from tests.acceptance.functions import zipped
from tests.conftest import Cloud, new_cloud
from tests.console.asking import ask
from tests.console.conftest import PHONE, Visit
from tests.services.alarms import above
from tests.services.kv.client import WideTable
from tests.waiting import wait

playwright = programs.playwright()
expect = playwright.expect


PAGES = [
    *("nodes", "charts", "errors", "tablets", "tables", "buckets", "wide", "rows"),
    *("functions", "apis", "logs", "roles", "alarms", "distributions", "services", "layers"),
]


@pytest.mark.parametrize("look", ["light-desk", "dark-phone"])
def test_every_page_of_an_empty_cloud(visit: Callable[..., Visit], look: str) -> None:
    scheme, _, window = look.partition("-")
    phone = {"viewport": PHONE, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
    me = visit(color_scheme=scheme, **(phone if window == "phone" else {}))
    me.sign_in()
    for number, place in enumerate(PAGES):
        me.go(place)
        me.seen(f"5{number:02}-{place}-{look}")
        expect(me.find("main [role=alert]")).to_have_count(0)
    if window == "phone":
        me.button("Menu").click()
        me.seen("520-menu")
        me.page.get_by_role("link", name="Buckets").click()
        expect(me.find("h1")).to_have_text("Buckets")


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


def test_tables(visit: Callable[..., Visit], house: Cloud) -> None:
    me = visit("#/tables").sign_in()
    me.settled()
    me.looked("10-tables")
    me.button("Create table").click()
    me.page.get_by_label("Name").fill("console-orders")
    me.page.get_by_label("Sort key").fill("line")
    me.seen("11-create")
    me.find("dialog").get_by_role("button", name="Create table").click()
    expect(me.find("h1")).to_have_text("console-orders")
    me.settled()
    dynamodb = house.client("dynamodb")
    for n in range(13):
        item = {"id": {"S": f"order-{n % 2}"}, "line": {"S": f"{n:02}"}, "n": {"N": str(n)}}
        dynamodb.put_item(TableName="console-orders", Item=item)
    me.button("Load this page again").click()
    expect(me.find("tbody tr")).to_have_count(10)
    expect(me.button("Next →")).to_be_enabled()
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


def test_stop_and_restart_processes(visit: Callable[..., Visit]) -> None:
    me = visit().sign_in()

    def row(name: str) -> Any:
        return me.find("tbody tr", has=me.page.locator("b", has_text=name))

    def pid(name: str) -> str:
        return str(row(name).locator("td").nth(1).inner_text())

    expect(row("front-1").get_by_text("alive")).to_be_visible()
    before = pid("front-1")
    me.button("Restart front-1").click()
    me.looked("20-restart")
    me.find("dialog").get_by_role("button", name="Restart").click()
    expect(row("front-1").locator("td").nth(1)).not_to_have_text(before, timeout=90_000)
    expect(row("front-1").get_by_text("alive")).to_be_visible(timeout=90_000)
    assert pid("front-1") not in (before, "–")
    me.button("Stop runtime").click()
    me.page.keyboard.press("Escape")
    expect(me.find("dialog")).to_have_count(0)
    me.button("Stop runtime").click()
    me.find("dialog").get_by_role("button", name="Stop").click()
    expect(row("runtime").get_by_text("stopped")).to_be_visible(timeout=90_000)
    me.seen("21-stopped")
    me.button("Start runtime").click()
    expect(row("runtime").get_by_text("alive")).to_be_visible(timeout=90_000)
    assert me.errors == []


def test_wide_table_and_raw_rows(visit: Callable[..., Visit], house: Cloud) -> None:
    me = visit("#/wide").sign_in()
    me.settled()
    me.looked("30-wide")
    kv = WideTable(house)
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
    me.looked("31-wide-rows")
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
    me.looked("33-hex")
    me.page.keyboard.press("Escape")
    me.button("Delete cell raw").click()
    me.find("dialog").get_by_role("button", name="Delete cell").click()
    expect(me.find("tbody tr")).to_have_count(2)
    me.go("rows")
    me.looked("34-raw")
    held = me.find("tbody tr", has=me.page.get_by_role("link", name="iam", exact=True))
    expect(held).to_contain_text("identities and policies")
    expect(me.find("tbody td", has_text="–")).to_have_count(0)  # each is told in words
    me.page.get_by_role("link", name="kv:console-wide").click()
    expect(me.find("tbody tr")).to_have_count(10)
    me.seen("35-raw-rows")
    me.button("Next").click()
    expect(me.find("tbody tr")).to_have_count(3)
    me.go("tablets")
    me.looked("36-tablets")


def test_many_tablets_and_messages_come_ten_at_a_time(browser: Any, tmp_path: Path) -> None:
    cloud = new_cloud(tmp_path / "home")
    cloud.home.mkdir()
    (cloud.home / "pileus.toml").write_text("front_processes = 1\nshards = 8\n")
    try:
        cloud.up()
        with (cloud.home / "run" / "pileus.log").open("a") as said:
            for n in range(12):
                said.write(f"2026-11-21 14:12:{n + 10},000 front-0 WARNING pileus.x: told {n}\n")
        me = Visit(browser, cloud).arrive("#/tablets").sign_in()
        me.settled()
        rows = me.find("[aria-label=Tablets] tbody tr")
        assert 0 < rows.count() < 10, "those that hold something"
        me.button("Show empty tablets").click()
        expect(rows).to_have_count(10)
        pager = me.find("nav[aria-label^=Tablets]")
        pager.get_by_role("button", name="Next").click()
        expect(pager).to_contain_text("Tablets 11–20")
        expect(rows.first).to_contain_text("#10")
        me.seen("37-many-tablets")
        me.go("errors")
        expect(me.find(".events li")).to_have_count(10)
        pager = me.find("nav[aria-label^=Messages]")
        pager.get_by_role("button", name="Next").click()
        expect(me.find(".events li", has_text="told 0")).to_have_count(1)
        me.seen("38-many-messages")
        me.context.close()
    finally:
        cloud.down()


CODE = """
import json
def handler(event, context):
    print("seen", json.dumps(event))
    if event.get("fail"):
        raise ValueError("told to fail")
    return {"statusCode": 200, "body": "hello " + event.get("name", "you")}
"""


def test_role_function_api_logs_and_errors(
    visit: Callable[..., Visit], house: Cloud, tmp_path: Path
) -> None:
    me = visit("#/roles").sign_in()
    me.settled()
    me.button("Create role").click()
    me.page.get_by_label("Name").fill("console-role")
    me.find("dialog").get_by_role("button", name="Create role").click()
    expect(me.find("h1")).to_have_text("console-role")
    me.settled()
    me.seen("40-role")
    (tmp_path / "app.zip").write_bytes(zipped(CODE))
    me.go("functions")
    me.button("Create function").click()
    me.page.get_by_label("Name").fill("console-hello")
    me.page.get_by_label("Handler").fill("app.handler")
    me.page.get_by_label("Code (.zip)").set_input_files(tmp_path / "app.zip")
    me.find("dialog").get_by_role("button", name="Create function").click()
    expect(me.find("h1")).to_have_text("console-hello")
    me.settled()
    wait(house.client("lambda"), "function_active_v2", FunctionName="console-hello")
    me.page.get_by_label("Event as JSON").fill('{"name": "operator"}')
    me.button("Invoke").click()
    expect(me.find("#answer")).to_contain_text("hello operator", timeout=90_000)
    expect(me.find("#tail")).to_contain_text('seen {"name": "operator"}')
    me.seen("41-invoked")
    me.page.get_by_label("Event as JSON").fill('{"fail": true}')
    me.button("Invoke").click()
    expect(me.find(".panel .badge.bad")).to_contain_text("failed: Unhandled")
    me.page.get_by_role("tab", name="Settings").click()
    me.looked("42-settings")

    me.go("apis")
    me.button("Create API").click()
    me.page.get_by_label("Name").fill("console-api")
    me.find("dialog").get_by_role("button", name="Create API").click()
    expect(me.find("h1")).to_have_text("console-api")
    me.settled()
    me.button("Add route").click()
    me.page.get_by_label("Route", exact=True).fill("GET /hello")
    me.find("dialog").get_by_role("button", name="Add route").click()
    expect(me.find("tbody tr", has_text="GET /hello")).to_contain_text("console-hello")
    me.seen("43-api")
    api = house.client("apigatewayv2").get_apis()["Items"][0]
    status, _, body = http(f"{house.endpoint}/_api/{api['ApiId']}/hello")
    assert (status, body) == (200, b"hello you")

    me.go("layers")
    me.button("Publish layer").click()
    me.page.get_by_label("Name").fill("console-layer")
    me.page.get_by_label("Content (.zip)").set_input_files(tmp_path / "app.zip")
    me.find("dialog").get_by_role("button", name="Publish").click()
    expect(me.find("tbody tr")).to_contain_text(":layer:console-layer:1")
    arn = me.find("tbody code").inner_text()
    me.seen("48-layer")
    me.go("functions/console-hello")
    me.page.get_by_role("tab", name="Settings").click()
    me.button("Change settings").click()
    me.page.get_by_label("Layers").fill(arn)
    me.button("Save").click()
    expect(me.find(".facts")).to_contain_text("console-layer 1")

    me.go("logs")
    me.page.get_by_role("link", name="/aws/lambda/console-hello").click()
    expect(me.find(".log")).to_contain_text("told to fail")
    event = b'{"name": "later"}'
    house.client("lambda").invoke(FunctionName="console-hello", Payload=event)
    expect(me.find(".log")).to_contain_text('seen {"name": "later"}')  # live, unasked
    me.seen("44-tail")
    me.page.get_by_label("Filter pattern").fill("operator")
    me.button("Filter").click()
    expect(me.find(".log p")).to_have_count(1)
    me.page.get_by_role("tab", name="Streams").click()
    expect(me.find("tbody tr").first).to_be_visible()
    me.looked("45-streams")
    me.go("errors")
    expect(me.find(".events li").first).to_contain_text("console-hello")
    me.seen("46-errors")
    me.go("charts")
    expect(me.find(".chart canvas")).to_have_count(8)
    expect(me.find("[data-now='0']")).not_to_have_text("No number yet.")
    me.seen("47-charts")
    assert me.errors == []


def test_buckets(visit: Callable[..., Visit], house: Cloud, tmp_path: Path) -> None:
    me = visit("#/buckets").sign_in()
    me.settled()
    me.button("Create bucket").click()
    me.page.get_by_label("Name").fill("console-files")
    me.find("dialog").get_by_role("button", name="Create bucket").click()
    expect(me.find("h1")).to_have_text("console-files")
    me.settled()
    me.looked("60-empty")
    large = tmp_path / "large ü.bin"
    large.write_bytes(os.urandom(1024) * 17 * 1024)  # 17 MiB: two parts
    (tmp_path / "note.json").write_text('{"a": [1, 2]}')
    with me.page.expect_file_chooser() as chooser:
        me.button("Upload files").click()
    chooser.value.set_files([large, tmp_path / "note.json"])
    expect(me.find("tbody tr")).to_have_count(2, timeout=90_000)
    s3 = house.client("s3")
    got = s3.get_object(Bucket="console-files", Key="large ü.bin")["Body"].read()
    assert got == large.read_bytes()
    s3.put_object(Bucket="console-files", Key="docs/deep/a.txt", Body=b"deep")
    me.go("buckets/console-files/docs")
    me.page.evaluate(
        """() => { const data = new DataTransfer();
        data.items.add(new File(["dropped"], "dropped.txt", {type: "text/plain"}));
        document.querySelector(".drop").dispatchEvent(
            new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true})); }"""
    )
    expect(me.find("tbody tr")).to_have_count(2)
    assert s3.head_object(Bucket="console-files", Key="docs/dropped.txt")["ContentLength"] == 7
    me.page.get_by_role("link", name="deep/").click()
    expect(me.find(".crumbs")).to_contain_text("deep")
    expect(me.find("tbody tr")).to_have_count(1)
    me.go("buckets/console-files")
    me.button("note.json", exact=True).click()
    expect(me.find("dialog pre")).to_contain_text('"a": [')
    me.seen("61-view")
    me.page.keyboard.press("Escape")
    with me.page.expect_download() as download:
        me.button("Download large").click()
    assert Path(download.value.path()).read_bytes() == large.read_bytes()
    me.allowed = ("404",)  # Chromium tells that there is no policy yet
    me.page.get_by_role("tab", name="Policy").click()
    me.button("Write a policy").click()
    me.find("dialog").get_by_role("button", name="Save policy").click()
    expect(me.find("pre")).to_contain_text("s3:GetObject")
    assert s3.get_bucket_policy(Bucket="console-files")["Policy"]
    me.page.get_by_role("tab", name="Objects").click()
    me.button("Delete note.json").click()
    me.find("dialog").get_by_role("button", name="Delete object").click()
    expect(me.find("tbody tr")).to_have_count(2)
    me.looked("62-objects")
    assert me.errors == []


def test_by_keyboard_alone(visit: Callable[..., Visit], house: Cloud) -> None:
    me = visit()
    press, write = me.page.keyboard.press, me.page.keyboard.type
    expect(me.page.get_by_label("Access key id")).to_be_focused()
    write(house.env["AWS_ACCESS_KEY_ID"])
    press("Tab")
    write(house.env["AWS_SECRET_ACCESS_KEY"])
    press("Enter")
    expect(me.find("main h1")).to_be_focused()
    me.page.reload()
    me.find("main h1").wait_for()
    press("Tab")
    expect(me.page.get_by_text("Skip to the content")).to_be_focused()
    link = me.page.get_by_role("link", name="Tables", exact=True)
    for _ in range(20):
        press("Tab")
        if link.evaluate("(a) => a === document.activeElement"):
            break
    press("Enter")
    expect(me.find("main h1")).to_have_text("Tables")
    expect(me.find("main h1")).to_be_focused()
    me.settled()
    press("Tab")
    expect(me.button("Create table")).to_be_focused()
    press("Enter")
    expect(me.page.get_by_label("Name")).to_be_focused()
    write("by-keys")
    press("Enter")
    expect(me.find("main h1")).to_have_text("by-keys")
    me.settled()  # what comes late must not take the focus away
    me.button("Delete table").focus()
    press("Enter")
    expect(me.page.get_by_label("Type")).to_be_focused()
    press("Escape")
    expect(me.find("dialog")).to_have_count(0)
    expect(me.button("Delete table")).to_be_focused()
    assert me.errors == []


def test_alarms_distributions_and_services(visit: Callable[..., Visit], house: Cloud) -> None:
    house.client("cloudwatch").put_metric_alarm(**above("console-alarm", "Shop", "Orders", 3.0))
    s3 = house.client("s3")
    s3.create_bucket(Bucket="console-site")
    page = {"Body": b"<h1>hi</h1>", "ContentType": "text/html"}
    s3.put_object(Bucket="console-site", Key="index.html", **page)
    origin = {"Id": "o", "DomainName": "console-none.s3.us-east-1.amazonaws.com"}
    wish = {
        "CallerReference": "console", "Comment": "the shop", "Enabled": True,
        "Origins": {"Quantity": 1, "Items": [{**origin, "S3OriginConfig": {
            "OriginAccessIdentity": ""}}]},
        "DefaultCacheBehavior": {"TargetOriginId": "o", "ViewerProtocolPolicy": "allow-all",
                                 "MinTTL": 0, "ForwardedValues": {
                                     "QueryString": False, "Cookies": {"Forward": "none"}}},
    }  # fmt: skip
    cloudfront = house.client("cloudfront")
    made = cloudfront.create_distribution(DistributionConfig=wish)["Distribution"]
    program = "import http.server as h; h.HTTPServer(('127.0.0.1', 8080), h.BaseHTTPRequestHandler)"
    wish = {
        "Name": "console-service",
        "Code": {"ZipFile": base64.b64encode(zipped(f"{program}.serve_forever()")).decode()},
        "Command": ["python3", "app.py"], "Runtime": "python", "Port": 8080,
    }  # fmt: skip
    status, told = ask(house, "POST", "/_pileus/services", body=json.dumps(wish))
    assert status < 300, told
    me = visit("#/alarms").sign_in()
    expect(me.find("tbody tr")).to_contain_text("Orders > 3, 1 × 60 s")
    me.seen("65-alarms")
    me.button("Delete alarm console-alarm").click()
    me.find("dialog").get_by_role("button", name="Delete alarm").click()
    expect(me.find(".empty")).to_contain_text("There is no alarm")
    me.go("distributions")
    me.page.get_by_role("link", name=made["Id"], exact=True).click()
    expect(me.find("main")).to_contain_text("console-none.s3")
    me.button("Fetch anew").click()
    me.find("dialog").get_by_role("button", name="Fetch anew").click()
    expect(me.find("[aria-label=Invalidations] tbody tr")).to_have_count(1)
    assert cloudfront.list_invalidations(DistributionId=made["Id"])["InvalidationList"]["Items"]
    me.seen("66-distribution")
    me.go("distributions")
    me.allowed = ("404",)  # Chromium tells that the bucket has no policy yet
    me.button("Create distribution").click()
    me.page.get_by_label("Bucket").select_option("console-site")
    me.find("dialog").get_by_role("button", name="Create distribution").click()
    expect(me.find("main")).to_contain_text("console-site.s3.us-east-1")
    address = me.find(".facts a").get_attribute("href")
    assert http(address)[::2] == (200, b"<h1>hi</h1>")
    me.button("Delete").click()
    me.page.get_by_label("Type").fill(me.find("main h1").inner_text())
    me.find("dialog").get_by_role("button", name="Delete").click()
    expect(me.find("main h1")).to_have_text("Distributions")
    expect(me.find("tbody tr")).to_have_count(1)
    me.go("services")
    me.looked("67-services")
    me.page.get_by_role("link", name="console-service", exact=True).click()
    expect(me.find("main")).to_contain_text("running", timeout=90_000)
    me.seen("68-service")
    me.button("Stop").click()
    me.find("dialog").get_by_role("button", name="Stop").click()
    expect(me.button("Start")).to_be_visible(timeout=90_000)
    assert me.errors == []


@pytest.mark.parametrize("form", ["own name", "TLS"])
def test_at_its_other_addresses(browser: Any, house: Cloud, form: str) -> None:
    tls = json.loads((house.home / "run/caddy.json").read_text())["apps"]["http"]["servers"]
    port = tls["secure"]["listen"][0].rpartition(":")[2]
    own = house.edge.replace("localhost", "console.localhost")
    me = Visit(browser, house, ignore_https_errors=True)
    me.page.goto(f"{own}/" if form == "own name" else f"https://localhost:{port}/admin/#/buckets")
    me.sign_in()
    me.go("buckets")
    expect(me.find("h1")).to_have_text("Buckets")
    expect(me.find("main [role=alert]")).to_have_count(0)
    assert me.errors == []
    me.context.close()


CUT = """window.fetch = async () => ({ ok: true, headers: new Headers(), text: async () => {
    throw new DOMException('signal timed out', 'TimeoutError') } })"""


def test_an_answer_that_stops_half_way_is_told(visit: Callable[..., Visit]) -> None:
    me = visit().sign_in()
    me.page.evaluate(CUT)
    me.go("tables")
    expect(me.find("main [role=alert]")).to_contain_text("did not come to its end in time")
    me.seen("07-cut")


def test_a_caller_who_may_little_is_told_so(visit: Callable[..., Visit], house: Cloud) -> None:
    iam = house.client("iam")
    iam.create_user(UserName="console-guest")
    made = iam.create_access_key(UserName="console-guest")["AccessKey"]
    me = visit("#/tables")
    me.allowed = ("400", "403")
    me.sign_in(made["AccessKeyId"], made["SecretAccessKey"])
    for place in ("tables", "nodes", "rows", "buckets", "functions", "charts"):
        me.go(place)
        expect(me.find("main [role=alert]").first).to_contain_text("Not allowed")
        expect(me.find("main [role=alert]").first).to_contain_text("console-guest")
    me.seen("70-denied")
