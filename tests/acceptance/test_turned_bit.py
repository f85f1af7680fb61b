"""A bit turns in the state file under a running cloud of one machine: nobody is answered from it,
and the cloud is whole again by itself, from its log (S6, S9)."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lab.disks import flip_bit
from lab.tables import keyed
from pileus.state.database import PAGE_BYTES, connect_reader
from tests.conftest import Cloud, pileus

ITEMS = {f"key-{n}": f"value {n:03} " * 100 for n in range(100)}
WANTED = "key-50"
WHOLE_S_MAX = 240.0


def test_nothing_is_answered_from_it_and_the_state_is_made_anew(own_cloud: Cloud) -> None:
    state = own_cloud.home / "state.db"
    own_cloud.client("dynamodb").create_table(
        TableName="items",
        **keyed(k="S"),
    )
    table = own_cloud.client("dynamodb")
    for key, value in ITEMS.items():
        put(table, key, value)
    own_cloud.down()
    own_cloud.up()  # all of it is in the state file now, and nobody has read it
    before, table = state.stat().st_ino, own_cloud.client("dynamodb")
    flip_bit(state, place(own_cloud, ITEMS[WANTED]), 2)
    answered: set[str] = set()
    deadline = time.monotonic() + WHOLE_S_MAX
    while state.stat().st_ino == before and time.monotonic() < deadline:
        with contextlib.suppress(BotoCoreError, ClientError):
            put(table, "other", "x")  # what a process keeps in memory is old now
            answered.add(read(table, WANTED))
    assert state.stat().st_ino != before, "nobody noticed"
    assert answered <= {ITEMS[WANTED]}
    patient = own_cloud.client("dynamodb", config=Config(retries={"max_attempts": 12}))
    assert {key: read(patient, key) for key in ITEMS} == ITEMS
    done = pileus("verify", "--home", str(own_cloud.home))
    assert done.returncode == 0, done.stdout + done.stderr


def put(table: Any, key: str, value: str) -> None:
    table.put_item(TableName="items", Item={"k": {"S": key}, "v": {"S": value}})


def read(table: Any, key: str) -> str:
    found = table.get_item(TableName="items", Key={"k": {"S": key}})["Item"]
    return str(found["v"]["S"])


def place(cloud: Cloud, value: str) -> int:
    """Where it stands in the file as a row, not as an entry of the log."""
    state = cloud.home / "state.db"
    connection = connect_reader(state)
    found: Any = connection.execute("SELECT pageno FROM dbstat WHERE name = 'rows'").fetchall()
    connection.close()
    with open(state, "rb") as file:
        for (number,) in found:
            page = os.pread(file.fileno(), PAGE_BYTES, (number - 1) * PAGE_BYTES)
            if value.encode() in page:
                return int((number - 1) * PAGE_BYTES + page.index(value.encode()) + 20)
    raise AssertionError("it is in no page of rows")
