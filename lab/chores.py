"""What goes on beside the requests, with a ledger of its own: what was asked for happens, each
effect once.

A function is invoked for later, by a bucket's notification and by a stream; each time it notes the
token it was given, once, however often it is told of it (delivery is at least once, ``seen``
counts). Items end by their TTL, objects by a lifecycle rule where a day is short enough; lines go
to a log group; an upload in parts outlives the fault; a service answers on its route, at each node.
Events may come minutes later (a function that failed is tried again after one and two), so each
round looks for the tokens of those before it too, and the last one waits.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lab import chores_parts as parts
from lab.faults import SKEW_S
from lab.history.asking import patiently, shaped
from lab.ledger import ONCE, PATIENT, Door

PACE_S = 0.35
LATE_S = 300.0  # an effect, or an end by TTL, that is missing for longer is lost
EXPIRED_LATE_S = LATE_S + SKEW_S  # an object ends by the clock of who took it, which may be ahead
LATE = ("no effect of", "not ended:", "not expired:")
LATEST_S = (LATE_S, LATE_S, EXPIRED_LATE_S)
DAY_S_MAX = 60.0  # lifecycle is tried where a day is no longer
LINES_LATE_S = 6.5  # on disk a second after the answer (spec L1), had a process not to wait
SMALL_BYTES, PART_BYTES = 300_000, 5 * 1024 * 1024
FOR_LONG_S = 86_400


@dataclass
class Asked:
    """What was acknowledged, with when: tokens whose effect is awaited, things that are to end,
    items that are to stay, lines of a log by the node that took them."""

    effects: dict[str, float] = field(default_factory=dict)
    ending: dict[str, float] = field(default_factory=dict)
    short: dict[str, float] = field(default_factory=dict)
    staying: set[str] = field(default_factory=set)
    lines: dict[str, tuple[float, str]] = field(default_factory=dict)


class Chores:
    """Of one cluster, kept between rounds. ``name``: of the bucket there is; everything made here
    bears it. ``told(node, method, path, body)``: a signed request to Pileus' own API there.
    ``routes``: where a path of users is asked for, at each node. ``day_s``: of lifecycle."""

    def __init__(
        self,
        doors: Sequence[Door],
        name: str,
        told: Callable[[str, str, Any], Any],
        routes: Sequence[str],
        day_s: float = FOR_LONG_S,
    ) -> None:
        self._doors, self._name, self._told, self._routes = list(doors), name, told, routes
        self._short = day_s <= DAY_S_MAX
        self.asked = Asked()
        self.acknowledged = self.failed = self.repeated = 0
        self._run = ""
        self._upload: parts.Upload | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._died: list[BaseException] = []
        parts.make(self._clients(PATIENT), name, self._short)
        parts.make_service(told, name)

    def _clients(self, config: Any, door: Door | None = None) -> Callable[[str], Any]:
        at = door or self._doors[0]
        return lambda service: at.client(service, config)

    # -- a round ---------------------------------------------------------------------------------

    def start(self, run: str, seed: int) -> None:
        """``run``: what the tokens of this round begin with."""
        self._run, self._died = run, []
        rng = random.Random(f"chores/{seed}")
        self._upload = parts.Upload(f"parts/{run}", [PART_BYTES, SMALL_BYTES])
        patiently(lambda: self._upload_begins(self._doors[0]))
        group, stream = f"/faults/{self._name}", self._stream
        logs = self._doors[-1].client("logs", PATIENT)
        patiently(lambda: logs.create_log_stream(logGroupName=group, logStreamName=stream))
        self._stop.clear()
        self._thread = threading.Thread(target=self._go_on, args=(rng,))
        self._thread.start()

    @property
    def _stream(self) -> str:
        return self._run.replace("/", "-")

    def _upload_begins(self, door: Door) -> None:
        assert self._upload is not None
        s3 = door.client("s3", PATIENT)
        self._upload.begin(s3, self._name)
        self._upload.put(s3, self._name, 0)

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _go_on(self, rng: random.Random) -> None:
        kinds = [self._event, self._notified, self._streamed, self._line, self._ends, self._part]
        kinds += [self._short_lived] if self._short else []
        number, at = 0, rng.randrange(len(self._doors))
        try:
            while not self._stop.wait(PACE_S):
                number += 1
                door = self._doors[at]
                try:
                    kinds[number % len(kinds)](door, f"{self._run}/{number}")
                    self.acknowledged += 1
                except (BotoCoreError, ClientError) as error:
                    if isinstance(error, ClientError):
                        shaped(error)
                    self.failed += 1
                    at = rng.randrange(len(self._doors))
        except BaseException as error:
            self._died.append(error)

    # -- what is asked for -----------------------------------------------------------------------

    def _event(self, door: Door, token: str) -> None:
        payload = b'{"token": "%b"}' % token.encode()
        client = door.client("lambda", ONCE)
        client.invoke(FunctionName=self._name, InvocationType="Event", Payload=payload)
        self.asked.effects[token] = time.monotonic()

    def _notified(self, door: Door, token: str) -> None:
        key = f"events/{token}"
        door.client("s3", ONCE).put_object(Bucket=self._name, Key=key, Body=b"x")
        self.asked.effects[key] = time.monotonic()

    def _streamed(self, door: Door, token: str) -> None:
        """Stays for a day, which the sweep knows."""
        self._put(door, f"item/{token}", FOR_LONG_S)
        self.asked.effects[f"item/{token}"] = time.monotonic()
        self.asked.staying.add(f"item/{token}")

    def _ends(self, door: Door, token: str) -> None:
        self._put(door, f"ends/{token}", -10)
        self.asked.ending[f"ends/{token}"] = time.monotonic()

    def _put(self, door: Door, key: str, ends_s: int) -> None:
        item = {"PK": {"S": key}, "ends": {"N": str(int(time.time()) + ends_s)}}
        table = parts.source(self._name)
        door.client("dynamodb", ONCE).put_item(TableName=table, Item=item)

    def _short_lived(self, door: Door, token: str) -> None:
        key = f"short/{token}"
        door.client("s3", ONCE).put_object(Bucket=self._name, Key=key, Body=b"x")
        self.asked.short[key] = time.monotonic()

    def _line(self, door: Door, token: str) -> None:
        """Once: AWS has no way to say a line again."""
        event = {"timestamp": int(time.time() * 1000), "message": token}
        parts.once(door, "logs").put_log_events(
            logGroupName=f"/faults/{self._name}", logStreamName=self._stream, logEvents=[event]
        )
        self.asked.lines[token] = (time.monotonic(), door.name)

    def _part(self, door: Door, token: str) -> None:
        assert self._upload is not None
        self._upload.put(door.client("s3", ONCE), self._name, 1)

    # -- afterwards ------------------------------------------------------------------------------

    def wrong(self, since: float, killed: Collection[str]) -> tuple[list[str], list[str]]:
        """What is lost and what is doubled. ``since``: when the fault was begun; ``killed``: nodes
        whose processes ended then, with the lines of their last second."""
        lost = [f"a writer of chores ended with {e!r}" for e in self._died]
        lost += self._lost_upload() + self._lost_route()
        early = since - LINES_LATE_S
        lines = self._lines()
        for token, (at, node) in self.asked.lines.items():
            if token not in lines and not (node in killed and at > early):
                lost.append(f"line {token}, taken by {node} {at - since:+.1f} s from the fault")
        doubled = [f"line {line}" for line in sorted(set(lines)) if lines.count(line) > 1]
        self.asked.lines.clear()
        late, twice = self.settled()
        return lost + late, doubled + twice

    def settled(self, wait_s: float = 0.0) -> tuple[list[str], list[str]]:
        """What is missing for too long, and what happened twice; with ``wait_s`` nothing may be
        left after that time."""
        deadline = time.monotonic() + wait_s
        while True:
            twice = self._look()
            asked = (self.asked.effects, self.asked.ending, self.asked.short)
            if not wait_s or time.monotonic() > deadline or not any(asked):
                break
            time.sleep(2)
        now = time.monotonic()
        late = []
        for name, waiting, most_s in zip(LATE, asked, LATEST_S, strict=True):
            over = sorted(t for t, at in waiting.items() if wait_s or now - at > most_s)
            late += [f"{name} {t}, {now - waiting[t]:.0f} s after its answer" for t in over]
            for token in over:  # told once
                del waiting[token]
        return late + sorted(f"gone: {t}" for t in self._gone), twice

    def _look(self) -> list[str]:
        """Strike off what has happened; what happened more than once."""
        dynamodb = self._doors[0].client("dynamodb", PATIENT)
        table = parts.source(self._name)
        held = {item["PK"]["S"] for item in parts.scan(dynamodb, table)}
        self._gone = self.asked.staying - held
        self.asked.staying -= self._gone
        for token in self.asked.ending.keys() - held:
            del self.asked.ending[token]
        if self.asked.short:
            left = parts.keys(self._doors[0].client("s3", PATIENT), self._name, "short/")
            for token in self.asked.short.keys() - left:
                del self.asked.short[token]
        found = {item["PK"]["S"]: item for item in parts.scan(dynamodb, parts.effects(self._name))}
        for token in self.asked.effects.keys() & found.keys():
            del self.asked.effects[token]
        self.repeated = sum(int(item["seen"]["N"]) > 1 for item in found.values())
        return [f"effect {t}" for t, i in sorted(found.items()) if i["effect"]["N"] != "1"]

    def _lines(self) -> list[str]:
        logs = self._doors[0].client("logs", PATIENT)
        asked = {"logGroupName": f"/faults/{self._name}", "logStreamNames": [self._stream]}
        pages = patiently(lambda: list(logs.get_paginator("filter_log_events").paginate(**asked)))
        return [event["message"] for page in pages for event in page["events"]]

    def _lost_upload(self) -> list[str]:
        """It is ended through another node than it began at, and read through a third."""
        assert self._upload is not None
        upload, s3 = self._upload, [door.client("s3", PATIENT) for door in self._doors]
        patiently(lambda: upload.put(s3[-1], self._name, 1))
        patiently(lambda: upload.complete(s3[-1], self._name))
        asked = {"Bucket": self._name, "Key": upload.key}
        body = patiently(lambda: s3[len(s3) // 2].get_object(**asked)["Body"].read())
        patiently(lambda: s3[0].delete_object(**asked))
        same = hashlib.sha256(body).digest() == upload.sha256
        return [] if same else [f"upload {upload.key}: other bytes"]

    def _lost_route(self) -> list[str]:
        """Each node's edge passes the route's requests to a living copy."""
        lost = []
        for route in self._routes:
            address = f"{route}/{self._name}/x"
            try:
                patiently(lambda address=address: parts.fetched(address))  # type: ignore[misc]
            except BotoCoreError as error:
                lost.append(f"{address}: {error}")
        return lost

    def close(self) -> None:
        """Take away what would go on working."""
        parts.remove(self._clients(PATIENT), self._told, self._name)
