"""A small client of the services' API: REST JSON, signed by botocore; and code to run."""

from __future__ import annotations

import base64
import http.client
import io
import json
import time
import zipfile
from collections.abc import Callable
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

PREFIX = "/_pileus/services"
HELLO = """
import http.server, json, os, signal, sys, time

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("started", os.environ["PILEUS_COPY"])

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        size = int(self.headers.get("content-length") or 0)
        told = {"copy": os.environ["PILEUS_COPY"], "path": self.path, "method": self.command,
                "version": os.environ.get("VERSION", "1"), "body": self.rfile.read(size).decode(),
                "headers": {k.lower(): v for k, v in self.headers.items()}}
        data = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def zipped(files: dict[str, str]) -> str:
    """A zip of ``files`` in base64."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return base64.b64encode(buffer.getvalue()).decode()


class Refused(Exception):
    def __init__(self, status: int, told: dict[str, Any]) -> None:
        super().__init__(f"{status} {told}")
        self.status, self.code, self.message = status, told.get("__type"), told.get("message", "")


class Services:
    """``client("POST", "", {…})``: an answer, or ``Refused``."""

    def __init__(self, cloud: Any, keys: Credentials | None = None) -> None:
        self.cloud = cloud
        self.keys = keys or Credentials(
            cloud.env["AWS_ACCESS_KEY_ID"], cloud.env["AWS_SECRET_ACCESS_KEY"]
        )

    @property
    def host(self) -> str:
        return str(self.cloud.endpoint.partition("//")[2].rpartition(":")[0])

    def __call__(self, method: str, path: str = "", body: Any = None) -> Any:
        data = b"" if body is None else json.dumps(body).encode()
        url = f"{self.cloud.endpoint}{PREFIX}{path}"
        request = AWSRequest(method, url, {"content-type": "application/json"}, data)
        S3SigV4Auth(self.keys, "pileus", self.cloud.env["AWS_REGION"]).add_auth(request)
        connection = http.client.HTTPConnection(self.host, self.cloud.port, timeout=60)
        connection.request(method, f"{PREFIX}{path}", data or None, dict(request.headers))
        answer = connection.getresponse()
        told = json.loads(answer.read() or b"{}")
        connection.close()
        if answer.status != 200:
            raise Refused(answer.status, told)
        return told

    def create(self, name: str, files: dict[str, str] | str = HELLO, **settings: Any) -> Any:
        files = {"app.py": files} if isinstance(files, str) else files
        wish = {"Name": name, "Code": {"ZipFile": zipped(files)}, "Command": ["python3", "app.py"]}
        return self("POST", "", wish | settings)["Service"]

    def describe(self, name: str) -> Any:
        return self("GET", f"/{name}")["Services"][0]

    def until(self, name: str, good: Callable[[Any], bool], seconds: float = 80) -> Any:
        """The description once it is ``good``."""
        deadline = time.monotonic() + seconds
        while True:
            told = self.describe(name)
            if good(told):
                return told
            assert time.monotonic() < deadline, json.dumps(told, indent=1)
            time.sleep(0.05)

    def running(self, name: str, seconds: float = 80) -> Any:
        return self.until(name, lambda s: s["Status"] == "RUNNING", seconds)

    def gone(self, name: str) -> bool:
        return not self("GET", f"/{name}")["Services"]

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, port: int = 0,
        **headers: str,
    ) -> tuple[int, Any]:  # fmt: skip
        """(status, parsed answer) of a plain request."""
        connection = http.client.HTTPConnection(self.host, port or self.cloud.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(data)
        except ValueError:
            return answer.status, data.decode()

    def answered(self, path: str, *how: Any, **more: Any) -> tuple[int, Any]:
        """The same, of a service that runs: who was busy may not know yet, and says 503."""
        deadline = time.monotonic() + 60
        while True:
            status, told = self.ask(path, *how, **more)
            if status != 503 or time.monotonic() > deadline:
                return status, told
            time.sleep(0.1)
