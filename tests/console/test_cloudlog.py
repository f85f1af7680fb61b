"""The cloud's own log, read for the console."""

from __future__ import annotations

from pileus.console.cloudlog import events
from tests.conftest import Cloud
from tests.console.asking import ask

LOG = """cut off line of before
2026-11-21 14:12:50,227 front-1 INFO pileus.front: ready (process 10903)
2026-11-21 14:12:51,001 front-0 ERROR pileus.wire: a request failed
Traceback (most recent call last):
  File "x.py", line 1, in f
ValueError: no
{"level":"warn","ts":1795270369.4,"logger":"admin","msg":"host checking disabled","address":"x"}
{"level": not json
2026-11-21 14:12:52,442 pileus.runtime functions are ready ({'kind': 'jail'})
"""


def test_lines_and_their_tracebacks() -> None:
    told = list(events(LOG))
    assert [(e["process"], e["level"]) for e in told] == [
        ("front-1", "INFO"),
        ("front-0", "ERROR"),
        ("caddy", "WARNING"),
        ("pileus.runtime", "INFO"),
    ]
    assert told[1]["source"] == "pileus.wire" and told[1]["text"].endswith("ValueError: no")
    assert told[2]["text"].startswith('host checking disabled {"address": "x"}')


def test_asked_of_the_cloud(cloud: Cloud) -> None:
    status, told = ask(cloud, "GET", "/_pileus/log?level=info&limit=3")
    assert status == 200 and len(told["events"]) == 3
    assert told["events"][0]["at"] >= told["events"][-1]["at"]
    _, told = ask(cloud, "GET", "/_pileus/log?level=error")
    assert all(e["level"] in ("ERROR", "CRITICAL") for e in told["events"])
    for wrong in ("level=loud", "limit=0", "limit=many"):
        assert ask(cloud, "GET", f"/_pileus/log?{wrong}")[0] == 400


def test_lines_of_other_programs_are_their_own() -> None:
    told = list(
        events(
            '{"level":"warn","ts":1795270369.4,"msg":"exiting; byeee!! bye","signal":"SIGTERM"}\n'
            "[26089] 2026/11/21 17:52:41.521799 [ERR] 10.0.0.1:4 - rid:14 - handshake error: EOF\n"
            "[26089] 2026/11/21 17:52:41.942906 [INF] Self is new metadata leader\n"
        )
    )
    assert [(e["process"], e["level"]) for e in told] == [
        ("caddy", "INFO"),  # it says so at every stop
        ("log", "ERROR"),
        ("log", "INFO"),
    ]
    assert told[1]["at"] == "2026-11-21 17:52:41" and told[1]["text"].endswith("error: EOF")


def test_one_machine_is_all_nodes(cloud: Cloud) -> None:
    status, told = ask(cloud, "GET", "/_pileus/log?node=all&level=info&limit=2")
    assert status == 200 and told["missing"] == {}
    assert [event["node"] for event in told["events"]] == ["", ""]
