"""What ``make scale`` compares: requests whose answers are kept, and ones read anew each time."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from bench.hot import HOST, Route
from pileus import assembly
from pileus.config import Config
from pileus.wire.http import Server
from pileus.wire.limits import Limits
from tests.soak import scale

NUMBER, ASKED = 7, 40


class Cloud:
    """One process's parts; the rows of items and objects its reader is asked for are counted."""

    def __init__(self, front: Any, keys: dict[str, str]) -> None:
        env = {
            "AWS_ACCESS_KEY_ID": keys["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": keys["secret_access_key"],
            "AWS_REGION": "us-east-1",
        }
        told: Any = SimpleNamespace(env=env, endpoint=f"http://{HOST}")
        self.sign = scale.Signer(told)
        self.server = Server(
            front.handle,
            Limits(),
            front.api.heads.read,
            meters=front.parts.meters,
            objects=front.objects,
            learn=front.api.swifts.learn,
        )
        self.server._sweep()
        self.reads = 0
        front.parts.store._connection.exec_trace = self._count

    def _count(self, cursor: Any, sql: str, bindings: Any) -> bool:
        rows = b"d:", b"s3o\x00"
        self.reads += bool(bindings) and type(bindings) is tuple and bindings[0].startswith(rows)
        return True

    async def ask(self, request: bytes, times: int = 1) -> bytes:
        """The last answer on one connection."""
        route = Route(self.server, [request], True, 1)
        await route.once(times)
        return route.sinks[0].answer

    async def call(self, operation: str, **params: Any) -> None:
        body = orjson.dumps(params)
        answer = await self.ask(self.sign("dynamodb", "POST", "/", body, operation))
        assert b" 200 " in answer[:20], answer


@pytest.fixture
def asked(tmp_path: Path) -> dict[str, tuple[int, bytes]]:
    """By operation: the rows read, and the body answered, for ``ASKED`` requests alike."""

    async def run() -> dict[str, tuple[int, bytes]]:
        front: Any = await assembly.assemble(Config(home=tmp_path, port=0), 0)
        cloud = Cloud(front, json.loads((tmp_path / "credentials.json").read_text()))
        found = {}
        try:
            attributes = [{"AttributeName": n, "AttributeType": t} for n, t in ("pS", "rN")]
            kinds = [{"AttributeName": n, "KeyType": k} for n, k in (("p", "HASH"), ("r", "RANGE"))]
            await cloud.call(
                "CreateTable",
                TableName=scale.TABLE,
                AttributeDefinitions=attributes,
                KeySchema=kinds,
                BillingMode="PAY_PER_REQUEST",
            )
            await cloud.ask(scale.batch(cloud.sign, 0, 10))
            await cloud.ask(cloud.sign("s3", "PUT", f"/{scale.BUCKET}"))
            await cloud.ask(scale.put_object(cloud.sign, NUMBER))
            unkept = {f"{n}, unkept": o for n, o in scale.OPERATIONS_UNKEPT.items()}
            kept = {n: scale.OPERATIONS[n] for n in scale.READS}
            for name, operation in (kept | unkept).items():
                before = cloud.reads
                answer = await cloud.ask(operation(cloud.sign, NUMBER), ASKED)
                assert b" 200 " in answer[:20], answer
                found[name] = cloud.reads - before, answer.partition(b"\r\n\r\n")[2]
        finally:
            await cloud.server.stop(0)
            await front.parts.store.close()
        return found

    return asyncio.run(run())


def test_what_is_called_unkept_is_read_each_time(asked: dict[str, tuple[int, bytes]]) -> None:
    for name in scale.READS:
        kept, answer = asked[name]
        unkept, again = asked[f"{name}, unkept"]
        assert answer == again and answer, name
        assert kept < ASKED // 2, name
        assert unkept == ASKED, name
