"""What SDKs send for small objects takes the short way, and says what the usual way says."""

from __future__ import annotations

import asyncio
import json
import uuid
import zlib
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3
from botocore import auth, compat
from botocore.config import Config as BotoConfig
from botocore.crt import auth as crt_auth
from botocore.exceptions import ClientError

from bench.load import signed
from pileus import assembly
from pileus.config import Config
from pileus.services.s3 import rows
from pileus.wire.asking import CONTINUE
from pileus.wire.http import serve
from pileus.wire.limits import Limits
from tests.wire.test_known_objects import comparable

OBJECT = {"Bucket": "bucket", "Key": "k"}
METHODS = ("small", "sized", "stored")


class Spy:
    """What was asked for by known heads, and answered."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.answered: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name == "reading":
            return lambda *told: self._counted("sized" if told[2] else "small", found(*told))
        if name == "storing":
            return lambda *told: self._stored(found(*told))
        return self._counted(name, found) if name in METHODS else found

    def _stored(self, store: Any) -> Any:
        return None if store is None else self._counted("stored", store)

    def _counted(self, name: str, found: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any) -> Any:
            answer = found(*args)
            self.answered[name] += answer is not None
            return answer

        return counted


class Cloud:
    """One process's parts behind two servers; only one recognises heads."""

    def __init__(self, front: Any, keys: dict[str, str], usual: Any, quick: Any) -> None:
        self.front, self.usual, self.quick = front, usual, quick
        self.key, self.secret = keys["access_key_id"], keys["secret_access_key"]
        self.spy = front.objects._objects = Spy(front.objects._objects)

    def client(self, server: Any, **more: Any) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{server.port}",
            region_name="us-east-1",
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            config=BotoConfig(retries={"max_attempts": 1}, **more),
        )

    def row(self, key: str) -> rows.Meta:
        """What is stored, but for what differs each time."""
        value = self.front.parts.store.get(rows.current("bucket", key))
        meta = rows.describe(value)
        meta.order, meta.modified_ms = 0, 0
        assert meta.seal is not None
        meta.seal.salt = b""
        return meta


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[Cloud], Any]], None]:
    async def within(test: Callable[[Cloud], Any]) -> None:
        front = await assembly.assemble(Config(home=tmp_path, port=0), 0)
        address, handler = ("127.0.0.1", 0), front.api.handle
        usual = await serve(handler, address, Limits())
        quick = await serve(handler, address, Limits(), objects=front.objects)
        try:
            keys = json.loads((tmp_path / "credentials.json").read_text())
            cloud = Cloud(front, keys, usual, quick)
            await asyncio.to_thread(cloud.client(usual).create_bucket, Bucket="bucket")
            await test(cloud)
        finally:
            await quick.stop(0)
            await usual.stop(0)
            await front.parts.store.close()

    return lambda test: asyncio.run(within(test))


def told(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer's members; of its time and ids nothing."""
    metadata = answer.pop("ResponseMetadata")
    if "Body" in answer:
        answer["Body"] = answer["Body"].read()
    answer.pop("LastModified", None)
    headers = {n for n in metadata["HTTPHeaders"] if n != "date"}
    return answer | {"status": metadata["HTTPStatusCode"], "headers": headers}


@pytest.fixture
def one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """All requests are signed as of one second, as a busy client's are."""
    now = compat.get_current_datetime(remove_tzinfo=False)

    def told(remove_tzinfo: bool = True) -> datetime:
        return now.replace(tzinfo=None) if remove_tzinfo else now

    for module in (auth, crt_auth):
        monkeypatch.setattr(module, "get_current_datetime", told)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        },
    ],
)
def test_what_boto3_sends_is_known_by_its_bytes(
    run: Any, one_second: None, more: dict[str, str]
) -> None:
    async def test(c: Cloud) -> None:
        quick, usual = c.client(c.quick, **more), c.client(c.usual, **more)

        def ask(operation: str, **wish: Any) -> list[Any]:
            """The answers of both."""
            return [told(getattr(client, operation)(**wish)) for client in (quick, usual)]

        for n in range(8):
            body = b"%d" % n * (n + 1)
            wish = {"Body": body, "ContentType": "text/x", "Metadata": {"a": "b"}}
            stored = []
            for client in (quick, usual):
                made = await asyncio.to_thread(client.put_object, **OBJECT, **wish)
                stored.append((told(made), c.row("k")))
            assert stored[0] == stored[1]
            for operation in ("get_object", "head_object"):
                first, second = await asyncio.to_thread(ask, operation, **OBJECT)
                assert first == second and first.get("Body", body) == body
        assert all(c.spy.answered[name] >= 3 for name in METHODS), c.spy.answered

    run(test)


def test_a_client_that_sends_all_checksums(run: Any, one_second: None) -> None:
    """By any algorithm, and the JavaScript SDK's way of signing its retry id and length."""

    async def test(c: Cloud) -> None:
        quick, usual = c.client(c.quick), c.client(c.usual)

        for algorithm in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"):
            for n in range(4):
                wish = {"Body": b"%d" % n, "ChecksumAlgorithm": algorithm}
                stored = []
                for client in (quick, usual):
                    made = await asyncio.to_thread(client.put_object, **OBJECT, **wish)
                    stored.append((told(made), c.row("k")))
                assert stored[0] == stored[1]
                assert set(c.row("k").checks) == {algorithm}
        assert c.spy.answered["stored"] >= 5

    run(test)


def put(c: Cloud, key: str, body: bytes, check: bytes = b"") -> bytes:
    """As the JavaScript SDK signs it."""
    retry = str(uuid.uuid4())
    crc = b64encode(zlib.crc32(check or body).to_bytes(4, "big")).decode()
    more = {"amz-sdk-invocation-id": retry, "x-amz-checksum-crc32": crc}
    told = "127.0.0.1:4566", "s3", c.key, c.secret
    return signed(*told, method="PUT", path=f"/bucket/{key}", body=body, headers=more)


async def asked(reader: asyncio.StreamReader) -> tuple[Any, bytes]:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    at = head.lower().find(b"content-length: ")
    length = int(head[at + 16 :].split(b"\r\n")[0]) if at > 0 else 0
    answer = head + await reader.readexactly(length)
    return comparable(answer), answer


def test_a_checksum_that_is_wrong_is_refused_as_ever(run: Any, one_second: None) -> None:
    async def test(c: Cloud) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", c.quick.port)
        for n in range(4):
            writer.write(put(c, f"k{n}", b"body"))
            assert (await asked(reader))[1][9:12] == b"200"
        assert c.spy.answered["stored"] == 1
        writer.write(put(c, "wrong", b"body", check=b"other"))
        _, answer = await asked(reader)
        assert answer[9:12] == b"400" and b"<Code>BadDigest</Code>" in answer
        assert c.front.parts.store.get(rows.current("bucket", "wrong")) is None
        writer.close()

    run(test)


def test_who_asks_first_is_told_to_go_on(run: Any, one_second: None) -> None:
    """In whatever pieces the body comes, and whatever comes behind it."""

    async def test(c: Cloud) -> None:
        question = b"\r\nExpect: 100-continue\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", c.quick.port)
        body = bytes(range(100))
        for n in range(6):
            head, _, _ = put(c, f"k{n}", body).partition(b"\r\n\r\n")
            writer.write(head + question)
            assert await asyncio.wait_for(reader.readexactly(len(CONTINUE)), 60) == CONTINUE
            for piece in (body[: 10 * n], body[10 * n :]):
                writer.write(piece)
                await asyncio.sleep(0.01)
            assert (await asked(reader))[1][9:12] == b"200"
            assert c.row(f"k{n}").size == 100
        head, _, _ = put(c, "last", body).partition(b"\r\n\r\n")
        writer.write(head + question)
        assert await asyncio.wait_for(reader.readexactly(len(CONTINUE)), 60) == CONTINUE
        writer.write(body + put(c, "next", b"more"))
        for _ in range(2):
            assert (await asked(reader))[1][9:12] == b"200"
        assert c.row("last").size == 100 and c.row("next").size == 4
        assert c.spy.answered["stored"] >= 3
        writer.write(put(c, "gone", body).partition(b"\r\n\r\n")[0] + question)
        assert await asyncio.wait_for(reader.readexactly(len(CONTINUE)), 60) == CONTINUE
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 60) == b""
        assert c.front.parts.store.get(rows.current("bucket", "gone")) is None

    run(test)


def test_a_large_body_is_refused_before_it_is_sent(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # botocore sends the body after all when it was not answered within a second.
    wait = urllib3.util.wait_for_read
    monkeypatch.setattr(urllib3.util, "wait_for_read", lambda sock, timeout: wait(sock, 60))

    async def test(c: Cloud) -> None:
        wrong = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{c.quick.port}",
            region_name="us-east-1",
            aws_access_key_id="AKIANOBODY",
            aws_secret_access_key="x",
        )
        for size in (10, 1_000_000):
            with pytest.raises(ClientError, match="InvalidAccessKeyId"):
                await asyncio.to_thread(
                    wrong.put_object, Bucket="bucket", Key="k", Body=bytes(size)
                )
        assert c.quick.bytes_in < 100_000

    run(test)
