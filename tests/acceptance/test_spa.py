"""A built single-page application (a Quasar ``dist/spa``) uploads and works (K1, E1)."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests import programs
from tests.acceptance.aws_cli import AwsCli, http
from tests.conftest import Cloud

BUCKET = "quasar-spa"
# The names and shapes Quasar's Vite build writes, history mode of its router included.
INDEX = """<!DOCTYPE html><html><head><title>Quasar App</title><meta charset=utf-8>
<link rel=icon type=image/ico href=/favicon.ico>
<script type="module" crossorigin src="/assets/index-BqR3xY1z.js"></script>
<link rel="stylesheet" crossorigin href="/assets/index-4f2ab9c1.css"></head>
<body><div id=q-app></div></body></html>"""
MAIN = """const page = () => import("./LinkPage-D4k2a9Zx.js");
const show = async () => {
  document.querySelector("#q-app").innerHTML = location.pathname === "/"
    ? '<h1>Home</h1><a href="/links/7">seven</a>' : (await page()).render(location.pathname);
};
document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (link) { event.preventDefault(); history.pushState({}, "", link.href); show(); }
});
addEventListener("popstate", show); show();"""
FILES = {
    "index.html": INDEX.encode(),
    "favicon.ico": b"\0\0\1\0\1\0\1\1\0\0\1\0\x18\0\x30\0\0\0\x16\0\0\0" + bytes(48),
    "icons/favicon-128x128.png": b"\x89PNG\r\n\x1a\n" + bytes(64),
    "assets/index-BqR3xY1z.js": MAIN.encode(),
    "assets/LinkPage-D4k2a9Zx.js": b"export const render = (path) => `<h1>Link ${path}</h1>`;",
    "assets/index-4f2ab9c1.css": b"h1 { color: rgb(1, 2, 3) }\n" + b"/* pad */" * 200,
    "assets/KFOlCnqEu92Fr1MmEUfBBc4-Q8s0DXyT.woff2": b"wOF2" + bytes(64),
    "assets/flUhRq6tzZclQEJ-Vdg-IuiaDsNc-0j9v9kd.woff": b"wOFF" + bytes(64),
}


def configuration(cloud: Cloud, control: str) -> dict[str, Any]:
    origin = {
        "Id": "site",
        "DomainName": f"{BUCKET}.s3.{cloud.env['AWS_REGION']}.amazonaws.com",
        "S3OriginConfig": {"OriginAccessIdentity": ""},
        "OriginAccessControlId": control,
    }
    fallback = {"ResponseCode": "200", "ResponsePagePath": "/index.html", "ErrorCachingMinTTL": 1}
    errors = [{"ErrorCode": code, **fallback} for code in (403, 404)]
    return {
        "CallerReference": BUCKET,
        "Comment": "",
        "Enabled": True,
        "DefaultRootObject": "index.html",
        "Origins": {"Quantity": 1, "Items": [origin]},
        "DefaultCacheBehavior": {
            "TargetOriginId": "site",
            "ViewerProtocolPolicy": "allow-all",
            "Compress": True,
            "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6",
        },
        "CustomErrorResponses": {"Quantity": 2, "Items": errors},
    }


@pytest.fixture(scope="module")
def site(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The application's address: a private bucket behind a distribution with access control."""
    aws = AwsCli(cloud)
    dist = tmp_path_factory.mktemp("quasar") / "dist/spa"
    for name, data in FILES.items():
        (dist / name).parent.mkdir(parents=True, exist_ok=True)
        (dist / name).write_bytes(data)
    aws("s3", "mb", f"s3://{BUCKET}")
    aws("s3", "sync", str(dist), f"s3://{BUCKET}/", "--only-show-errors")
    wish = {"Name": BUCKET, "SigningProtocol": "sigv4", "SigningBehavior": "always"}
    wish |= {"OriginAccessControlOriginType": "s3"}
    control = aws(
        "cloudfront", "create-origin-access-control",
        "--origin-access-control-config", json.dumps(wish),
    )["OriginAccessControl"]["Id"]  # fmt: skip
    config = json.dumps(configuration(cloud, control))
    made = aws("cloudfront", "create-distribution", "--distribution-config", config)["Distribution"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "cloudfront.amazonaws.com"},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/*",
        "Condition": {"StringEquals": {"AWS:SourceArn": made["ARN"]}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    aws("s3api", "put-bucket-policy", "--bucket", BUCKET, "--policy", policy)
    return cloud.edge.replace("localhost", made["DomainName"])


def test_every_file_arrives_with_its_type(site: str) -> None:
    kinds = {
        "html": "text/html", "js": "text/javascript", "css": "text/css", "png": "image/png",
        "woff2": "font/woff2", "woff": "font/woff",
    }  # fmt: skip
    for name, data in FILES.items():
        status, headers, body = http(f"{site}/{name}")
        assert (status, body) == (200, data), name
        wanted = kinds.get(name.rpartition(".")[2])
        assert wanted is None or headers["content-type"] == wanted, name


def test_text_is_packed_for_browsers(site: str) -> None:
    name = "assets/index-4f2ab9c1.css"
    status, headers, body = http(f"{site}/{name}", headers={"accept-encoding": "gzip, br"})
    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert gzip.decompress(body) == FILES[name]


def test_routes_of_the_page_answer_the_page(site: str) -> None:
    for path in ("/", "/links/7", "/deep/er/still"):
        status, headers, body = http(f"{site}{path}")
        assert (status, headers["content-type"], body) == (200, "text/html", FILES["index.html"])


def test_it_works_in_a_browser(site: str) -> None:
    sync_api = programs.playwright()
    with sync_api.sync_playwright() as p:
        flags = [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-background-networking",
        ]
        browser = p.chromium.launch(executable_path=programs.chromium(), args=flags)
        page = browser.new_page()
        wrong: list[str] = []
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: wrong.append(str(e)))
        page.goto(f"{site}/")
        page.get_by_text("seven").click()
        sync_api.expect(page.locator("h1")).to_have_text("Link /links/7")
        page.reload()  # the router's address is asked of the edge
        sync_api.expect(page.locator("h1")).to_have_text("Link /links/7")
        sync_api.expect(page.locator("h1")).to_have_css("color", "rgb(1, 2, 3)")
        page.go_back()
        sync_api.expect(page.locator("h1")).to_have_text("Home")
        assert wrong == []
        browser.close()
