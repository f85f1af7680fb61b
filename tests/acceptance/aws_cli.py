"""The stock AWS CLI and plain HTTP, as a user has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from http import client as http_client
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.conftest import Cloud


class AwsCli:
    """``aws(…)`` runs the AWS CLI against a cloud, with nothing but the variables ``pileus env``
    prints."""

    def __init__(self, cloud: Cloud, **extra: str) -> None:
        quiet = {
            "AWS_PAGER": "",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self._env = {**os.environ, **cloud.env, **quiet, **extra}
        self._program = str(Path(sys.executable).with_name("aws"))

    def __call__(self, *words: str) -> Any:
        done = subprocess.run(
            [self._program, *words, *(() if words[0] == "s3" else ("--output", "json"))],
            env=self._env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"aws {' '.join(words)}: {done.stderr}")
        return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout


def http(
    url: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """One request; redirects are not followed. Header names come back in lower case.

    ``*.localhost`` goes to 127.0.0.1, as browsers do it; not every resolver does.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    address = "127.0.0.1" if host.endswith("localhost") else host
    connection = http_client.HTTPConnection(address, parts.port or 80, timeout=60)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body, {"host": parts.netloc, **(headers or {})})
        answer = connection.getresponse()
        found = {k.lower(): v for k, v in answer.getheaders()}
        return answer.status, found, answer.read()
    finally:
        connection.close()


def within(seconds: float, check: Any) -> Any:
    """The first truthy answer of ``check()`` within ``seconds``; fails with the last one
    otherwise."""
    deadline = time.monotonic() + 4 * seconds  # the machine may be busy
    while True:
        got = check()
        if got:
            return got
        assert time.monotonic() < deadline, f"not within {4 * seconds} s: {got!r}"
        time.sleep(0.1)
