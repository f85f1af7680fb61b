"""``make scale``: a million items of 1 KB and a million objects of 4 KB on one machine.

Beside the full cloud runs an empty one; both are asked in turns, so that a busy machine slows both.
Processes keep what they answered, so reads are measured three times: of few requests, most of which
come again; "each once", where the full cloud has kept nothing and the empty one, whose thousand
come again, everything; and "unkept" on either side, by requests in words of which no answer
is kept (``OPERATIONS_UNKEPT``). The last ratio tells what a million rows cost by themselves.
The full state is held in memory meanwhile, where the machine has room and lets us: some systems
give back within a minute what nobody asks for. ``--unheld``: as the system likes.
The load is resumable (``var/scale/record.json``); ``--clean`` removes everything at the end. Needs
about three times the data as disk: 15 GB.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import hmac
import json
import random
import shutil
import signal
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import uvloop

from bench.load import measure, process_tree
from lab.tables import keyed
from pileus.state.database import STATE_FILE
from pileus.state.housekeeping import CHECKPOINT_ENTRIES
from tests.conftest import Cloud, new_cloud
from tests.soak.disk import composition
from tests.soak.holding import held, read_whole
from tests.soak.kill import kill_all, start_again
from tests.soak.pouring import pour

TABLE, BUCKET = "scale", "scale-objects"
ITEM_BYTES, OBJECT_BYTES = 1024, 4096
EMPTY_ITEMS = 1000
CHUNK = 20_000
BURST_SECONDS = 0.25
BURSTS = 21
# One caller sees latency; four keep the servers busy, so that theirs is the servers' CPU.
CALLERS = (1, 4)
# Requests made for a burst: so few that most come again, so many that none does.
AGAIN, ONCE = 400, 12_000


class Signer:
    """Requests as bytes, signed in a few microseconds, with the headers and the retry id that SDKs
    send."""

    def __init__(self, cloud: Cloud) -> None:
        self._key, secret = cloud.env["AWS_ACCESS_KEY_ID"], cloud.env["AWS_SECRET_ACCESS_KEY"]
        self._host = cloud.endpoint.removeprefix("http://")
        self._region = cloud.env["AWS_REGION"]
        self._secret = secret

    def __call__(
        self, service: str, method: str, path: str, body: bytes = b"", target: str = ""
    ) -> bytes:
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        told = hashlib.sha256(body).hexdigest()
        headers = {"host": self._host, "x-amz-date": now}
        if target:
            headers = {"content-type": "application/x-amz-json-1.0", **headers}
            headers["x-amz-target"] = f"DynamoDB_20120810.{target}"
        else:
            headers["x-amz-content-sha256"] = told
        headers = dict(sorted(headers.items()))
        names = ";".join(headers)
        lines = "".join(f"{n}:{v}\n" for n, v in headers.items())
        plain, _, query = path.partition("?")
        canonical = f"{method}\n{plain}\n{query}\n{lines}\n{names}\n{told}"
        scope = f"{now[:8]}/{self._region}/{service}/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{digest}"
        key = f"AWS4{self._secret}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        sent = "".join(f"{n}: {v}\r\n" for n, v in headers.items())
        head = (
            f"{method} {path} HTTP/1.1\r\n{sent}Content-Length: {len(body)}\r\n"
            f"amz-sdk-invocation-id: {uuid.uuid4()}\r\n"
            f"Authorization: AWS4-HMAC-SHA256 Credential={self._key}/{scope},"
            f" SignedHeaders={names}, Signature={signature}\r\n\r\n"
        )
        return head.encode() + body


Operation = Callable[[Signer, int], bytes]


def item(number: int) -> dict[str, Any]:
    """One of ten in its partition; a kilobyte with its keys."""
    text = hashlib.shake_128(b"%d" % number).hexdigest((ITEM_BYTES - 30) // 2)
    return {"p": {"S": f"p{number // 10}"}, "r": {"N": str(number % 10)}, "v": {"S": text}}


def body_of(number: int) -> bytes:
    return hashlib.shake_128(b"o%d" % number).digest(OBJECT_BYTES)


def batch(sign: Signer, start: int, end: int) -> bytes:
    puts = [{"PutRequest": {"Item": item(i)}} for i in range(start, end)]
    told = orjson.dumps({"RequestItems": {TABLE: puts}})
    return sign("dynamodb", "POST", "/", told, "BatchWriteItem")


def put_object(sign: Signer, number: int) -> bytes:
    return sign("s3", "PUT", f"/{BUCKET}/{number:07}", body_of(number))


class Scale:
    """The two clouds and what has been done so far."""

    def __init__(self, directory: Path, items: int, objects: int, unheld: bool) -> None:
        self.items, self.objects, self.unheld = items, objects, unheld
        self.record_file = directory / "record.json"
        self.record: dict[str, Any] = {"items": 0, "objects": 0}
        if self.record_file.exists():
            self.record = json.loads(self.record_file.read_text())
        self.full = new_cloud(directory / "full")
        self.empty = new_cloud(directory / "empty")

    def note(self, **told: Any) -> None:
        self.record |= told
        self.record_file.write_text(json.dumps(self.record))

    def fill(self) -> None:
        """Whatever is missing of the items and objects, a chunk at a time."""
        if not self.record.get("made"):
            for cloud in (self.full, self.empty):
                make(cloud)
            self._pour(self.empty, "items", 0, EMPTY_ITEMS)
            self._pour(self.empty, "objects", 0, EMPTY_ITEMS)
            self.note(made=True)
        for what, total in (("items", self.items), ("objects", self.objects)):
            for start in range(self.record[what], total, CHUNK):
                end = min(start + CHUNK, total)
                rate = self._pour(self.full, what, start, end)
                self.note(**{what: end})
                progress(what, end, total, rate)

    def _pour(self, cloud: Cloud, what: str, start: int, end: int) -> float:
        sign = Signer(cloud)
        requests: Iterator[bytes]
        if what == "items":
            requests = (batch(sign, i, min(i + 25, end)) for i in range(start, end, 25))
        else:
            requests = (put_object(sign, i) for i in range(start, end))
        began = time.monotonic()
        errors = uvloop.run(pour(cloud.port, requests))
        if errors:
            raise RuntimeError(f"{errors} of {what} {start} to {end} were refused")
        return (end - start) / (time.monotonic() - began)

    # -- latency -------------------------------------------------------------------------------

    def latency(self) -> None:
        """Median latency of each operation, both clouds in turns; reads also where none is asked
        again, and where neither cloud keeps an answer. Beside it what the full cloud brought from
        the disk for a request: a state that is not in memory costs the disk's time."""
        titles = f"{'callers':>7} {'empty':>8} {'full':>8} {'ratio':>7} {'from disk, KB':>14}"
        print(f"  {'median latency, ms':<24} {titles}")
        state = self.full.home / STATE_FILE
        read_whole(state)
        ratios: dict[str, float] = {}
        with contextlib.nullcontext() if self.unheld else held(state):
            for name, operation in OPERATIONS.items():
                for made, suffix in ((AGAIN, ""), (ONCE, ", each once")):
                    if made == AGAIN or name in READS:
                        ratios |= self._compare(name + suffix, operation, made)
            for name, operation in OPERATIONS_UNKEPT.items():
                ratios |= self._compare(f"{name}, unkept", operation, ONCE)
        self.note(latency=ratios)

    def _compare(self, name: str, operation: Operation, made: int) -> dict[str, float]:
        return {f"{name}, {n}": self._ratio(name, operation, made, n) for n in CALLERS}

    def _ratio(self, name: str, operation: Operation, made: int, callers: int) -> float:
        times: dict[str, list[float]] = {"empty": [], "full": []}
        count = self.objects if operation in ON_OBJECTS else self.items
        asked, read = 0, -_read_bytes(self.full)
        for _ in range(BURSTS):
            for side, cloud, numbers in (
                ("empty", self.empty, EMPTY_ITEMS),
                ("full", self.full, count),
            ):
                sign, rng = Signer(cloud), random.Random()
                requests = [operation(sign, rng.randrange(numbers)) for _ in range(made)]
                result = measure(cloud.port, requests, connections=callers, seconds=BURST_SECONDS)
                if result.errors:
                    raise RuntimeError(f"{name}: {result}")
                times[side].append(result.p50_ms)
                asked += result.requests if cloud is self.full else 0
        read += _read_bytes(self.full)
        empty, full = (statistics.median(times[side]) for side in ("empty", "full"))
        told = (
            f"{callers:7} {empty:8.3f} {full:8.3f} {full / empty:7.2f} {read / asked / 1024:14.2f}"
        )
        print(f"  {name:<24} {told}", flush=True)
        return full / empty

    def restarts(self, count: int = 5) -> None:
        """kill -9 of everything, then start; the write-ahead log holds fresh writes each time."""
        print(
            f"  {'start after kill -9, s':<24} {'process':>8} {'command':>8} {'CPU':>7} {'load':>6}"
        )
        for number in range(count):
            sign, rng = Signer(self.full), random.Random(number)
            numbers = [rng.randrange(self.objects) for _ in range(5000)]
            uvloop.run(pour(self.full.port, (put_object(sign, n) for n in numbers)))
            kill_all(self.full)
            start = start_again(self.full)
            print(
                f"  {'':<24} {start.process_seconds:8.2f} {start.command_seconds:8.2f}"
                f" {start.cpu_seconds:7.2f} {start.load:6.2f}",
                flush=True,
            )

    def disk(self) -> None:
        """What the home consists of, after a checkpoint."""
        data = self.items * ITEM_BYTES + self.objects * OBJECT_BYTES
        self._await_checkpoint()
        told = composition(self.full.home)
        print(f"  {'disk, GB':<24} {'':>8} {'of data':>8}")
        for name, size in told.items():
            print(f"  {name:<24} {size / 1e9:8.2f} {size / data:8.2f}")
        total = sum(told.values())
        print(f"  {'all':<24} {total / 1e9:8.2f} {total / data:8.2f}", flush=True)
        self.note(disk=told, data=data)

    def _await_checkpoint(self, seconds: float = 300) -> None:
        """The checkpoint that is due by now, and the turn after it that trims the log."""
        if self.objects + self.items // 25 < CHECKPOINT_ENTRIES:
            print("  (no checkpoint is due: fewer than a million entries)")
            return
        deadline = time.monotonic() + seconds
        while not list((self.full.home / "checkpoints").glob("*.json")):
            if time.monotonic() > deadline:
                raise TimeoutError("no checkpoint was made")
            time.sleep(1)
        time.sleep(min(40.0, max(0.0, deadline - time.monotonic())))


def progress(what: str, done: int, total: int, rate: float) -> None:
    """A bar on a terminal; elsewhere a line for every tenth."""
    filled = 30 * done // total
    bar = f"  [{'#' * filled:<30}] {done:>9,} {what}, {rate:,.0f}/s"
    if sys.stdout.isatty():
        print(f"\r{bar}   ", end="\n" if done == total else "", flush=True)
    elif done == total or done * 10 // total > (done - CHUNK) * 10 // total:
        print(bar, flush=True)


def make(cloud: Cloud) -> None:
    client = cloud.client("dynamodb")
    client.create_table(
        TableName=TABLE,
        **keyed(p="S", r="N"),
    )
    cloud.client("s3").create_bucket(Bucket=BUCKET)


def _table(operation: str, more: Callable[[int], dict[str, Any]], end: bytes = b"") -> Operation:
    """``end``: what stands after the body's JSON."""

    def request(sign: Signer, number: int) -> bytes:
        told = orjson.dumps({"TableName": TABLE, **more(number)}) + end
        return sign("dynamodb", "POST", "/", told, operation)

    return request


def _key(number: int) -> dict[str, Any]:
    return {name: value for name, value in item(number).items() if name != "v"}


def _whole(number: int) -> dict[str, Any]:
    return {"Key": _key(number)}


def _partition(number: int) -> dict[str, Any]:
    values = {":p": {"S": f"p{number // 10}"}}
    return {"KeyConditionExpression": "p = :p", "ExpressionAttributeValues": values}


def _get_object(sign: Signer, number: int) -> bytes:
    return sign("s3", "GET", f"/{BUCKET}/{number:07}")


def _get_object_named(sign: Signer, number: int) -> bytes:
    """As SDKs for JavaScript ask."""
    return sign("s3", "GET", f"/{BUCKET}/{number:07}?x-id=GetObject")


def _read_bytes(cloud: Cloud) -> int:
    """What a cloud's processes have brought from the disk."""
    told = 0
    for pid in process_tree(cloud.told["pid"]):
        with contextlib.suppress(OSError):  # it ended
            text = Path(f"/proc/{pid}/io").read_text()
            told += int(text.partition("\nread_bytes: ")[2].partition("\n")[0])
    return told


OPERATIONS: dict[str, Operation] = {
    "GetItem 1 KB": _table("GetItem", _whole),
    "Query of 10": _table("Query", _partition),
    "PutItem 1 KB": _table("PutItem", lambda n: {"Item": item(n)}),
    "UpdateItem": _table(
        "UpdateItem",
        lambda n: {
            "Key": _key(n),
            "UpdateExpression": "ADD c :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        },
    ),
    "GET 4 KB": _get_object,
    "PUT 4 KB": put_object,
}
READS = ("GetItem 1 KB", "Query of 10", "GET 4 KB")
# The same reads in words that both clouds read anew each time. White space after JSON is JSON, but
# such bodies have no form whose answers DynamoDB keeps; a hint in a GET's address is of no known
# head whose answers S3 keeps.
OPERATIONS_UNKEPT: dict[str, Operation] = {
    "GetItem 1 KB": _table("GetItem", _whole, b"\n"),
    "Query of 10": _table("Query", _partition, b"\n"),
    "GET 4 KB": _get_object_named,
}
ON_OBJECTS = (_get_object, _get_object_named, put_object)


def main() -> int:
    """Fill, then measure; 0 when it went through (the table says how)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--dir", type=Path, default=Path("var/scale"))
    parser.add_argument("--unheld", action="store_true", help="leave the state's pages alone")
    parser.add_argument("--clean", action="store_true", help="remove everything afterwards")
    wish = parser.parse_args()
    directory = wish.dir.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    needed = 3 * (wish.items * ITEM_BYTES + wish.objects * OBJECT_BYTES)
    if shutil.disk_usage(directory).free < needed and not (directory / "full").exists():
        print(f"{needed / 1e9:.0f} GB of disk are needed in {directory}", file=sys.stderr)
        return 1
    scale = Scale(directory, wish.items, wish.objects, wish.unheld)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # take the clouds down then, too
    scale.full.down()  # left over from a run that was killed
    scale.empty.down()
    scale.full.up()
    scale.empty.up()
    try:
        scale.fill()
        scale.disk()
        scale.latency()
        scale.restarts()
    finally:
        scale.full.down()
        scale.empty.down()
    if wish.clean:
        shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
