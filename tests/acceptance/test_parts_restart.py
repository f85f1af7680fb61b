"""kill -9 of one process of a running cloud: it is back by itself, and nothing acknowledged is lost
(O1, S6)."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from pileus import control
from tests.acceptance.aws_cli import http, within
from tests.acceptance.functions import invoke
from tests.conftest import Cloud, new_cloud
from tests.soak.kill import (
    FUNCTION,
    Acknowledged,
    Callers,
    check,
    fronts,
    lost_events,
    prepare,
)


def programs(cloud: Cloud) -> dict[str, int]:
    """Process ids of the runtime and of Caddy, where they run."""
    told = control.read(cloud.home / "run")
    return {part.name: part.pid for part in told if part.name in ("runtime", "caddy") and part.pid}


def parts(cloud: Cloud) -> dict[str, int]:
    return {**fronts(cloud), **programs(cloud)}


def is_back(cloud: Cloud, part: str, pid: int) -> bool:
    return parts(cloud).get(part, pid) != pid


def serves(cloud: Cloud) -> bool:
    """Whether the users' port answers: Caddy's process is there before it listens."""
    try:
        return http(f"{cloud.edge}/")[0] < 500
    except OSError:
        return False


def test_each_part_comes_back_and_nothing_is_lost(tmp_path: Path) -> None:
    cloud = new_cloud(tmp_path / "home").up()
    try:
        prepare(cloud)
        within(10, lambda: {"front-0", "runtime", "caddy"} <= parts(cloud).keys())
        events: list[str] = []
        for seed, part in enumerate(sorted(parts(cloud))):
            pid = parts(cloud)[part]
            told = Acknowledged(str(seed))
            callers = Callers(cloud, seed, told)
            callers.start()
            time.sleep(0.7)
            killed = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            within(15, lambda part=part, pid=pid: is_back(cloud, part, pid))
            before = told.count()
            within(15, lambda told=told, before=before: told.count() > before + 10)
            callers.stop()
            wrong = check(cloud, told, killed)
            assert not wrong, f"{part}: {wrong}"
            assert invoke(cloud, FUNCTION, f"after-{part}") == (None, "")
            within(10, lambda: serves(cloud))
            events += told.events
        assert lost_events(cloud, events) == []
    finally:
        cloud.down()
        print(cloud.log()[-4000:])


@pytest.mark.parametrize("part", ["front-0", "runtime"])
def test_a_client_with_retries_does_not_notice(own_cloud: Cloud, part: str) -> None:
    """Every single call succeeds for the standard retries of an SDK, whichever process dies."""
    from botocore.config import Config

    patient = Config(retries={"total_max_attempts": 10, "mode": "standard"})
    prepare(own_cloud)
    client = own_cloud.client("dynamodb", config=patient)
    functions = own_cloud.client("lambda", config=patient)
    for n in range(60):
        if n == 20:
            os.kill(parts(own_cloud)[part], signal.SIGKILL)
        client.put_item(TableName="kill-items", Item={"PK": {"S": f"row-{n}"}})
        if n % 5 == 0:
            answer = functions.invoke(FunctionName=FUNCTION, Payload=f'"sync-{n}"')
            assert "FunctionError" not in answer, answer["Payload"].read()
    for name in [f"row-{n}" for n in range(60)] + [f"event-sync-{n}" for n in range(0, 60, 5)]:
        assert "Item" in client.get_item(TableName="kill-items", Key={"PK": {"S": name}}), name
