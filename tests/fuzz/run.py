"""``make fuzz``: changed requests at every parser of the door, in process and over a socket.

    python -m tests.fuzz.run --seconds 60       new seeds, from where the last run ended
    python -m tests.fuzz.run --seed 123         one seed again
    python -m tests.fuzz.run --file FILE        a kept request again

A finding is kept in ``var/fuzz`` (the request as JSON, one file each); kept ones are sent first at
the next run, and those that are in order now are removed. Exit code 1: there were findings.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import collections
import faulthandler
import json
import random
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from tests.fuzz import heads, judge
from tests.fuzz.cases import generate
from tests.fuzz.sent import Sent, signed
from tests.fuzz.server import Answer, Server

ROUND = 200  # seeds that share a table and a bucket: damage to them does not last
HANG_S = 60
WAYS = ("handed", "streamed", "socket")


class Fuzz:
    """Seeds sent to a server. ``statuses`` counts the answers, ``findings`` tells what was
    wrong."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.statuses: collections.Counter[int] = collections.Counter()
        self.findings: list[dict[str, Any]] = []

    async def seed(self, seed: int) -> None:
        """One seed: a changed request, or changed bytes on a connection."""
        rng = random.Random(f"way {seed}")
        corpus = await self.server.prepare(f"fuzz-{seed // ROUND}")
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        if rng.random() < 0.12:
            requests = [generate(rng.randrange(2**40), corpus) for _ in range(rng.randint(1, 3))]
            data = heads.damaged([signed(r, self.server.key) for r in requests], rng)
            await self.note({"seed": seed, "bytes": base64.b64encode(data).decode()})
        else:
            sent = generate(seed, corpus)
            way = rng.choice(WAYS)
            await self.note({"seed": seed, "round": corpus.name, "way": way, "sent": sent.kept()})
        faulthandler.cancel_dump_traceback_later()

    async def note(self, kept: dict[str, Any]) -> str:
        """Send what ``kept`` describes; what was wrong, which is also noted."""
        try:
            wrong = await self._send(kept)
        except Exception:
            wrong = traceback.format_exc(limit=-6)
        wrong = "\n".join(part for part in (wrong, self.server.complaints.taken()) if part)
        if not wrong and self.server.cpu_s > judge.CPU_S_MAX:
            wrong = f"{self.server.cpu_s:.1f} s of CPU"
        if wrong:
            self.findings.append({**kept, "wrong": wrong})
        return wrong

    async def _send(self, kept: dict[str, Any]) -> str:
        server = self.server
        if "bytes" in kept:
            data = base64.b64decode(kept["bytes"])
            return self._judged("", await server.exchange(data, []), True)
        await server.prepare(kept["round"])
        sent = signed(Sent.again(kept["sent"]), server.key)
        if kept["way"] == "socket":
            found = await server.through(sent)
            return self._judged(sent.method, found, True) or ("" if found else "no answer")
        answer = await server.handed(sent, streams=kept["way"] == "streamed")
        beside = sent.path.startswith("/_") or not sent.headers["host"].startswith("localhost")
        return self._judged(sent.method, [answer], beside)

    def _judged(self, method: str, found: list[Answer], at_the_door: bool) -> str:
        self.statuses.update(answer[0] for answer in found)
        return "\n".join(w for a in found if (w := judge.wrong(method, a, at_the_door)))

    async def health(self) -> str:
        """The server must still answer."""
        ask = b"GET /_pileus/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        found = await self.server.exchange(ask, ["GET"])
        return "" if found and found[0][0] == 200 else f"the server is gone: {found}"


async def run(home: Path, wish: argparse.Namespace) -> int:
    server = Server(home)
    await server.start()
    fuzz = Fuzz(server)
    wish.dir.mkdir(parents=True, exist_ok=True)
    files = [wish.file] if wish.file else sorted(wish.dir.glob("*.json"))
    if wish.seed is None:
        for file in files:
            if not await fuzz.note(json.loads(file.read_text())) and not wish.file:
                file.unlink()
    first = wish.seed if wish.seed is not None else wish.first
    if first is None:
        first = _next(wish.dir)
    seed, until = first, time.monotonic() + wish.seconds
    if wish.seed is not None:
        await fuzz.seed(first)
        seed += 1
    elif not wish.file:
        while time.monotonic() < until:
            await fuzz.seed(seed)
            seed += 1
        (wish.dir / "next").write_text(str(seed))
    gone = await fuzz.health()
    await server.stop()
    return report(fuzz, wish, first, seed, gone)


def _next(place: Path) -> int:
    file = place / "next"
    return int(file.read_text()) if file.exists() else 0


def report(fuzz: Fuzz, wish: argparse.Namespace, first: int, end: int, gone: str) -> int:
    """Print, and keep one file for each different finding."""
    seen: set[str] = set()
    for finding in fuzz.findings:
        last = finding["wrong"].strip().splitlines()[-1][:60]
        if last in seen:
            continue
        seen.add(last)
        name = f"{finding.get('seed', 'kept')}.json"
        (wish.dir / name).write_text(json.dumps(finding, indent=1))
        print(f"--- {wish.dir / name}\n{finding['wrong'][-3000:]}")
    counts = ", ".join(f"{n} × {s}" for s, n in sorted(fuzz.statuses.items()))
    print(f"seeds {first} to {end}: {len(fuzz.findings)} findings, {len(seen)} kinds; {counts}")
    print(gone, end="")
    return 1 if fuzz.findings or gone else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, help="this one only")
    parser.add_argument("--first", type=int, help="begin here, not where the last run ended")
    parser.add_argument("--file", type=Path, help="this kept request only")
    parser.add_argument("--dir", type=Path, default=Path("var/fuzz"))
    wish = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="pileus-fuzz-"))
    try:
        return asyncio.run(run(home / "home", wish))
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
