"""The short way must say what the usual way says, and leave to it whatever is not plain."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from pileus import assembly
from pileus.config import Config
from pileus.services.call import FileBody, HttpRequest, HttpResponse, Principal
from pileus.wire.api import Api

HOST = "127.0.0.1:4566"
PER_ANSWER = {"x-amz-request-id", "x-amz-id-2"}


class Spy:
    """What the short way answered itself."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.changes, self.bucket = inner.changes, inner.bucket
        self.bytes_max = inner.bytes_max
        self.answered = 0

    def get(self, *args: Any) -> Any:
        return self._count(self._inner.get(*args))

    def put(self, *args: Any) -> Any:
        return self._count(self._inner.put(*args))

    def _count(self, answer: Any) -> Any:
        self.answered += answer is not None
        return answer


class Cloud:
    """One process's parts, with two doors: one has the short way."""

    def __init__(self, front: Any, keys: dict[str, str]) -> None:
        self.front = front
        self.key, self.secret, self.token = keys["access_key_id"], keys["secret_access_key"], None
        s3 = front.services["s3"]
        self.spy = Spy(s3.objects)
        self.short = self._door(dataclasses.replace(s3, objects=self.spy))
        self.usual = self._door(dataclasses.replace(s3, objects=None))

    def _door(self, s3: Any) -> Api:
        api, config = self.front.api, self.front.config
        return Api(
            {**self.front.services, "s3": s3},
            api.directory,
            api.authorizer,
            now_ms=api.now_ms,
            account=config.account,
            region=config.region,
        )

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        host: str = HOST,
    ) -> HttpRequest:
        told = AWSRequest(method, f"http://{host}{path}", headers or {}, body)
        credentials = Credentials(self.key, self.secret, self.token)
        S3SigV4Auth(credentials, "s3", "us-east-1").add_auth(told)
        lines = {"host": host, "content-length": str(len(body))}
        lines |= {name.lower(): value for name, value in told.headers.items()}
        raw, _, query = path.partition("?")
        return HttpRequest(method, raw, query, lines, body)

    async def ask(self, api: Api, request: HttpRequest) -> tuple[int, Any, bytes]:
        answer = api.handle(dataclasses.replace(request, headers=dict(request.headers)))
        if not isinstance(answer, HttpResponse):
            answer = await answer
        lines = [line.partition(": ") for line in answer.ready.decode("latin-1").splitlines()]
        headers = sorted([(n, v) for n, _, v in lines] + answer.headers)
        kept = [h for h in headers if h[0].lower() not in PER_ANSWER | {"content-length"}]
        assert {h[0].lower() for h in headers} >= PER_ANSWER
        body = answer.body
        if isinstance(body, FileBody):
            fd, body = body.fd, os.pread(body.fd, body.length, body.offset)
            os.close(fd)
        elif not isinstance(body, bytes):
            body = b"".join([chunk async for chunk in body])
        assert isinstance(body, bytes)
        return answer.status, kept, body

    async def both(self, request: HttpRequest, quick: bool) -> tuple[int, Any, bytes]:
        """The answer, the same on both ways; ``quick``: the short way gave it."""
        expected = await self.ask(self.usual, request)
        for _ in range(20):
            await self.ask(self.short, request)  # it learns the signature's head, for a second
            before = self.spy.answered
            found = await self.ask(self.short, request)
            if not quick or self.spy.answered > before:
                break
        assert (self.spy.answered > before) == quick, (request.method, request.path, found)
        if found[0] < 400:
            assert found == expected
        else:
            assert found[0] == expected[0]
        return found

    async def done(self, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        status, _, answer = await self.ask(self.usual, self.request(method, path, body, told))
        assert status < 300, answer
        return answer

    async def iam(self, operation: str, **params: Any) -> dict[str, Any]:
        account = self.front.config.account
        owner = Principal.owner(account)
        answer: dict[str, Any] = await self.front.parts.dispatch(
            "iam", operation, params, principal=owner
        )
        return answer


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[Cloud], Any]], None]:
    def go(test: Callable[[Cloud], Any]) -> None:
        asyncio.run(_within(tmp_path, test))

    return go


async def _within(home: Path, test: Callable[[Cloud], Any]) -> None:
    front = await assembly.assemble(Config(home=home, port=0), 0)
    try:
        cloud = Cloud(front, json.loads((home / "credentials.json").read_text()))
        await cloud.done("PUT", "/bucket")
        await test(cloud)
    finally:
        await front.parts.store.close()


def test_plain_requests_are_answered_alike(run: Any) -> None:
    async def test(c: Cloud) -> None:
        await c.done("PUT", "/bucket/a/b.txt", b"hello", content_type="text/plain")
        await c.done("PUT", "/bucket/empty")
        await c.done("PUT", "/bucket/large", bytes(100_000), x_amz_meta_who="me")
        for key in ("a/b.txt", "empty", "large"):
            for method in ("GET", "HEAD"):
                status, _, _ = await c.both(c.request(method, f"/bucket/{key}"), quick=True)
                assert status == 200
        found = await c.both(c.request("GET", "/bucket/a/b.txt?x-id=GetObject"), quick=True)
        assert found[2] == b"hello"
        await c.both(c.request("GET", "/a/b.txt", host="bucket.s3.localhost:4566"), quick=True)

    run(test)


def test_a_plain_write_is_kept_whole(run: Any) -> None:
    async def test(c: Cloud) -> None:
        crc = {"x-amz-checksum-crc32": "NhCmhg==", "x-amz-sdk-checksum-algorithm": "CRC32"}
        sent = {"content-type": "text/x", "x-amz-meta-a": "1", "cache-control": "no-cache"}
        for headers in ({}, sent, crc, {"amz-sdk-invocation-id": "5"}):
            await c.both(c.request("PUT", "/bucket/k", b"hello", headers), quick=True)
            asked = c.request("GET", "/bucket/k", headers={"x-amz-checksum-mode": "ENABLED"})
            _, short, body = await c.both(asked, quick=True)
            await c.ask(c.usual, c.request("PUT", "/bucket/k", b"hello", headers))
            _, usual, _ = await c.both(asked, quick=True)
            assert any(name.startswith("x-amz-checksum-") for name, _ in usual)
            changing = {"last-modified"}
            assert [h for h in short if h[0] not in changing] == [
                h for h in usual if h[0] not in changing
            ]
            assert body == b"hello"

    run(test)


def test_what_is_not_plain_goes_the_usual_way(run: Any) -> None:
    async def test(c: Cloud) -> None:
        await c.done("PUT", "/bucket/k", b"hello")
        tag = f'"{hashlib.md5(b"hello").hexdigest()}"'
        for headers, status in (
            ({"range": "bytes=1-2"}, 206),
            ({"if-none-match": tag}, 304),
            ({"if-match": '"other"'}, 412),
            ({"x-amz-expected-bucket-owner": "1" * 12}, 403),
            ({"origin": "https://example.org"}, 200),
        ):
            request = c.request("GET", "/bucket/k", headers=headers)
            assert (await c.both(request, quick=False))[0] == status, headers
        for path, status in (
            ("/bucket/k?versionId=null", 200),
            ("/bucket/k?response-content-type=text%2Fx", 200),
            ("/bucket/missing", 404),
            ("/bucket/%6B", 200),
            ("/none/k", 404),
            ("/bucket/", 200),
        ):
            assert (await c.both(c.request("GET", path), quick=False))[0] == status, path
        for headers, status in (
            ({"if-none-match": "*"}, 412),
            ({"x-amz-storage-class": "NONE"}, 400),
            ({"content-md5": base64.b64encode(bytes(16)).decode()}, 400),
            ({"x-amz-copy-source": "bucket/k"}, 400),  # onto itself
            ({"x-amz-tagging": "a=b"}, 200),
        ):
            request = c.request("PUT", "/bucket/k", b"", headers)
            assert (await c.ask(c.short, request))[0] == status, headers
        assert c.spy.answered == 0

    run(test)


def test_a_signature_that_does_not_hold_is_refused(run: Any) -> None:
    async def test(c: Cloud) -> None:
        await c.done("PUT", "/bucket/k", b"hello")
        good = c.request("GET", "/bucket/k")
        assert (await c.both(good, quick=True))[0] == 200

        def spoilt(**changes: str) -> HttpRequest:
            headers = {**good.headers, **{n.replace("_", "-"): v for n, v in changes.items()}}
            return dataclasses.replace(good, headers=headers)

        auth = good.headers["authorization"]
        flipped = auth[:-1] + ("0" if auth[-1] != "0" else "1")
        for request in (
            spoilt(authorization=flipped),
            spoilt(authorization=auth[:-1] + "é"),
            spoilt(authorization=auth.replace("Signature=", "Signaturf=")),
            spoilt(x_amz_date="20200101T000000Z"),
            spoilt(x_amz_content_sha256="0" * 64),
            spoilt(host="localhost:1"),
            spoilt(x_amz_unsigned="1"),
            dataclasses.replace(good, path="/bucket/j"),
            dataclasses.replace(good, method="HEAD"),
            dataclasses.replace(good, query="x-id=GetObject"),
        ):
            assert (await c.both(request, quick=False))[0] in (400, 403), request
        put = c.request("PUT", "/bucket/k", b"hello")
        assert (await c.both(put, quick=True))[0] == 200
        other = dataclasses.replace(put, body=b"jello")
        assert (await c.both(other, quick=False))[0] == 400

    run(test)


def policy(effect: str, action: str, resource: str, **more: Any) -> str:
    statement = {"Effect": effect, "Action": action, "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_permissions_hold_at_once_and_by_object(run: Any) -> None:
    async def test(c: Cloud) -> None:
        await c.done("PUT", "/bucket/k", b"hello")
        await c.done("PUT", "/bucket/home/u/k", b"mine")
        await c.iam("CreateUser", UserName="u")
        key = (await c.iam("CreateAccessKey", UserName="u"))["AccessKey"]
        c.key, c.secret = key["AccessKeyId"], key["SecretAccessKey"]
        get, put = c.request("GET", "/bucket/k"), c.request("PUT", "/bucket/k", b"hello")
        assert (await c.both(get, quick=False))[0] == 403
        part = policy("Allow", "s3:GetObject", "arn:aws:s3:::bucket/home/*")
        await c.iam("PutUserPolicy", UserName="u", PolicyName="p", PolicyDocument=part)
        assert (await c.both(get, quick=False))[0] == 403
        assert (await c.both(c.request("GET", "/bucket/home/u/k"), quick=False))[0] == 200
        read = policy("Allow", "s3:GetObject", "arn:aws:s3:::bucket/*")
        await c.iam("PutUserPolicy", UserName="u", PolicyName="p", PolicyDocument=read)
        assert (await c.both(get, quick=True))[0] == 200
        assert (await c.both(put, quick=False))[0] == 403
        await c.iam("UpdateAccessKey", UserName="u", AccessKeyId=c.key, Status="Inactive")
        assert (await c.both(get, quick=False))[0] == 403
        await c.iam("UpdateAccessKey", UserName="u", AccessKeyId=c.key, Status="Active")
        assert (await c.both(get, quick=True))[0] == 200
        await c.iam("DeleteUserPolicy", UserName="u", PolicyName="p")
        assert (await c.both(get, quick=False))[0] == 403

    run(test)


def test_a_policy_of_the_bucket_counts(run: Any) -> None:
    async def test(c: Cloud) -> None:
        await c.done("PUT", "/bucket/k", b"hello")
        get = c.request("GET", "/bucket/k")
        assert (await c.both(get, quick=True))[0] == 200

        async def set_policy(text: str) -> None:
            await c.done("PUT", "/bucket?policy", text.encode())

        await set_policy(policy("Deny", "s3:GetObject", "arn:aws:s3:::bucket/k", Principal="*"))
        assert (await c.both(get, quick=False))[0] == 403
        await set_policy(policy("Deny", "s3:PutObject", "arn:aws:s3:::bucket/*", Principal="*"))
        assert (await c.both(get, quick=True))[0] == 200
        assert (await c.both(c.request("PUT", "/bucket/k", b"x"), quick=False))[0] == 403
        tied = {"StringEquals": {"s3:ExistingObjectTag/secret": "yes"}}
        await set_policy(
            policy("Deny", "s3:GetObject", "arn:aws:s3:::bucket/*", Principal="*", Condition=tied)
        )
        assert (await c.both(get, quick=False))[0] == 200
        await c.done("PUT", "/bucket/k", b"hello", x_amz_tagging="secret=yes")
        assert (await c.both(get, quick=False))[0] == 403
        await c.done("DELETE", "/bucket?policy")
        _, headers, _ = await c.both(get, quick=False)
        assert ("x-amz-tagging-count", "1") in headers

    run(test)


def test_versions_lists_and_deleted_buckets(run: Any) -> None:
    async def test(c: Cloud) -> None:
        await c.done("PUT", "/bucket/k", b"hello")
        get = c.request("GET", "/bucket/k")
        assert (await c.both(get, quick=True))[0] == 200
        enabled = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        await c.done("PUT", "/bucket?versioning", enabled)
        _, headers, _ = await c.both(get, quick=True)
        assert ("x-amz-version-id", "null") in headers
        put = c.request("PUT", "/bucket/k", b"new")
        before = c.spy.answered
        _, told, _ = await c.ask(c.short, put)
        assert c.spy.answered == before + 1
        _, headers, body = await c.both(get, quick=True)
        assert body == b"new"
        assert dict(headers)["x-amz-version-id"] == dict(told)["x-amz-version-id"]
        await c.done("DELETE", "/bucket/k")
        assert (await c.both(get, quick=False))[0] == 404
        owned = (
            b"<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule>"
            b"</OwnershipControls>"
        )
        await c.done("PUT", "/bucket?ownershipControls", owned)
        before = c.spy.answered
        assert (await c.ask(c.short, put))[0] == 200
        assert c.spy.answered == before
        await c.done("PUT", "/gone")
        await c.done("PUT", "/gone/k", b"x")
        assert (await c.both(c.request("GET", "/gone/k"), quick=True))[0] == 200
        await c.done("DELETE", "/gone/k")
        await c.done("DELETE", "/gone")
        assert (await c.both(c.request("PUT", "/gone/k", b"x"), quick=False))[0] == 404

    run(test)
