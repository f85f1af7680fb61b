"""What the runtime is told about a long-running service, and what it tells of its copies.

The shapes cross the runtime's socket as msgpack. Times in seconds, sizes in megabytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pileus.runtime.function import Code, Credentials

STARTING, HEALTHY, UNHEALTHY, STOPPING = "STARTING", "HEALTHY", "UNHEALTHY", "STOPPING"
IN_PROGRESS, COMPLETED, FAILED = "IN_PROGRESS", "COMPLETED", "FAILED"
STATUS_OK = range(200, 400)
NO_CREDENTIALS = Credentials()


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How a copy is asked whether it is well. Without a ``path`` a TCP connection is enough;
    ``grace_s`` is how long its first good answer may take."""

    path: str = ""
    interval_s: float = 5.0
    timeout_s: float = 2.0
    failures_max: int = 3
    grace_s: float = 30.0


@dataclass(frozen=True)
class ServiceSpec:
    """One configuration of one service. A new ``revision`` means new copies; ``copies``,
    ``tcp_port``, ``health`` and ``credentials`` change without. ``port`` 0: it listens to nobody.
    ``stop_s`` lies between SIGTERM and SIGKILL."""

    name: str
    arn: str
    account: str
    region: str
    revision: str
    code_digest: str
    code_path: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    memory_mb: int = 256
    ephemeral_mb: int = 512
    copies: int = 1
    port: int = 8080
    tcp_port: int = 0
    health: HealthCheck = HealthCheck()
    stop_s: float = 10.0
    credentials: Credentials = NO_CREDENTIALS

    @property
    def code(self) -> Code:
        return Code(self.code_digest, self.code_path)


@dataclass(frozen=True)
class Wish:
    """What should run. ``fallback`` is the configuration that ran well before, kept until the new
    one does; the same as ``spec`` when nothing is being changed, None before the first success."""

    spec: ServiceSpec
    fallback: ServiceSpec | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """``boot`` names this run of the runtime, ``serial`` grows with every change. ``services``:
    what each is doing; ``logs``: (number, service, stream, lines), the numbers growing."""

    boot: str
    serial: int
    services: list[dict[str, Any]]
    logs: list[tuple[int, str, str, list[tuple[int, str]]]]
