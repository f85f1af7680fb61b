"""Signed URLs and cookies, made by botocore's signer."""

from __future__ import annotations

import base64
import datetime
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.signers import CloudFrontSigner
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.edge.conftest import World, cached

KEY = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)


def sign(text: bytes, key: Any = KEY, algorithm: Any = hashes.SHA1) -> bytes:
    return key.sign(text, padding.PKCS1v15(), algorithm())


def safe(raw: bytes) -> str:
    return base64.b64encode(raw).decode().translate(str.maketrans("+=/", "-_~"))


async def guarded(w: World, **more: Any) -> str:
    """A distribution whose objects need a signature; answers the key's id."""
    pem = KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    config = {"CallerReference": "k", "Name": "k", "EncodedKey": pem.decode()}
    made = await w.call("CreatePublicKey", PublicKeyConfig=config)
    id_ = str(made["PublicKey"]["Id"])
    made = await w.call("CreateKeyGroup", KeyGroupConfig={"Name": "g", "Items": [id_]})
    groups = {"Enabled": True, "Quantity": 1, "Items": [made["KeyGroup"]["Id"]]}
    await w.make({"TrustedKeyGroups": groups, **more})
    return id_


def when(w: World, seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(w.clock.now_ms() // 1000 + seconds, datetime.UTC)


def policy(w: World, resource: str, seconds: int = 60, **conditions: Any) -> str:
    until = w.clock.now_ms() // 1000 + seconds
    condition = {"DateLessThan": {"AWS:EpochTime": until}, **conditions}
    return json.dumps({"Statement": [{"Resource": resource, "Condition": condition}]})


async def visit(w: World, url: str, **headers: str) -> int:
    parts = urlsplit(url)
    return (await w.get(f"{parts.path}?{parts.query}", host=parts.netloc, **headers)).status


def test_canned_urls(run: Any) -> None:
    async def body(w: World) -> None:
        w.put("a/b", b"secret")
        id_ = await guarded(w)
        signer, host = CloudFrontSigner(id_, sign), f"{w.id.lower()}.cloudfront.localhost"
        for place in (host, f"{host}:8000"):
            url = signer.generate_presigned_url(
                f"http://{place}/a/b?x=1", date_less_than=when(w, 60)
            )
            assert await visit(w, url) == 200
        assert len(w.asked) == 1  # the signature is no part of the cache key
        good = signer.generate_presigned_url(f"http://{host}/a/b", date_less_than=when(w, 60))
        tampered = good.replace("Expires=", "Expires=9")
        stranger = CloudFrontSigner(id_, lambda m: sign(m, OTHER))
        forged = stranger.generate_presigned_url(f"http://{host}/a/b", date_less_than=when(w, 60))
        unknown = good.replace(id_, "KUNKNOWN")
        for bad in (f"http://{host}/a/b", tampered, forged, unknown, good.replace("/a/b", "/a/c"),
                    good.replace("Signature=", "Signature=~"), good + "&x=2"):  # fmt: skip
            assert await visit(w, bad) == 403
        w.clock.ahead_s += 61
        assert await visit(w, good) == 403
        missing = await w.get("/a/b")
        assert b"<Code>MissingKey</Code>" in bytes(missing.body) and cached(missing) == "Error"

    run(body)


def test_custom_policies(run: Any) -> None:
    async def body(w: World) -> None:
        w.put("a/b", b"secret")
        w.put("c", b"other")
        id_ = await guarded(w)
        signer, host = CloudFrontSigner(id_, sign), f"{w.id.lower()}.cloudfront.localhost"
        now = w.clock.now_ms() // 1000

        def url(path: str, **how: Any) -> str:
            told = policy(w, how.pop("resource", f"http*://{host}/a/*"), **how)
            return str(signer.generate_presigned_url(f"http://{host}{path}", policy=told))

        assert await visit(w, url("/a/b?size=1")) == 200
        assert await visit(w, url("/a/b", IpAddress={"AWS:SourceIp": "127.0.0.0/8"})) == 200
        assert await visit(w, url("/a/b", DateGreaterThan={"AWS:EpochTime": now - 5})) == 200
        assert await visit(w, url("/a/b", resource="*")) == 200
        for bad in (
            url("/c"),
            url("/a/b", seconds=-1),
            url("/a/b", IpAddress={"AWS:SourceIp": "10.0.0.0/8"}),
            url("/a/b", DateGreaterThan={"AWS:EpochTime": now + 50}),
            url("/a/b", resource="http://*.example/*"),
            url("/a/b", DateLessThan=5),
            url("/a/b", IpAddress={"AWS:SourceIp": "x"}),
        ):
            assert await visit(w, bad) == 403

    run(body)


@pytest.mark.parametrize(("algorithm", "name"), [(hashes.SHA1, ""), (hashes.SHA256, "SHA256")])
def test_cookies(run: Any, algorithm: Any, name: str) -> None:
    async def body(w: World) -> None:
        w.put("a", b"secret")
        forwarded = {"Forward": "all"}
        id_ = await guarded(
            w, ForwardedValues={"QueryString": True, "Cookies": forwarded}, MinTTL=0
        )
        host = f"{w.id.lower()}.cloudfront.localhost"
        told = policy(w, f"http://{host}/*").encode()
        cookies = {"Policy": safe(told), "Signature": safe(sign(told, KEY, algorithm)),
                   "Key-Pair-Id": id_}  # fmt: skip
        if name:
            cookies["Hash-Algorithm"] = name
        sent = "; ".join(f"CloudFront-{n}={v}" for n, v in cookies.items())
        assert (await w.get("/a", cookie=sent)).status == 200
        assert cached(await w.get("/a", cookie=sent)) == "Hit"
        assert (await w.get("/a", cookie=sent.replace(name or "Policy=", "Policx="))).status == 403
        expires = str(w.clock.now_ms() // 1000 + 9)
        condition = f'{{"DateLessThan":{{"AWS:EpochTime":{expires}}}}}'
        text = f'{{"Statement":[{{"Resource":"http://{host}/a","Condition":{condition}}}]}}'
        canned = {"Expires": expires, "Key-Pair-Id": id_,
                  "Signature": safe(sign(text.encode()))}  # fmt: skip
        sent = "; ".join(f"CloudFront-{n}={v}" for n, v in canned.items())
        assert (await w.get("/a", cookie=sent)).status == 200
        assert (await w.get("/b", cookie=sent)).status == 403

    run(body)


@pytest.mark.parametrize(
    "path", ["/private/a", "/%70rivate/a", "/private%2Fa", "/x/../private/a", "/./private/a"]
)
def test_a_guarded_path_written_otherwise(run: Any, path: str) -> None:
    async def body(w: World) -> None:
        w.put("private/a", b"secret")
        w.put("x", b"open")
        await guarded(w)
        now = await w.call("GetDistributionConfig", Id=w.id)
        config = now["DistributionConfig"]
        guard = {**config["DefaultCacheBehavior"], "PathPattern": "private/*"}
        config["CacheBehaviors"] = {"Quantity": 1, "Items": [guard]}
        default = {"Enabled": False, "Quantity": 0}
        config["DefaultCacheBehavior"] = config["DefaultCacheBehavior"] | {
            "TrustedKeyGroups": default
        }
        await w.call("UpdateDistribution", Id=w.id, IfMatch=now["ETag"], DistributionConfig=config)
        assert (await w.get("/x")).status == 200
        assert (await w.get(path)).status == 403

    run(body)
