"""Random and mutated requests at every parser of the door: no crash, no hang, an AWS answer."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import Any

import cbor2
import orjson
import pytest
import uvloop

from pileus.services.call import HttpRequest, HttpResponse
from pileus.wire.http import Limits, serve
from pileus.wire.names import SERVICES
from pileus.wire.protocols import xml_tree
from pileus.wire.tables_address import NOWHERE
from tests.wire.door import Door
from tests.wire.test_codecs import Maker, operations, request_of

BUDGET_S = 1.0
NAMES = ("dynamodb", "lambda", "iam", "s3", "cloudfront", "cloudwatch", "sqs")
WORDS = [
    *(b"\x00", b"\xff", b"\r\n", b"\n", b"%", b"%zz", b"%00", b"../", b"{", b"}", b"[" * 50),
    *(b'"', b"<", b"</a>", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&lol;", b"\xc3\x28", b"1e999"),
    *(b"-1", b"99999999999999999999", b"NaN", b"null", b"true", b".member.1", b"&A.1=1", b"=" * 9),
    *(b"\xbf\xff", b"\x9f" * 30, b"\xc1\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00", b"AWS4-HMAC-SHA256 "),
]


def mutate(data: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(data))
        match chance.randint(0, 3):
            case 0:
                data = data[:at] + chance.choice(WORDS) + data[at:]
            case 1:
                data = data[:at] + data[at + chance.randint(1, 20) :]
            case 2:
                data = data[:at] + chance.randbytes(chance.randint(1, 4)) + data[at + 2 :]
            case _:
                data = data[at:] + data[:at]
    return data


def well_formed(name: str, answer: HttpResponse) -> None:
    """The answer is one its protocol's clients can read."""
    body = answer.body
    assert isinstance(body, bytes) and 200 <= answer.status < 600
    kind = dict((n.lower(), v) for n, v in answer.headers).get("content-type", "")
    if not body:
        return
    if "json" in kind:
        orjson.loads(body)
    elif "cbor" in kind:
        cbor2.loads(body)
    elif "xml" in kind:
        xml_tree.parse(body)
    elif body.startswith(b"healthy: ") or body == NOWHERE:
        return  # an unsigned request that is no form: DynamoDB's address answers it
    else:
        raise AssertionError(f"{name}: {kind}")


def base_requests() -> list[tuple[str, Any]]:
    from botocore.serialize import create_serializer

    made = []
    for name in NAMES:
        serializer = create_serializer(SERVICES[name].protocol, include_validation=False)
        for seed, operation in enumerate(operations(name)):
            shape = operation.input_shape
            params = Maker(seed).value(shape) if shape is not None else {}
            made.append((name, serializer.serialize_to_request(params, operation)))
    return made


@pytest.mark.parametrize("signed", [False, True])
def test_the_door_answers_anything(signed, caplog):
    caplog.set_level(logging.ERROR)
    chance = random.Random(7)
    door = Door(NAMES, dev=True, limits=None)
    api = door.api_for()
    bases = base_requests()
    until = time.monotonic() + BUDGET_S
    tried, statuses = 0, set()
    while time.monotonic() < until or tried <= 100:
        tried += 1
        name, sent = chance.choice(bases)
        request = request_of(sent)
        text = f"AWS4-HMAC-SHA256 Credential=A/20260101/r/{SERVICES[name].signing}/aws4_request"
        request.headers["authorization"] = text + ",SignedHeaders=host,Signature=a"
        request.headers["x-amz-date"] = "20260101T000000Z"
        hit = chance.choice(["body", "path", "query", "headers", "body"])
        if hit == "body":
            request.body = mutate(request.body, chance)
        elif hit == "path":
            request.path = "/" + mutate(request.path.encode(), chance).decode("latin-1")
            request.path = "".join(c for c in request.path if "!" <= c <= "~")
        elif hit == "query":
            query = mutate(request.query.encode(), chance).decode("latin-1")
            request.query = "".join(c for c in query if "!" <= c <= "~")
        else:
            for header in chance.sample(sorted(request.headers), 2):
                value = mutate(request.headers[header].encode("latin-1", "replace"), chance)
                request.headers[header] = (
                    value.decode("latin-1").replace("\n", "").replace("\r", "")
                )
        if not signed:
            request.headers.pop("authorization", None)
        answer = api.handle(request)
        if not isinstance(answer, HttpResponse):
            answer = asyncio.run(answer)
        well_formed(name, answer)
        statuses.add(answer.status)
        assert answer.status != 500, (name, hit, request, answer)
    assert not caplog.records
    assert tried > 100 and statuses >= {200, 400}


def test_the_server_survives_any_bytes(caplog):
    caplog.set_level(logging.ERROR)
    chance = random.Random(11)
    seed = (
        b"POST /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
        b"PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"
    )

    def handler(request: HttpRequest) -> Any:
        return _read(request) if request.stream is not None else HttpResponse(200, [], b"ok")

    async def _read(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, [], await request.read())

    async def one(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            data = mutate(seed, chance)
            for at in range(0, len(data), step := chance.choice([7, 40, 1000])):
                writer.write(data[at : at + step])
                if step < 1000:
                    await asyncio.sleep(0)
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(), 60)
            assert not answer or answer.startswith(b"HTTP/1.1 ")
        except (ConnectionError, RuntimeError):  # uvloop: write to a closed transport
            pass
        finally:
            writer.close()

    async def main() -> None:
        server = await serve(handler, ("127.0.0.1", 0), Limits())
        until = time.monotonic() + BUDGET_S
        while time.monotonic() < until:
            await asyncio.gather(*[one(server.port) for _ in range(8)])
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"ok")
        writer.close()
        await server.stop(30)  # it ends with the last of them
        assert not server.connections

    uvloop.run(main())
    assert not caplog.records
