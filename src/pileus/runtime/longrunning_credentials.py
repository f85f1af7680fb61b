"""The address where a long-running service finds its role's credentials, always fresh ones.

The protocol is that of ECS's credentials endpoint, which every AWS SDK speaks
(``AWS_CONTAINER_CREDENTIALS_FULL_URI``; SDK reference guide, "Container credential provider").
"""

from __future__ import annotations

import asyncio
import datetime
import hmac
import json
import socket
from collections.abc import Callable

from pileus.runtime.function import Credentials
from pileus.runtime.longrunning_environment import CREDENTIALS_PATH

HEAD_BYTES_MAX = 16 * 1024
HEAD_TIMEOUT_S = 5.0
CONNECTIONS_MAX = 16


class CredentialsDoor:
    """Serves one copy's socket. ``current`` answers the newest credentials."""

    def __init__(self, token: str, current: Callable[[], Credentials]) -> None:
        self._token = token
        self._current = current
        self._server: asyncio.Server | None = None
        self._open = 0

    async def start(self, listener: socket.socket) -> None:
        self._server = await asyncio.start_server(self._on_connection, sock=listener)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _on_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._open += 1
        try:
            if self._open <= CONNECTIONS_MAX:
                async with asyncio.timeout(HEAD_TIMEOUT_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self.answer(head))
                await writer.drain()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            pass  # a broken connection concerns the one who broke it: it is closed
        finally:
            self._open -= 1
            writer.close()

    def answer(self, head: bytes) -> bytes:
        """The whole answer to a request with this head."""
        lines = head.decode("latin-1").split("\r\n")
        told = ""
        for line in lines[1:]:
            name, _, value = line.partition(":")
            if name.lower() == "authorization":
                told = value.strip()
        if not lines[0].startswith(f"GET {CREDENTIALS_PATH} "):
            return _http(404, {"code": "NotFound", "message": "no such path"})
        if not hmac.compare_digest(told.encode(), self._token.encode()):
            return _http(401, {"code": "Unauthorized", "message": "the token is another one"})
        has = self._current()
        moment = datetime.datetime.fromtimestamp(has.expires_ms / 1000, datetime.UTC)
        return _http(
            200,
            {
                "AccessKeyId": has.access_key_id,
                "SecretAccessKey": has.secret_access_key,
                "Token": has.session_token,
                "Expiration": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
        )


def _http(status: int, told: dict[str, str]) -> bytes:
    reason = {200: "OK", 401: "Unauthorized", 404: "Not Found"}[status]
    body = json.dumps(told).encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
