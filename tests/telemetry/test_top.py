"""``pileus top``."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from pileus import top
from pileus.telemetry import collect, rings
from tests.conftest import Cloud, pileus

PARTS = {"front-0", "caddy", "runtime", "meters", "supervisor"}


def test_one_shot_tells_of_processes_and_operations(cloud: Cloud) -> None:
    client, enough, began = cloud.client("sts"), threading.Event(), int(time.time())

    def ask() -> None:
        while not enough.wait(0.05):
            client.get_caller_identity()

    asking = threading.Thread(target=ask)
    asking.start()
    end = time.monotonic() + 90
    found: list[dict[str, object]] = []
    try:
        while time.monotonic() < end:
            told = json.loads(pileus("top", "--home", str(cloud.home), "--json").stdout)
            found = [o for o in told["operations"] if o["operation"] == "GetCallerIdentity"]
            whole = told["total"].get("cpu_cores") and told["processes"].keys() >= PARTS
            if found and whole and told["at"] >= began:
                break
    finally:
        enough.set()
        asking.join()
    assert found and found[0]["service"] == "sts"
    assert told["processes"]["front-0"]["process_up"] == 1
    assert told["processes"].keys() >= PARTS
    assert told["total"]["cpu_cores"] > 0 and told["at"] >= began


def test_the_picture_fits_its_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)  # it shows nothing that is older than seconds
    assert "nobody measures" in top.picture(top.here(tmp_path), 80, 24)
    ring = rings.Ring(collect.seconds_folder(tmp_path), 1, 3600)
    ring.open()
    busy = {f"requests_per_second{{operation=O{i},service=s3}}": 1.0 + i for i in range(50)}
    ring.append(now, busy | {"requests_per_second": 1275.0, "process_up{process=x}": 1.0})
    lines = top.picture(top.here(tmp_path), 100, 24).splitlines()
    assert len(lines) == 23 and max(map(len, lines)) <= 100
    assert "requests/s 1,275.0" in lines[1]
    operations = [line for line in lines if line.startswith("s3 ")]
    assert operations[0].startswith("s3 O49")


def test_several_nodes_on_one_screen() -> None:
    def node(at: int, rate: float) -> dict[str, object]:
        values = {
            "requests_per_second": rate,
            "process_up{process=front-0}": 1.0,
            "requests_per_second{operation=Query,service=dynamodb}": rate,
            "latency_p99_seconds{operation=Query,service=dynamodb}": rate / 1000,
        }
        return {"at": at, "values": values}

    answer = {"nodes": {"n1": node(100, 2.0), "n2": node(101, 40.0)}, "missing": {"n3": "away"}}
    seen = top.everywhere(answer)
    lines = top.picture(seen, 200, 40).splitlines()
    assert lines[2].split()[:2] == ["n1", "2.0"] and lines[3].split()[:2] == ["n2", "40.0"]
    assert lines[4].split() == ["n3", "away"]
    assert any(line.startswith("n2 front-0") for line in lines)
    (query,) = [line.split() for line in lines if line.startswith("dynamodb Query")]
    assert query[2] == "42.0" and query[4] == "40.00"  # rates add up, the worst latency counts
    assert top.told_all(seen)["nodes"]["n2"]["total"] == {"requests_per_second": 40.0}
