"""What viewers of a distribution get."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest

from pileus.edge.door import Edge
from pileus.services.call import HttpResponse
from tests.edge.conftest import World, cached, told

LEGACY = {"ForwardedValues": {"QueryString": False, "Cookies": {"Forward": "none"}}, "MinTTL": 0}


def test_miss_then_hit_root_and_path_form(run: Any) -> None:
    async def body(w: World) -> None:
        w.put("index.html", b"hello")
        await w.make(DefaultRootObject="index.html")
        first, second = await w.get("/"), await w.get("/index.html")
        assert (first.status, first.body, cached(first)) == (200, b"hello", "Miss")
        assert (second.body, cached(second)) == (b"hello", "Hit")
        assert told(second, "age") == "0" and told(second, "via") and told(second, "x-amz-cf-id")
        form = await w.get(f"/_cdn/{w.id}/index.html", host="127.0.0.1:8000")
        assert cached(form) == "Hit"
        nobody = await w.get("/", host="127.0.0.1:8000")
        assert nobody.status == 404 and b"No distribution" in bytes(nobody.body)
        assert len(w.asked) == 1 and w.asked[0]["principal"].kind == "anonymous"

    run(body)


def test_identity_and_control_sign(run: Any) -> None:
    async def body(w: World) -> None:
        w.put("a", b"1")
        wish = {"CallerReference": "i", "Comment": ""}
        noun = "CloudFrontOriginAccessIdentity"
        made = (await w.call(f"Create{noun}", CloudFrontOriginAccessIdentityConfig=wish))[noun]
        path = f"origin-access-identity/cloudfront/{made['Id']}"
        await w.make(origin={"S3OriginConfig": {"OriginAccessIdentity": path}})
        await w.get("/a")
        principal = w.asked[-1]["principal"]
        assert (principal.kind, principal.id) == ("oai", made["S3CanonicalUserId"])
        assert principal.arn == (
            f"arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity {made['Id']}"
        )
        control = {
            "Name": "c",
            "SigningProtocol": "sigv4",
            "SigningBehavior": "always",
            "OriginAccessControlOriginType": "s3",
        }
        made = await w.call("CreateOriginAccessControl", OriginAccessControlConfig=control)
        await w.make(origin={"OriginAccessControlId": made["OriginAccessControl"]["Id"]})
        await w.get("/a")
        assert w.asked[-1]["principal"].arn == "cloudfront.amazonaws.com"
        assert w.asked[-1]["context"]["aws:SourceArn"].endswith(f":distribution/{w.id}")

    run(body)


def test_many_misses_one_fetch_over_processes(run: Any) -> None:
    async def body(w: World) -> None:
        w.put("a", b"x" * 5000)
        w.s3_delay_s = 0.05
        await w.make()
        other = Edge(w.parts)  # another front process over the same files
        answers = await asyncio.gather(
            *(w.get("/a", edge=edge) for edge in (w.edge, other) for _ in range(20))
        )
        assert {a.body for a in answers} == {b"x" * 5000}
        assert len(w.asked) == 1

    run(body)


def test_stale_while_the_origin_is_down(run: Any) -> None:
    async def body(w: World) -> None:
        w.put("a", b"1", CacheControl="max-age=10")
        w.put("b", b"1", CacheControl="max-age=10, must-revalidate")
        await w.make()
        await w.get("/a")
        await w.get("/b")
        w.down = True
        w.clock.ahead_s += 60
        kept = await w.get("/a")
        assert (kept.status, kept.body, cached(kept)) == (200, b"1", "Hit")
        refused = await w.get("/b")
        assert refused.status == 502 and cached(refused) == "Error"
        assert (await w.get("/new")).status == 502

    run(body)


def test_revalidation(run: Any) -> None:
    async def body(w: World) -> None:
        w.put("a", b"1", CacheControl="max-age=10")
        await w.make()
        await w.get("/a")
        w.clock.ahead_s += 60
        assert cached(await w.get("/a")) == "RefreshHit"
        assert cached(await w.get("/a")) == "Hit"
        w.clock.ahead_s += 60
        w.put("a", b"2", ETag='"e2"')
        changed = await w.get("/a")
        assert (changed.body, cached(changed)) == (b"2", "Miss")

    run(body)


def test_invalidation_reaches_every_process_and_survives_restart(run: Any) -> None:
    async def body(w: World) -> None:
        other = Edge(w.parts)
        for key in ("a", "b/c"):
            w.put(key, b"old")
        await w.make()
        for edge in (w.edge, other):
            await w.get("/a", edge=edge)
            await w.get("/b/c", edge=edge)
        for key in ("a", "b/c"):
            w.put(key, b"new", ETag='"e2"')
        assert (await w.get("/a")).body == b"old"
        await w.forget("/b/*")
        assert (await w.get("/a")).body == b"old"
        restarted = Edge(w.parts)  # knows only the files
        for edge in (other, restarted, w.edge):
            assert (await w.get("/b/c", edge=edge)).body == b"new"
        assert (await w.get("/a", edge=Edge(w.parts))).body == b"old"

    run(body)


@pytest.mark.parametrize(
    "headers",
    [
        {"cache-control": "private, max-age=60"},
        {"cache-control": "no-store"},
        {"cache-control": "max-age=60", "vary": "*"},
    ],
)
def test_what_is_never_kept(run: Any, headers: dict[str, str]) -> None:
    async def body(w: World) -> None:
        w.origin = lambda request: HttpResponse(200, list(headers.items()), b"mine")
        await w.make(s3=False)
        for _ in range(3):
            answer = await w.get("/")
            assert (answer.status, cached(answer)) == (200, "Miss")
        assert len(w.visits) == 3

    run(body)


def test_authorization_forwarded_outside_the_key_is_not_shared(run: Any) -> None:
    async def body(w: World) -> None:
        all_viewer = "216adef6-5c7f-47e4-b989-5492eafa07d3"
        w.origin = lambda r: HttpResponse(200, [], r.headers.get("authorization", "-").encode())
        await w.make({"OriginRequestPolicyId": all_viewer}, s3=False)
        for who in ("Bearer a", "Bearer b"):
            assert (await w.get("/", authorization=who)).body == who.encode()

    run(body)


def test_query_headers_and_cookies_follow_the_policy(run: Any) -> None:
    async def body(w: World) -> None:
        values = {
            "QueryString": True,
            "Cookies": {
                "Forward": "whitelist",
                "WhitelistedNames": {"Quantity": 1, "Items": ["s"]},
            },
            "Headers": {"Quantity": 1, "Items": ["X-Kind"]},
        }
        w.origin = lambda r: HttpResponse(200, [], repr(sorted(r.headers.items())).encode())
        await w.make({"ForwardedValues": values}, s3=False)
        await w.get("/?a=1", x_kind="k", x_other="o", cookie="s=1; t=2", user_agent="me")
        seen = w.visits[0]
        assert seen.query == "a=1" and seen.headers["cookie"] == "s=1"
        assert seen.headers["x-kind"] == "k" and "x-other" not in seen.headers
        assert seen.headers["user-agent"] == "Amazon CloudFront"
        assert cached(await w.get("/?a=1", x_kind="k", cookie="s=1; t=3")) == "Hit"
        assert cached(await w.get("/?a=2", x_kind="k", cookie="s=1")) == "Miss"
        assert cached(await w.get("/?a=1", x_kind="l", cookie="s=1")) == "Miss"
        assert cached(await w.get("/?a=1", x_kind="k", cookie="s=2")) == "Miss"

    run(body)


def test_conditions_ranges_head_and_compression(run: Any) -> None:
    async def body(w: World) -> None:
        text = b"abcdefghij" * 500
        w.put("a.txt", text, LastModified=1_700_000_000)
        await w.make({"Compress": True})
        assert (await w.get("/a.txt")).body == text
        unchanged = await w.get("/a.txt", if_none_match='W/"e1"')
        assert (unchanged.status, unchanged.body) == (304, b"")
        when = "Tue, 14 Nov 2023 22:13:20 GMT"
        assert (await w.get("/a.txt", if_modified_since=when)).status == 304
        part = await w.get("/a.txt", range="bytes=10-14")
        assert (part.status, part.body) == (206, b"abcde")
        assert told(part, "content-range") == "bytes 10-14/5000"
        assert (await w.get("/a.txt", range="bytes=-3")).body == b"hij"
        assert (await w.get("/a.txt", range="bytes=5000-")).status == 416
        packed = await w.get("/a.txt", accept_encoding="gzip, br")
        assert told(packed, "content-encoding") == "gzip"
        assert gzip.decompress(bytes(packed.body)) == text
        assert cached(await w.get("/a.txt", "HEAD")) == "Hit"
        assert len(w.asked) == 1

    run(body)


def test_behaviours_methods_protocol_and_errors(run: Any) -> None:
    async def body(w: World) -> None:
        w.put("oops.html", b"sorry")
        w.put("api/x", b"api")
        secure = {
            "PathPattern": "secure/*",
            "TargetOriginId": "o",
            "ViewerProtocolPolicy": "redirect-to-https",
            "CachePolicyId": "4135ea2d-6df8-44a3-9df3-4b5a84be39ad",
        }
        errors = [
            {
                "ErrorCode": 404,
                "ResponsePagePath": "/oops.html",
                "ResponseCode": "200",
                "ErrorCachingMinTTL": 5,
            }
        ]
        await w.make(
            CacheBehaviors={"Quantity": 1, "Items": [secure]},
            CustomErrorResponses={"Quantity": 1, "Items": errors},
        )
        moved = await w.get("/secure/x?q=1")
        assert moved.status == 301
        assert told(moved, "location") == (
            f"https://{w.id.lower()}.cloudfront.localhost:8443/secure/x?q=1"
        )
        assert (await w.get("/a", "POST")).status == 403
        for _ in range(2):
            page = await w.get("/nothing")
            assert (page.status, page.body, cached(page)) == (200, b"sorry", "Error")
        assert [a["Key"] for a in w.asked] == ["nothing", "oops.html"]

    run(body)


def test_a_disabled_distribution_and_aliases(run: Any) -> None:
    async def body(w: World) -> None:
        w.put("a", b"1")
        await w.make(Aliases={"Quantity": 1, "Items": ["www.example.org"]})
        assert (await w.get("/a", host="WWW.example.org")).body == b"1"
        now = await w.call("GetDistributionConfig", Id=w.id)
        config = now["DistributionConfig"] | {"Enabled": False}
        await w.call("UpdateDistribution", Id=w.id, IfMatch=now["ETag"], DistributionConfig=config)
        assert (await w.get("/a")).status == 403

    run(body)


def test_a_dead_http_origin(run: Any) -> None:
    async def body(w: World) -> None:
        w.port = 9  # nobody listens there
        await w.make(LEGACY, s3=False)
        answers = await asyncio.gather(*(w.get("/") for _ in range(10)))
        assert {a.status for a in answers} == {502}

    run(body)
