"""What the key service answered, for half a minute: as S3 Bucket Keys do, but for every read.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-key.html
An answer counts for the caller who got it, for this key and context, and until anything of the key
service or of identities changes: a key disabled or deleted, a policy or a grant taken back counts
at once. Only what a policy says of the time may be late by ``KEPT_MS``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pileus.services.call import Principal

KEPT_MS = 30_000
ANSWERS_MAX = 2048
TABLES = ("kms", "iam")
Answer = dict[str, Any]


class KmsAnswers:
    """One per process; the secrets stay in memory no longer than ``KEPT_MS`` after their use."""

    def __init__(self, store: Any, clock: Any) -> None:
        self._store, self._now_ms = store, clock.now_ms
        self._kept: dict[Any, tuple[int, Answer]] = {}
        self._of: tuple[int, ...] = ()
        self._sweep_ms = 0

    async def ask(
        self,
        principal: Principal,
        params: dict[str, Any],
        ask: Callable[[], Awaitable[Answer]],
    ) -> Answer:
        """``ask()``'s answer, or the same caller's to the same question a moment ago."""
        now_ms, of = self._now_ms(), tuple(self._store.generation(t) for t in TABLES)
        if of != self._of or now_ms >= self._sweep_ms or len(self._kept) >= ANSWERS_MAX:
            fresh = of == self._of and len(self._kept) < ANSWERS_MAX
            self._kept = {k: v for k, v in self._kept.items() if fresh and v[0] > now_ms}
            self._of, self._sweep_ms = of, now_ms + KEPT_MS
        question = (principal, *(_fixed(params[n]) for n in sorted(params)))
        found = self._kept.get(question)
        if found is not None and found[0] > now_ms:
            return found[1]
        answer = await ask()
        if of == self._of:  # else something has changed while we asked
            self._kept[question] = (now_ms + KEPT_MS, answer)
        return answer


def _fixed(value: Any) -> Any:
    return tuple(sorted(value.items())) if isinstance(value, dict) else value
