"""Stop, start and restart parts through the API, as an operator does (C5)."""

from __future__ import annotations

import json
import time
from typing import Any

from pileus.console import processes
from tests.acceptance.aws_cli import http, within
from tests.conftest import Cloud
from tests.console.asking import ask


def parts(cloud: Cloud) -> dict[str, Any]:
    """What runs, by name; asked again where the question had just come to a front that ended."""
    status, told = within(10, lambda: _asked(cloud))
    assert status == 200, told
    return {part["name"]: part for part in told["parts"]}


def _asked(cloud: Cloud) -> tuple[int, Any] | None:
    try:
        return ask(cloud, "GET", "/_pileus/parts")
    except (ConnectionError, TimeoutError):
        return None


def test_what_runs_is_told(house: Cloud) -> None:

    def alive() -> dict[str, Any]:
        now = parts(house)
        return now if all(p["health"] == "alive" for p in now.values()) else {}

    told = within(10, alive)
    assert {"front-0", "runtime", "caddy"} <= told.keys() and "greeter" not in told
    for part in told.values():
        assert part["state"] == "running" and part["pid"] > 1
        assert part["name"] == "meters" or part["answer_ms"] > 0  # meters cannot be asked
        assert part["memory_bytes"] > 1e6 and part["cpu_s"] >= 0 and part["processes"] >= 1
        assert 0 <= time.time() - part["since_ms"] / 1000 < 3600


def test_restart_stop_and_start(house: Cloud) -> None:
    before = parts(house)["front-1"]["pid"]
    assert ask(house, "POST", "/_pileus/parts/front-1/restart")[0] == 202
    within(10, lambda: parts(house)["front-1"]["pid"] not in (0, before))
    within(10, lambda: parts(house)["front-1"]["health"] == "alive")
    assert parts(house)["front-1"]["restarts"] == 0  # asked for, no fault
    assert ask(house, "POST", "/_pileus/parts/runtime/stop")[0] == 202
    within(10, lambda: parts(house)["runtime"]["state"] == "stopped")
    stopped = parts(house)["runtime"]
    assert stopped["health"] == "down" and stopped["pid"] == 0
    time.sleep(1.2)  # it stays down, and says since when
    assert parts(house)["runtime"]["since_ms"] == stopped["since_ms"]
    assert ask(house, "POST", "/_pileus/parts/runtime/start")[0] == 202
    within(15, lambda: parts(house)["runtime"]["health"] == "alive")


def test_the_last_front_is_not_stopped(house: Cloud) -> None:
    assert ask(house, "POST", "/_pileus/parts/front-0/drain")[0] == 202
    within(10, lambda: parts(house)["front-0"]["state"] == "stopped")
    others = [n for n in parts(house) if n.startswith("front-") and n not in ("front-0", "front-1")]
    for name in others:
        assert ask(house, "POST", f"/_pileus/parts/{name}/stop")[0] == 202
    for verb in ("stop", "drain", "restart"):
        status, told = ask(house, "POST", f"/_pileus/parts/front-1/{verb}")
        assert status == 409 and "the last one that answers" in told["message"]
    for name in ("front-0", *others):
        assert ask(house, "POST", f"/_pileus/parts/{name}/start")[0] == 202
    within(15, lambda: parts(house)["front-0"]["health"] == "alive")
    house.client("dynamodb").list_tables()


def test_all_parts_one_after_the_other(house: Cloud) -> None:
    before = {name: part["pid"] for name, part in parts(house).items()}
    assert ask(house, "POST", "/_pileus/parts/all/restart")[0] == 202

    def through() -> bool:
        now = parts(house)
        new = all(now[name]["pid"] not in (0, pid) for name, pid in before.items())
        return new and all(part["health"] == "alive" for part in now.values())

    within(40, through)
    status, told = ask(house, "POST", "/_pileus/parts/all/stop")
    assert status == 409 and "no other node is alive" in told["message"]
    assert ask(house, "POST", "/_pileus/parts/all/drain")[0] == 409


def test_who_may(house: Cloud) -> None:
    iam = house.client("iam")
    iam.create_user(UserName="watcher")
    statement = {"Effect": "Allow", "Action": "pileus:ListParts", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="watcher", PolicyName="p", PolicyDocument=policy)
    made = iam.create_access_key(UserName="watcher")["AccessKey"]
    keys = (made["AccessKeyId"], made["SecretAccessKey"])
    assert ask(house, "GET", "/_pileus/parts", keys)[0] == 200
    status, told = ask(house, "POST", "/_pileus/parts/caddy/stop", keys)
    assert status == 403 and "pileus:StopPart" in told["message"]
    assert http(f"{house.endpoint}/_pileus/parts")[0] == 403
    assert ask(house, "POST", "/_pileus/parts/nothing/stop")[0] == 409
    assert ask(house, "POST", "/_pileus/parts/caddy/burn")[0] == 405
    assert ask(house, "GET", "/_pileus/partsandmore")[0] == 405


def test_the_owner_of_another_account_may_none_of_it(house: Cloud) -> None:
    held = json.loads((house.home / "credentials.json").read_text())
    other = held["accounts"]["111111111111"]
    keys = (other["access_key_id"], other["secret_access_key"])
    asked = [("GET", p) for p in ("parts", "rows", "rows/iam", "tablets", "log", "nodes", "series")]
    asked += [("POST", p) for p in ("parts/front-1/restart", "parts/all/stop", "nodes/n1/drain")]
    for method, path in asked:
        status, told = ask(house, method, f"/_pileus/{path}", keys)
        assert status == 403 and "not authorized" in told["message"], (path, told)


def test_usage_of_a_process_that_is_gone() -> None:
    assert processes.usage(2**22 + 1) == (0.0, 0, 0)
