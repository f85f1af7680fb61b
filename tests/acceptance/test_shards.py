"""A cloud whose home has three shards: items of two tables lie in two of them, all else in the
first. Nobody who uses it can tell (S3)."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pileus.assembly import RULES
from pileus.engine.embedded.clock import SystemClock
from pileus.state.opening import open_store
from tests.conftest import new_cloud, pileus

LAYOUT = [(b"", 0), (b"d:", 1), (b"d:8", 2), (b"d;", 0)]
TABLES = ("first", "second")


async def _lay_out(home: Path) -> None:
    await (await open_store(home, RULES, SystemClock(), shards=3, layout=LAYOUT)).close()


def test_every_process_serves_a_home_with_three_shards(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    asyncio.run(_lay_out(home))
    cloud = new_cloud(home)
    try:
        db = cloud.up().client("dynamodb")
        for name in TABLES:
            db.create_table(
                TableName=name,
                KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "p", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
                StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
            )
        items = [(TABLES[i % 2], {"p": {"S": str(i)}}) for i in range(30)]
        with ThreadPoolExecutor(6) as callers:
            list(callers.map(lambda at: db.put_item(TableName=at[0], Item=at[1]), items))
        both = [{"Put": {"TableName": name, "Item": {"p": {"S": "both"}}}} for name in TABLES]
        db.transact_write_items(TransactItems=both)
        cloud.down()
        db = cloud.up().client("dynamodb")
        counts = [db.scan(TableName=name, ConsistentRead=True)["Count"] for name in TABLES]
        assert counts == [16, 16]
    finally:
        cloud.down()
    verified = pileus("verify", "--home", str(home))
    assert verified.returncode == 0, verified.stdout + verified.stderr
