"""One invocation on its way through the runtime process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pileus.errors import Unavailable
from pileus.runtime.function import FunctionSpec, InvokeOutcome, Throttled

Verdict = InvokeOutcome | Throttled | Unavailable


@dataclass(slots=True, eq=False)
class Job:
    """``done(verdict)`` is called exactly once. Times are of the loop's clock, in seconds."""

    spec: FunctionSpec
    payload: bytes
    request_id: str
    client_context: str | None
    identity: str | None
    trace_id: str
    invoked_arn: str
    done: Callable[[Verdict], None]
    asked: float = 0.0
    started: float = 0.0
    deadline_ms: int = 0
    cold: bool = False
    init_ms: float = 0.0
    log: list[tuple[int, str]] = field(default_factory=list)
