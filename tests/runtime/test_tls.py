"""The AWS endpoint by TLS, as programs in functions speak to it that know no other way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.answering import Answering, listening
from tests.runtime.test_lifecycle import another


class Echo(Answering):
    """Stands for the endpoint: tells what it was asked."""

    def do_PUT(self) -> None:
        self.answer(f"{self.headers['Host']} {self.path} {len(self.asked())}".encode())


@pytest.fixture
def endpoint() -> Iterator[int]:
    with listening(Echo) as port:
        yield port


PYTHON = """
import http.client, json, ssl, urllib.request
import urllib3

def handler(event, context):
    told = {}
    body = b"x" * 3000
    for host in ("127.0.0.1", "localhost"):
        request = urllib.request.Request(f"https://{host}/a%7Cb?c=d", body, method="PUT")
        told["urllib " + host] = urllib.request.urlopen(request).read().decode()
        plain = http.client.HTTPSConnection(host)
        plain.request("PUT", "/p", body, {"content-type": ""})
        told["http.client " + host] = plain.getresponse().read().decode()
    answer = urllib3.PoolManager().request("PUT", "https://127.0.0.1/u", body=body, retries=False)
    told["urllib3"] = answer.data.decode()
    try:
        strange = ssl.create_default_context(cafile="/var/runtime/certificates/ours.pem")
        request = urllib.request.Request("https://127.0.0.2/", method="PUT")
        urllib.request.urlopen(request, context=strange)
    except OSError as e:
        told["elsewhere"] = type(e).__name__
    return told
"""
NODE = """
const https = require('node:https');
exports.handler = (event) => new Promise((done, failed) => {
  const asked = https.request({hostname: event.host, path: '/n?x=1', method: 'PUT'}, (answer) => {
    const parts = [];
    answer.on('data', (part) => parts.push(part));
    answer.on('end', () => done(Buffer.concat(parts).toString()));
  });
  asked.on('error', failed);
  asked.end('y'.repeat(3000));
});
"""


def test_the_endpoint_by_tls_at_the_standard_port(endpoint: int) -> None:
    """No port, no proxy, no exception from checking certificates: as to any site."""
    with another("--api", f"127.0.0.1:{endpoint}") as other:
        told = other.answer(other.spec(PYTHON))
        for host in ("127.0.0.1", "localhost"):
            assert told[f"urllib {host}"] == f"{host} /a%7Cb?c=d 3000"
            assert told[f"http.client {host}"] == f"{host} /p 3000"
        assert told["urllib3"] == "127.0.0.1 /u 3000"
        assert told["elsewhere"] == "URLError"
        files: dict[str, str | bytes] = {"index.js": NODE}
        spec = other.spec(files, runtime="nodejs22.x", handler="index.handler")
        for host in ("127.0.0.1", "localhost"):
            assert other.answer(spec, {"host": host}) == f"{host} /n?x=1 3000"
