"""The deployed API by plain HTTP, the same in both languages (K1)."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from apps.links.tests.conftest import Links, deploy
from tests.acceptance.aws_cli import http
from tests.conftest import Cloud

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
LONG = "https://example.org/a/long/path?x=1&y=%C3%A9#part"


@pytest.fixture(scope="module", params=["python", "nodejs"])
def links(cloud: Cloud, request: pytest.FixtureRequest) -> Links:
    if request.param == "python":
        return request.getfixturevalue("python_links")  # type: ignore[no-any-return]
    return deploy(cloud, "links-node", "nodejs")


def test_shorten_then_programs_get_the_long_url_and_browsers_go_there(links: Links) -> None:
    status, short = links.shorten(LONG)
    assert status == 200 and isinstance(short, str) and len(short) == 7
    status, headers, answer = links.get(short)
    assert (status, json.loads(answer)) == (200, LONG)
    assert headers["content-type"].startswith("application/json")
    status, headers, _ = links.get(short, BROWSER)
    assert (status, headers["location"]) == (302, LONG)
    assert headers["cache-control"] == "no-store"  # else visits go uncounted


def test_a_browser_is_sent_to_an_address_in_another_script(links: Links) -> None:
    status, short = links.shorten("https://münchen.example:8443/straße?q=ü#ß")
    assert status == 200
    _, headers, _ = links.get(short, BROWSER)
    where = "https://xn--mnchen-3ya.example:8443/stra%C3%9Fe?q=%C3%BC#%C3%9F"
    assert headers["location"] == where
    assert json.loads(links.get(short)[2]) == "https://münchen.example:8443/straße?q=ü#ß"


def test_unknown_links(links: Links) -> None:
    for path in ("nothing", "nothing/stats", "x", "%00", "..%2f..", "a" * 3000):
        status, _, answer = links.get(path)
        assert (status, json.loads(answer)) == (404, {"message": "there is no such link"})
    status, headers, page = links.get("nothing", BROWSER)
    assert status == 404 and headers["content-type"].startswith("text/html")
    assert b"No such link" in page


@pytest.mark.parametrize(
    "url",
    [
        None, 7, "", "ftp://example.org/", "javascript:alert(1)",
        "https://example.org/" + "a" * 2048,
        "http://127.0.0.1/", "http://10.1.2.3/", "http://[::1]/", "http://localhost:4566/",
        "http://2130706433/", "http://169.254.169.254/latest/meta-data/",
        "https://example.org@127.0.0.1/", "https://user:secret@example.org/",
    ],
)  # fmt: skip
def test_bad_addresses_are_refused_with_a_reason(links: Links, url: object) -> None:
    status, told = links.shorten(url)
    assert status == 400 and len(told["message"]) > 15


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"https://example.org"', b"\xff\xfe", b"null"])
def test_bodies_that_are_no_wish(links: Links, body: bytes) -> None:
    status, _, answer = http(f"{links.api}/shorten", "POST", body)
    assert status == 400 and json.loads(answer)["message"].startswith("the body is not")


def test_an_alias_is_given_once(links: Links) -> None:
    assert links.shorten(LONG, alias="my-own_1") == (200, "my-own_1")
    assert json.loads(links.get("my-own_1")[2]) == LONG
    status, told = links.shorten("https://example.org/other", alias="my-own_1")
    assert (status, told) == (409, {"message": "the alias my-own_1 is taken"})
    assert json.loads(links.get("my-own_1")[2]) == LONG
    for alias in ("x", "a/b", "shorten", "a" * 33, 12):
        assert links.shorten(LONG, alias=alias)[0] == 400


def test_of_callers_who_want_one_alias_one_gets_it(links: Links) -> None:
    wishes = [f"https://example.org/{i}" for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda url: links.shorten(url, alias="wanted"), wishes))
    assert sorted(status for status, _ in told) == [200] + [409] * 7
    winner = wishes[[status for status, _ in told].index(200)]
    assert json.loads(links.get("wanted")[2]) == winner


def brief_link(links: Links) -> str:
    """A link that will end soon, and was asked for before its end."""
    for seconds in (3, 12, 48):  # a busy machine may need longer for the questions
        begun, alias = time.monotonic(), f"brief-{seconds}"
        made = links.shorten(LONG, alias=alias, expiresInSeconds=seconds)
        told = links.get(alias)[0], links.stats(alias), links.shorten(LONG, alias=alias)[0]
        if time.monotonic() - begun < seconds:
            status, stats, again = told
            assert (made, status, again) == ((200, alias), 200, 409)
            assert stats["expires"] - stats["created"] in (seconds, seconds + 1)
            return alias
    raise AssertionError("the machine is too slow")


def test_expiry_ends_a_link_and_frees_its_name(links: Links) -> None:
    short = brief_link(links)
    deadline = time.monotonic() + 120
    while links.get(short)[0] == 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert links.get(short)[0] == 404 and links.stats(short) == 404
    assert links.shorten("https://example.org/next", alias=short) == (200, short)
    assert json.loads(links.get(short)[2]) == "https://example.org/next"
    for seconds in (0, -5, "60", 10**12, True):
        assert links.shorten(LONG, expiresInSeconds=seconds)[0] == 400


def test_every_visit_is_counted(links: Links) -> None:
    _, short = links.shorten(LONG)
    told = links.stats(short)
    assert (told["id"], told["url"], told["clicks"]) == (short, LONG, 0)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: links.get(short, BROWSER if i % 2 else "*/*"), range(12)))
    assert links.stats(short)["clicks"] == 12


def test_another_origin_may_call_the_api(links: Links) -> None:
    asked = {"origin": "http://page.example", "access-control-request-method": "POST"}
    status, headers, _ = http(f"{links.api}/shorten", "OPTIONS", headers=asked)
    assert status in (200, 204) and headers["access-control-allow-origin"] == "*"
    assert "POST" in headers["access-control-allow-methods"]


def test_the_edge_serves_page_and_api_at_one_address(links: Links) -> None:
    page = links.page.rstrip("/")
    id_ = links.outputs["Domain"].partition(".")[0]
    for base in (page, f"{links.cloud.edge}/_cdn/{id_}"):
        status, headers, body = http(f"{base}/")
        assert status == 200 and b"<links-page>" in body
        assert headers["content-type"].startswith("text/html")
        assert headers["x-content-type-options"] == "nosniff"
        status, short = links.shorten(LONG, base)
        assert status == 200
        assert http(f"{base}/{short}", headers={"accept": BROWSER})[1]["location"] == LONG
        status, headers, body = http(f"{base}/config.json")
        assert status == 200 and json.loads(body)["Api"] == links.api
        assert http(f"{base}/nothing")[0] == 404
    assert links.stats(short)["clicks"] == 1


def test_the_bare_address_of_the_edge_shows_the_app(python_links: Links) -> None:
    status, _, body = http(f"{python_links.cloud.edge}/")
    assert status == 200 and b"<links-page>" in body


def test_a_second_deployment_sends_nothing(links: Links) -> None:
    s3 = links.cloud.client("s3")
    had = {o["Key"]: o["LastModified"] for o in listed(s3, links.outputs["Bucket"])}
    cfn = links.cloud.client("cloudformation")
    language = {
        p["ParameterKey"]: p["ParameterValue"]
        for p in cfn.describe_stacks(StackName=links.stack)["Stacks"][0]["Parameters"]
    }
    again = deploy(links.cloud, links.stack, language["Language"])
    assert again.outputs == links.outputs
    assert {o["Key"]: o["LastModified"] for o in listed(s3, links.outputs["Bucket"])} == had
    status = cfn.describe_stacks(StackName=links.stack)["Stacks"][0]["StackStatus"]
    assert status == "CREATE_COMPLETE"  # not updated


def listed(s3: object, bucket: str) -> list[dict[str, object]]:
    return s3.list_objects_v2(Bucket=bucket)["Contents"]  # type: ignore[attr-defined,no-any-return]
