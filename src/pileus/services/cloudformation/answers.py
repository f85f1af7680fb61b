"""Requests to others that a stack waits for, and the door at which their answers come.

A request is a row before it is sent, its answer one before it is acknowledged: whoever carries the
operation on after a crash, on whatever node, finds both. The address of an answer holds a signature
and an end; it takes one answer, and the same one again.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, unquote

from pileus.errors import AwsError, Unavailable
from pileus.services import addresses
from pileus.services.call import HttpRequest, HttpResponse, Parts
from pileus.services.cloudformation import rows

PREFIX = "/_cloudformation/"
ANSWER_BYTES_MAX = 4096
BODY_BYTES_MAX = 1024 * 1024  # of which no more is kept than shows that it is too long
Record = dict[str, Any]
Signal = Callable[[Any, "Name", str], bool | None]


class Name(NamedTuple):
    """Which request: the stack's, about the resource ``logical``, of this id."""

    stack_id: str
    logical: str
    request_id: str

    @property
    def key(self) -> bytes:
        return rows.answer_key(self.stack_id, self.request_id)

    @property
    def path(self) -> str:
        """Of its address, decoded."""
        return f"{PREFIX}{'|'.join(self)}"


class Answers:
    """``serve`` is mounted for ``PREFIX`` in every process; the rest is the operations'."""

    def __init__(self, parts: Parts, signal: Signal | None = None) -> None:
        """``signal``: takes what is for a wait condition's handle, None where it is for none."""
        self._parts = parts
        self._signal = signal
        self.store = self._store = parts.store

    async def expect(self, name: Name, timeout_s: int) -> Record:
        """Open the request, or find it open: its ``address``, and whether it was ``sent``."""

        def change(draft: Any) -> Record:
            found = draft.get_json(name.key)
            if found is None:
                end = draft.now_ms // 1000 + timeout_s
                found = {"logical": name.logical, "end": end, "sent": False, "answer": None}
                draft.put_json(name.key, found)
            return dict(found)

        record = await self._store.transact(change)
        base = await addresses.in_functions(self._parts)
        return record | {"address": await self.address(name, record["end"], base)}

    async def address(self, name: Name, end: int, base: str) -> str:
        """Where ``name`` is told something until ``end``, signed."""
        signature = _sign(await self._secret(), name.path, end)
        return f"{base}{quote(name.path)}?Expires={end}&Signature={signature}"

    def outside(self) -> str:
        """Where those beside functions find the endpoint."""
        return addresses.outside(self._parts.config)

    def now_ms(self) -> int:
        return self._parts.clock.now_ms()

    async def changed(self, seen: int, left_s: float, given_up: asyncio.Event) -> None:
        """Wait until the table's generation is no longer ``seen``, or for one of the others."""
        ended = asyncio.create_task(given_up.wait())
        change = asyncio.ensure_future(self._store.changed(rows.TABLE, seen, min(left_s, 60.0)))
        try:
            await asyncio.wait({change, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            change.cancel()
            ended.cancel()

    async def sent(self, name: Name) -> None:
        """Note that it is on its way: it need not be sent again."""

        def change(draft: Any) -> None:
            draft.put_json(name.key, draft.get_json(name.key) | {"sent": True})

        await self._store.transact(change)

    async def wait(self, name: Name, given_up: asyncio.Event) -> str | None:
        """The answer's text as soon as it is there; None when time ran out, or ``given_up``."""
        while True:
            seen = self._store.generation(rows.TABLE)
            record = self._store.get_json(name.key)
            left_s = record["end"] - self._parts.clock.now_ms() / 1000
            if record["answer"] is not None:
                return str(record["answer"])
            if left_s <= 0 or given_up.is_set():
                return None
            await self.changed(seen, left_s, given_up)

    async def serve(self, request: HttpRequest) -> HttpResponse:
        """``PUT`` of an answer, or of a signal to a handle (``signal`` tells one apart)."""
        path = unquote(request.path)
        name = Name(*path.removeprefix(PREFIX).split("|")) if path.count("|") == 2 else None
        if request.method != "PUT":
            return _refused(405, "MethodNotAllowed", "The specified method is not allowed.")
        if name is None or not self._signed(path, request.query):
            return _refused(403, "AccessDenied", "Request has expired or was not signed here")
        try:
            body = await request.read(BODY_BYTES_MAX)
        except AwsError:
            return _refused(413, "EntityTooLarge", "Your proposed upload is too large")
        answer = bytes(body[: ANSWER_BYTES_MAX + 1]).decode("utf-8", "replace")

        def change(draft: Any) -> bool | None:
            if self._signal is not None:
                told = self._signal(draft, name, answer)
                if told is not None:
                    return None if told is False else True
            record = draft.get_json(name.key)
            if record is None or record["answer"] not in (None, answer):
                return False
            if record["answer"] is None:
                draft.put_json(name.key, record | {"answer": answer})
            return True

        try:
            taken = await self._store.transact(change)
        except Unavailable as error:
            return _refused(503, "ServiceUnavailable", str(error))
        if taken is None:
            return _refused(400, "InvalidArgument", "A signal is JSON with Status and UniqueId")
        return HttpResponse() if taken else _refused(403, "AccessDenied", "It was answered before")

    def _signed(self, path: str, query: str) -> bool:
        told = {key: values[0] for key, values in parse_qs(query).items()}
        secret, end = self._store.get(_SECRET), told.get("Expires", "")
        if secret is None or not end.isdecimal():
            return False
        fresh = self._parts.clock.now_ms() < int(end) * 1000
        expected = _sign(secret, path, int(end)).encode()
        return fresh and hmac.compare_digest(expected, told.get("Signature", "").encode())

    async def _secret(self) -> bytes:
        fresh = self._parts.clock.random_bytes(32)

        def change(draft: Any) -> bytes:
            kept = draft.get(_SECRET)
            if kept is None:
                draft.put(_SECRET, fresh)
            return bytes(kept or fresh)

        return self._store.get(_SECRET) or await self._store.transact(change)


_SECRET = rows.secret_key()


def _sign(secret: bytes, path: str, end: int) -> str:
    return hmac.new(secret, f"{path}?{end}".encode(), hashlib.sha256).hexdigest()


def _refused(status: int, code: str, text: str) -> HttpResponse:
    body = f"<Error><Code>{code}</Code><Message>{text}</Message></Error>"
    return HttpResponse(status, [("content-type", "application/xml")], body.encode())
