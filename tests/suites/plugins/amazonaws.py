"""A pytest plugin: who asks a host of AWS asks the cloud at ``AWS_CLOUD_PORT`` of this machine.

The requests stay as they are, host and all; they go over plain HTTP, also where TLS was meant.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection

AWS = ".amazonaws.com"
_encrypted, _plain, _resolve = HTTPSConnection.connect, HTTPConnection.connect, socket.getaddrinfo


def is_aws(host: object) -> bool:
    return isinstance(host, str) and f".{host}".rstrip(".").endswith(AWS)


def connect(self: HTTPSConnection) -> None:
    if not is_aws(self.host):
        return _encrypted(self)
    self.is_verified = True  # there is nothing that could be
    return _plain(self)


def getaddrinfo(host: Any, port: Any, *args: Any, **more: Any) -> Any:
    if not is_aws(host):
        return _resolve(host, port, *args, **more)
    return _resolve("127.0.0.1", int(os.environ["AWS_CLOUD_PORT"]), *args, **more)


def pytest_load_initial_conftests() -> None:
    HTTPSConnection.connect = connect  # type: ignore[method-assign]
    socket.getaddrinfo = getaddrinfo
