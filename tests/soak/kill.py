"""Load, kill -9 of every process, restart, count: nothing acknowledged is lost, no effect happens
twice.

Each caller writes through boto3 (retries on) and notes what was acknowledged. Effects that would
show a repetition: every UpdateItem appends a token of its own to a list, so a token that stands
twice was applied twice. Events to a function are delivered at least once: they can only be lost,
and are looked for at the end (``lost_events``).
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lab.tables import keyed
from tests.acceptance.functions import make_function, make_role
from tests.conftest import SOURCE, Cloud
from tests.soak.starting import Start, process_tree

TABLE = "kill-items"
BUCKET = "kill-objects"
GROUP = "/kill/log"
FUNCTION = "kill-events"
CONFIGURED = "kill-settings"
CODE = """
import os, boto3
client = boto3.client("dynamodb")
def handler(event, context):
    client.put_item(TableName="kill-items", Item={"PK": {"S": "event-" + event}})
"""
SETTINGS = Config(
    retries={"max_attempts": 4, "mode": "standard"}, connect_timeout=2, read_timeout=5
)
# The one exception to "durable before the answer": log lines may take a second to reach the disk,
# and a process of a busy machine may stand still for some.
LOG_GRACE_SECONDS = 6.5
ENOUGH, PATIENCE_S = 20, 30.0  # acknowledged before a kill


@dataclass
class Acknowledged:
    """What the cloud said it had done, by kind. Filled by the callers, read after the restart.
    ``label`` begins every name: a round that was cut off and is run again has other names."""

    label: str
    items: dict[str, str] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    objects: dict[str, str] = field(default_factory=dict)
    users: set[str] = field(default_factory=set)
    lines: dict[str, float] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    settings: int = 0  # the number in the last acknowledged description of the function

    def count(self) -> int:
        kinds = (self.items, self.tokens, self.objects, self.users, self.lines, self.events)
        return sum(map(len, kinds)) + self.settings


def fronts(cloud: Cloud) -> dict[str, int]:
    """Process ids of the front processes that are ready, by name; ``front-0`` is the writer."""
    told = re.findall(r"(front-\d+) .*ready \(process (\d+)\)", cloud.log())
    return {name: int(pid) for name, pid in told}


def kill_all(cloud: Cloud) -> None:
    """kill -9 to every process of the cloud, the supervisor first so that it restarts nothing."""
    pids = process_tree(cloud.told["pid"])
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    deadline = time.monotonic() + 10
    while any(_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


BASE_VALUE = "x" * 100


def prepare(cloud: Cloud, items: int = 0) -> None:
    """Table, bucket, log group, function; ``items`` rows to have a state worth recovering."""
    dynamodb = cloud.client("dynamodb")
    dynamodb.create_table(
        TableName=TABLE,
        **keyed(PK="S"),
    )
    dynamodb.get_waiter("table_exists").wait(TableName=TABLE)
    cloud.client("s3").create_bucket(Bucket=BUCKET)
    cloud.client("logs").create_log_group(logGroupName=GROUP)
    cloud.client("logs").create_log_stream(logGroupName=GROUP, logStreamName="s")
    writes = {"Effect": "Allow", "Action": "dynamodb:PutItem", "Resource": "*"}
    role = make_role(cloud, writes)
    make_function(cloud, role, CODE, FUNCTION)
    make_function(cloud, role, CODE, CONFIGURED)
    for start in range(0, items, 25):
        rows = range(start, min(start + 25, items))
        put = [
            {"PutRequest": {"Item": {"PK": {"S": f"base-{i}"}, "v": {"S": BASE_VALUE}}}}
            for i in rows
        ]
        dynamodb.batch_write_item(RequestItems={TABLE: put})


class Callers:
    """Threads that write until told to stop, each noting what was acknowledged."""

    def __init__(self, cloud: Cloud, seed: int, told: Acknowledged) -> None:
        self._cloud, self._told, self._seed = cloud, told, seed
        self._stop = threading.Event()
        self._going = threading.Event()
        self._going.set()
        work: list[Callable[[Any, random.Random, str], None]] = [
            self._put_item, self._append, self._append, self._put_object, self._create_user,
            self._log, self._event, self._configure,
        ]  # fmt: skip
        self._threads = [
            threading.Thread(target=self._run, args=(i, w), daemon=True) for i, w in enumerate(work)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def pause(self) -> None:
        """Begin nothing new; what is under way is retried on."""
        self._going.clear()

    def resume(self) -> None:
        self._going.set()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        assert not any(t.is_alive() for t in self._threads), "a caller hangs"

    def _run(self, index: int, one: Callable[[Any, random.Random, str], None]) -> None:
        rng = random.Random(f"{self._seed}/{index}")
        names = {
            self._put_item: "dynamodb", self._append: "dynamodb", self._put_object: "s3",
            self._create_user: "iam", self._log: "logs", self._event: "lambda",
            self._configure: "lambda",
        }  # fmt: skip
        client = self._cloud.client(names[one], config=SETTINGS)
        number = 0
        while not self._stop.is_set():
            number += 1
            self._going.wait(60)
            try:
                one(client, rng, f"{self._told.label}-{index}-{number}")
            except (BotoCoreError, ClientError):
                time.sleep(0.02)

    def _put_item(self, client: Any, rng: random.Random, name: str) -> None:
        value = f"{rng.random()}"
        client.put_item(TableName=TABLE, Item={"PK": {"S": name}, "v": {"S": value}})
        self._told.items[name] = value

    def _append(self, client: Any, rng: random.Random, name: str) -> None:
        client.update_item(
            TableName=TABLE,
            Key={"PK": {"S": f"list-{self._told.label}-{rng.randrange(4)}"}},
            UpdateExpression="SET tokens = list_append(if_not_exists(tokens, :none), :one)",
            ExpressionAttributeValues={":none": {"L": []}, ":one": {"L": [{"S": name}]}},
        )
        self._told.tokens.add(name)

    def _put_object(self, client: Any, rng: random.Random, name: str) -> None:
        body = rng.randbytes(rng.choice((100, 5_000, 100_000, 700_000)))
        client.put_object(Bucket=BUCKET, Key=name, Body=body)
        self._told.objects[name] = hashlib.sha256(body).hexdigest()

    def _create_user(self, client: Any, rng: random.Random, name: str) -> None:
        client.create_user(UserName=f"u-{name}")
        self._told.users.add(f"u-{name}")
        time.sleep(0.01)

    def _log(self, client: Any, rng: random.Random, name: str) -> None:
        event = {"timestamp": int(time.time() * 1000), "message": name}
        client.put_log_events(logGroupName=GROUP, logStreamName="s", logEvents=[event])
        self._told.lines[name] = time.monotonic()
        time.sleep(0.01)

    def _event(self, client: Any, rng: random.Random, name: str) -> None:
        client.invoke(FunctionName=FUNCTION, InvocationType="Event", Payload=json.dumps(name))
        self._told.events.append(name)
        time.sleep(0.05)

    def _configure(self, client: Any, rng: random.Random, name: str) -> None:
        client.update_function_configuration(FunctionName=CONFIGURED, Description=name)
        self._told.settings = int(name.rpartition("-")[2])
        time.sleep(0.05)


def check(cloud: Cloud, told: Acknowledged, killed: float) -> list[str]:
    """What is missing, wrong or doubled after the restart; an empty list is the promise kept."""
    wrong: list[str] = []
    dynamodb, s3 = cloud.client("dynamodb"), cloud.client("s3")
    for name, value in told.items.items():
        item = dynamodb.get_item(TableName=TABLE, Key={"PK": {"S": name}}).get("Item")
        if item is None or item["v"]["S"] != value:
            wrong.append(f"item {name}: {item}")
    tokens: list[str] = []
    for i in range(4):
        key = {"PK": {"S": f"list-{told.label}-{i}"}}
        item = dynamodb.get_item(TableName=TABLE, Key=key).get("Item", {})
        tokens += [t["S"] for t in item.get("tokens", {}).get("L", [])]
    wrong += [f"token {t} is lost" for t in told.tokens - set(tokens)]
    wrong += [f"token {t} was applied twice" for t in set(tokens) if tokens.count(t) > 1]
    for name, digest in told.objects.items():
        try:
            body = s3.get_object(Bucket=BUCKET, Key=name)["Body"].read()
        except ClientError as e:
            wrong.append(f"object {name}: {e}")
            continue
        if hashlib.sha256(body).hexdigest() != digest:
            wrong.append(f"object {name} has other bytes")
    pages = cloud.client("iam").get_paginator("list_users").paginate()
    users = {u["UserName"] for page in pages for u in page["Users"]}
    wrong += [f"user {u} is lost" for u in told.users - users]
    wrong += [f"log line {n} is lost" for n in _lost_lines(cloud, told, killed)]
    return wrong + _lost_settings(cloud, told)


def _lost_settings(cloud: Cloud, told: Acknowledged) -> list[str]:
    """A later description than the last acknowledged one is fine: its answer was cut off."""
    found = cloud.client("lambda").get_function_configuration(FunctionName=CONFIGURED)
    round_of, _, rest = found.get("Description", "").partition("-")
    number = int(rest.rpartition("-")[2] or 0) if round_of == told.label else 0
    if number < told.settings:
        return [
            f"settings {told.settings} of round {told.label} are lost: {found['Description']!r}"
        ]
    return []


def lost_events(cloud: Cloud, events: list[str], seconds: float = 60) -> list[str]:
    """Acknowledged events whose function has not run within ``seconds``."""
    dynamodb = cloud.client("dynamodb")
    deadline = time.monotonic() + seconds
    while True:
        events = [e for e in events if not _exists(dynamodb, f"event-{e}")]
        if not events or time.monotonic() > deadline:
            return [f"event {e} is lost" for e in events]
        time.sleep(0.2)


def _exists(dynamodb: Any, name: str) -> bool:
    return "Item" in dynamodb.get_item(TableName=TABLE, Key={"PK": {"S": name}})


def _lost_lines(cloud: Cloud, told: Acknowledged, killed: float) -> set[str]:
    old = {n for n, at in told.lines.items() if killed - at > LOG_GRACE_SECONDS}
    pages = cloud.client("logs").get_paginator("filter_log_events").paginate(logGroupName=GROUP)
    return old - {e["message"] for page in pages for e in page["events"]}


@dataclass(frozen=True)
class Round:
    """How one round went: acknowledged writes, how long the start took, what was wrong."""

    seed: int
    acknowledged: int
    start: Start
    wrong: list[str]
    events: list[str]


def start_again(cloud: Cloud) -> Start:
    """Start a killed cloud on the ports it had, timed from outside."""
    up = ("up", "--home", str(cloud.home), *cloud.options, "--apps", "none", "--detach")
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak.starting", str(cloud.port), str(cloud.home),
         sys.executable, "-m", "pileus.cli", *up],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=SOURCE.parent,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{done.stderr}\n{cloud.log()[-6000:]}")
    return Start(**json.loads(done.stdout))


def one_round(cloud: Cloud, seed: int) -> Round:
    """Load for a random while, kill everything, start again, check."""
    told = Acknowledged(f"{seed}.{os.urandom(3).hex()}")
    callers = Callers(cloud, seed, told)
    callers.start()
    time.sleep(random.Random(seed).uniform(0.3, 1.2))
    patience = time.monotonic() + PATIENCE_S
    while told.count() <= ENOUGH and time.monotonic() < patience:  # on a busy machine
        time.sleep(0.01)
    killed = time.monotonic()
    kill_all(cloud)
    # What was under way is retried into the restart, and counts when it is acknowledged; nothing
    # new is begun, so that the start is measured and not the callers.
    callers.pause()
    start = start_again(cloud)
    callers.resume()
    time.sleep(0.3)
    callers.stop()
    wrong = check(cloud, told, killed)
    return Round(seed, told.count(), start, wrong, told.events)
