"""One invocation on its way through the runtime process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pileus.errors import Unavailable
from pileus.runtime.function import FunctionSpec, Invocation, InvokeOutcome, Throttled
from pileus.runtime.streaming import Outlet

Verdict = InvokeOutcome | Throttled | Unavailable


@dataclass(slots=True, eq=False)
class Job:
    """``done(verdict)`` is called exactly once. Times are of the loop's clock, in seconds.
    ``outlet``: where the answer goes while it is written; None: all of it goes with ``done``.
    ``tell``: who asked is told that it waits, and before it begins then, so that it knows what may
    have run should this process end; ``tell(then)`` calls ``then`` when that was told."""

    spec: FunctionSpec
    invocation: Invocation
    done: Callable[[Verdict], None]
    outlet: Outlet | None = None
    tell: Callable[[Callable[[], None] | None], None] | None = None
    waited: bool = False
    streamed_bytes: int = 0
    asked: float = 0.0
    started: float = 0.0
    deadline_ms: int = 0
    cold: bool = False
    init_ms: float = 0.0
    log: list[tuple[int, str]] = field(default_factory=list)

    def wait(self) -> None:
        """There is no worker for it now."""
        if self.tell is not None and not self.waited:
            self.waited = True
            self.tell(None)

    def begin(self, hand: Callable[[], None]) -> None:
        """There is one: ``hand`` gives it to the worker."""
        if self.waited and self.tell is not None:
            self.tell(hand)
        else:
            hand()

    @property
    def request_id(self) -> str:
        return self.invocation.request_id

    @property
    def invoked_arn(self) -> str:
        return self.invocation.invoked_arn or self.spec.arn
