"""Execution roles: whether Lambda may assume one, and its temporary credentials.

A session is minted when first needed, shared by all functions of the role in this process, and
renewed when less than a third of its life is left.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from pileus.engine import Clock
from pileus.errors import AwsError
from pileus.runtime.function import Credentials
from pileus.services.call import Principal
from pileus.services.lambda_.names import USER, invalid

SERVICE = "lambda.amazonaws.com"
RENEW_BELOW_MS = 20 * 60_000
SESSIONS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class RoleSession:
    """Credentials for the function's code, and the principal for calls made in its name."""

    credentials: Credentials
    principal: Principal


class Roles:
    """``minter`` is ``parts.credentials``."""

    def __init__(self, minter: Any, clock: Clock) -> None:
        self._minter = minter
        self._clock = clock
        self._sessions: dict[tuple[str, str], RoleSession] = {}
        self._minting: dict[tuple[str, str], asyncio.Task[RoleSession]] = {}

    async def check(self, role: str) -> None:
        """``InvalidParameterValueException`` unless the role exists and trusts Lambda."""
        try:
            await self._minter.check(role, SERVICE)
        except AwsError as error:
            raise invalid(
                "The role defined for the function cannot be assumed by Lambda."
            ) from error

    def cached(self, role: str, function: str) -> RoleSession | None:
        """The current session, if it need not be renewed yet."""
        session = self._sessions.get((role, function))
        if session is None:
            return None
        left = session.credentials.expires_ms - self._clock.now_ms()
        return session if left > RENEW_BELOW_MS else None

    async def session(self, role: str, function: str) -> RoleSession:
        """Credentials of ``role`` in a session named after the function; callers that come at
        once share one minting. ``AccessDeniedException`` when Lambda may not assume it."""
        session = self.cached(role, function)
        if session is not None:
            return session
        task = self._minting.get((role, function))
        if task is None:
            task = asyncio.create_task(self._mint(role, function))
            self._minting[role, function] = task
            task.add_done_callback(lambda _: self._minting.pop((role, function), None))
        return await asyncio.shield(task)

    async def _mint(self, role: str, function: str) -> RoleSession:
        try:
            minted = await self._minter.mint(role, function, service=SERVICE)
        except AwsError as error:
            raise AwsError(
                "AccessDeniedException",
                "The role defined for the function cannot be assumed by Lambda.",
                403,
                fields=USER,
            ) from error
        credentials = Credentials(
            minted.access_key_id, minted.secret_access_key, minted.session_token, minted.expires_ms
        )
        session = RoleSession(credentials, minted.principal)
        if len(self._sessions) >= SESSIONS_MAX:
            self._sessions.clear()
        self._sessions[role, function] = session
        return session
