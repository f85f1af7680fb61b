"""All long-running services of this node: the wishes in, the reports, log lines and sockets out.

Nothing here is the truth: after a restart the wishes are told again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from pileus.errors import Unavailable
from pileus.runtime.fleets import Fleets
from pileus.runtime.function import Code
from pileus.runtime.launcher import Launcher
from pileus.runtime.longrunning import Report, ServiceSpec, Wish
from pileus.runtime.longrunning_copy import Copy, Platform
from pileus.runtime.longrunning_group import Group
from pileus.runtime.longrunning_port import Ports
from pileus.runtime.unpack import CodeCache, folder_names
from pileus.runtime.worker import Setting

LOGS_S = 0.2
MEMORY_S = 0.5
STOP_S = 3.0  # of a copy, when the whole runtime ends
LOG_REPORT_CHARS_MAX, LOG_CHARS_MAX = 4_000_000, 16_000_000  # in one report; held
SUFFIX = ".service.internal"
logger = logging.getLogger("pileus.runtime.services")


class Services:
    """``wish`` replaces all wishes. ``report`` waits for news."""

    def __init__(
        self, launcher: Launcher, cache: CodeCache, setting: Setting, fleets: Fleets, bind: str
    ) -> None:
        self._cache = cache
        self._groups: dict[str, Group] = {}
        self._platform = Platform(launcher, setting, self._unpack, self._neighbours)
        self._ports = Ports(bind, self.healthy)
        self._boot = secrets.token_hex(8)
        self._serial = 1
        self._log_number = 0
        self._logs: deque[tuple[int, str, str, list[tuple[int, str]]]] = deque()
        self._log_sizes: deque[int] = deque()
        self._news = asyncio.Event()
        self._fleets = fleets
        self._stopping = False
        fleets.also_in_use = self.folders
        fleets.spawn_task(self._watch())

    # -- wishes -----------------------------------------------------------------------------

    def wish(self, wishes: list[Wish]) -> None:
        """From now on these services should run, and no others."""
        names = {w.spec.name for w in wishes}
        for name, group in self._groups.items():
            if name not in names and not group.ending:
                group.end()
        for wish in wishes:
            known = self._groups.get(wish.spec.name)
            if known is not None and not known.ending:
                known.wish(wish)
                continue
            # One that is ending goes on to end beside its successor of the same name.
            self._displace(wish.spec.name)
            group = Group(wish, self._platform, self._changed)
            self._groups[wish.spec.name] = group
            group.tick()
        self._ports.wish({w.spec.name: w.spec.tcp_port for w in wishes if w.spec.tcp_port})
        self._changed()

    def _displace(self, name: str) -> None:
        old = self._groups.pop(name, None)
        if old is not None and old.copies:
            self._groups[f"{name} {secrets.token_hex(4)}"] = old

    def _changed(self) -> None:
        self._serial += 1
        self._news.set()
        for name in [n for n, g in self._groups.items() if g.ending and not g.copies]:
            self._collect(name, self._groups.pop(name))

    def folders(self) -> set[str]:
        """What the code cache must keep."""
        specs = [s for g in self._groups.values() for s in (g.wished.spec, g.wished.fallback) if s]
        specs += [c.spec for g in self._groups.values() for c in g.copies]
        return {folder_names(spec.code, ())[0] for spec in specs}

    async def _unpack(self, code: Code) -> str:
        ready = self._cache.ready(code, ())
        if ready is None:
            ready = await asyncio.to_thread(self._cache.ensure, code, ())
        return ready[0]

    # -- news -------------------------------------------------------------------------------

    async def report(self, boot: str, serial: int, logs_after: int, wait_s: float) -> Report:
        """What there is to tell, once it differs from (``boot``, ``serial``) or ``wait_s`` went
        by. ``logs_after``: log entries up to this number arrived; negative: none are wanted."""
        deadline = asyncio.get_running_loop().time() + wait_s
        while logs_after >= 0 and self._logs and self._logs[0][0] <= logs_after:
            self._drop_log()
        while (boot, serial) == (self._boot, self._serial) and not (self._logs and logs_after >= 0):
            self._news.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._news.wait()
            except TimeoutError:
                break
        services = [
            group.told() | {"tcp_error": self._ports.troubles.get(name, "")}
            for name, group in self._groups.items()
        ]
        logs = self._oldest_logs() if logs_after >= 0 else []
        return Report(self._boot, self._serial, services, logs)

    def _oldest_logs(self) -> list[tuple[int, str, str, list[tuple[int, str]]]]:
        size, count = 0, 0
        while count < len(self._logs) and size < LOG_REPORT_CHARS_MAX:
            size += self._log_sizes[count]
            count += 1
        return [self._logs[n] for n in range(count)]

    def _drop_log(self) -> None:
        self._logs.popleft()
        self._log_sizes.popleft()

    async def _watch(self) -> None:
        turns = 0
        while True:
            await asyncio.sleep(LOGS_S)
            turns += 1
            for name, group in self._groups.items():
                self._collect(name, group)
                if turns % int(MEMORY_S / LOGS_S + 0.5) == 0:
                    for copy in group.copies:
                        if copy.over_memory():
                            copy.fail(f"more memory than its {copy.spec.memory_mb} MB")

    def _collect(self, name: str, group: Group) -> None:
        for copy, lines in group.take_lines():
            self._log_number += 1
            self._logs.append((self._log_number, name.partition(" ")[0], copy, lines))
            self._log_sizes.append(sum(len(line) + 32 for _, line in lines))
            self._news.set()
        while sum(self._log_sizes) > LOG_CHARS_MAX:
            self._drop_log()  # nobody has asked for it for long

    # -- ways to a copy ---------------------------------------------------------------------

    def copy(self, id_: str) -> Copy:
        for group in self._groups.values():
            for copy in group.copies:
                if copy.id == id_:
                    return copy
        raise Unavailable(f"there is no copy {id_}")

    def healthy(self, name: str) -> list[Copy]:
        """The copies of a service that may be asked, the best first."""
        group = self._groups.get(name)
        found = [c for c in group.copies if c.healthy] if group is not None else []
        return sorted(found, key=lambda c: c.failures)

    async def sockets(self, id_: str, count: int) -> tuple[int, list[socket.socket]]:
        """(port, sockets of the copy's network)."""
        copy = self.copy(id_)
        return copy.port, await copy.sockets(count)

    def _neighbours(self, asking: ServiceSpec) -> Callable[..., Any]:
        async def connect(
            host: str, port: int
        ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
            name = host.lower().rstrip(".")
            if not name.endswith(SUFFIX):
                return None
            wanted = name.removesuffix(SUFFIX)
            group = self._groups.get(wanted)
            if group is None or group.wished.spec.account != asking.account:
                raise OSError(f"there is no service {wanted} in this account")
            for copy in self.healthy(wanted):
                with contextlib.suppress(OSError, Unavailable):
                    return await copy.connect()
            raise OSError(f"no copy of {wanted} is healthy")

        return connect

    async def stop(self) -> None:
        """Ask every copy to end and wait a moment; what is left the launcher ends."""
        await self._ports.close()
        for group in list(self._groups.values()):
            group.end()
        deadline = asyncio.get_running_loop().time() + STOP_S
        while any(g.copies for g in self._groups.values()):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.02)
