"""Long-running services through their own API and their routes (C7)."""

from __future__ import annotations

import contextlib
import json
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials

from tests.conftest import pileus
from tests.ports import free_port
from tests.services.longrunning.client import HELLO, Refused, Services, zipped


@pytest.fixture
def api(cloud: Any) -> Services:
    return Services(cloud)


@pytest.fixture
def name(api: Services) -> Iterator[str]:
    made = f"s{uuid.uuid4().hex[:10]}"
    yield made
    if not api.gone(made):
        api("DELETE", f"/{made}")


def test_a_service_runs_and_answers_at_its_route(api: Services, name: str) -> None:
    made = api.create(name, Route=f"/{name}/*", Environment={"VERSION": "7"})
    assert made["Status"] in ("STARTING", "RUNNING")
    told = api.running(name)
    assert told["HealthyCopies"] == 1 and told["CopyStates"][0]["State"] == "HEALTHY"
    status, answer = api.answered(f"/_service/{name}/a/b?c=d")
    assert (status, answer["path"], answer["version"]) == (200, "/a/b?c=d", "7")
    status, answer = api.answered("/x", host=f"{name}.service.localhost:{api.cloud.port}")
    assert (status, answer["path"]) == (200, "/x")
    status, answer = api.answered(f"/{name}/y", port=api.cloud.edge_port)
    assert (status, answer["path"]) == (200, f"/{name}/y")
    api("DELETE", f"/{name}")
    assert api.gone(name)
    assert api.ask(f"/_service/{name}/")[0] == 404


ECHO = """
import os, socketserver
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
Server(("127.0.0.1", int(os.environ["PORT"])), Echo).serve_forever()
"""
STREAMS = """
import http.server, os, threading
GO = threading.Event()  # what is answered goes on when somebody asks for /go
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for n in range(4):
            self.wfile.write(b"6\\r\\ntick %d\\r\\n" % n)
            self.wfile.flush()
            GO.set() if self.path == "/go" else GO.wait(60)
        self.wfile.write(b"0\\r\\n\\r\\n")
    def do_PUT(self):
        left, seen = int(self.headers["content-length"]), 0
        while seen < left:
            seen += len(self.rfile.read(min(65536, left - seen)))
        data = str(seen).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
WHO = """
import http.server, json, os
import boto3
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            told = boto3.client("sts").get_caller_identity()["Arn"]
        except Exception as e:
            told = repr(e)
        data = json.dumps({"arn": told}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def received(s: socket.socket, size: int) -> bytes:
    """``size`` bytes, in however many pieces they come; fewer where the other side ends."""
    got = bytearray()
    while len(got) < size and (piece := s.recv(size - len(got))):
        got += piece
    return bytes(got)


def test_a_service_has_a_port_of_its_own(api: Services, name: str) -> None:
    port = free_port()
    api.create(name, ECHO, TcpPort=port, Copies=2)
    told = api.running(name)
    assert told["Endpoints"]["Tcp"] == f"127.0.0.1:{port}"
    api.until(name, lambda _: not refuses(port))
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port), 5) as s:
            s.sendall(b"hello\n")
            assert received(s, 6) == b"HELLO\n"
    with pytest.raises(Refused, match="another service's"):
        api.create(f"{name}x", ECHO, TcpPort=port)
    with pytest.raises(Refused, match="the cloud itself"):
        api.create(f"{name}x", ECHO, TcpPort=api.cloud.port)
    api("PUT", f"/{name}", {"Reset": ["TcpPort"]})
    api.until(name, lambda s: "Tcp" not in s["Endpoints"] and refuses(port))


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return True
    return False


def read_until(s: socket.socket, end: bytes) -> bytes:
    data = b""
    while end not in data:
        piece = s.recv(65536)
        assert piece, data
        data += piece
    return data


def test_bodies_stream_both_ways(api: Services, name: str) -> None:
    api.create(name, STREAMS, Route=f"/{name}")
    api.running(name)
    assert api.answered(f"/_service/{name}/", "PUT", b"x") == (200, 1)
    with socket.create_connection(("127.0.0.1", api.cloud.port), 60) as s:
        s.sendall(f"GET /_service/{name}/ HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        data = read_until(s, b"tick 0")  # and the rest is not written yet
        assert b"tick 1" not in data
        assert api.ask(f"/_service/{name}/go")[0] == 200
        data += read_until(s, b"0\r\n\r\n")
        assert data.count(b"tick") == 4
    size = 24 * 1024 * 1024
    assert api.ask(f"/_service/{name}/", "PUT", b"x" * size) == (200, size)


def test_a_role_and_its_permissions(api: Services, name: str) -> None:
    iam = api.cloud.client("iam")
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "ecs-tasks.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    api.create(name, WHO, Role=role["Arn"], Route=f"/{name}/*")
    api.running(name)
    assert api.answered(f"/_service/{name}/")[1]["arn"].endswith(f"assumed-role/{name}/{name}")
    iam.create_role(
        RoleName=f"{name}-other",
        AssumeRolePolicyDocument=json.dumps(trust).replace("ecs-tasks", "ec2"),
    )
    with pytest.raises(Refused, match="cannot be assumed"):
        api("PUT", f"/{name}", {"Role": f"{role['Arn']}-other"})


def test_callers_need_permission(api: Services, name: str) -> None:
    iam = api.cloud.client("iam")
    iam.create_user(UserName=name)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    theirs = Services(api.cloud, Credentials(made["AccessKeyId"], made["SecretAccessKey"]))
    with pytest.raises(Refused, match="pileus:CreateService"):
        theirs.create(name)
    account = api.create(name)["ServiceArn"].split(":")[4]
    allowed = {
        "Effect": "Allow",
        "Action": ["pileus:DescribeServices", "pileus:UpdateService"],
        "Resource": f"arn:aws:pileus:*:{account}:service/{name}",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy)
    assert theirs.describe(name)["Name"] == name
    with pytest.raises(Refused, match="iam:PassRole"):
        theirs("PUT", f"/{name}", {"Role": f"arn:aws:iam::{account}:role/any"})
    with pytest.raises(Refused, match="pileus:DeleteService"):
        theirs("DELETE", f"/{name}")
    wrong = Services(api.cloud, Credentials(made["AccessKeyId"], "wrong"))
    with pytest.raises(Refused) as refused:
        wrong("GET")
    assert refused.value.status == 403


def test_what_it_prints_is_in_its_log_group(api: Services, name: str) -> None:
    api.create(name, {"main.sh": "echo one; echo two >&2; sleep 600"}, Port=0,
               Command=["sh", "main.sh"])  # fmt: skip
    assert api.running(name)["Endpoints"] == {}
    logs, deadline, lines = api.cloud.client("logs"), time.monotonic() + 80, set[str]()
    while lines != {"one", "two"} and time.monotonic() < deadline:
        time.sleep(0.1)
        with contextlib.suppress(logs.exceptions.ResourceNotFoundException):
            found = logs.filter_log_events(logGroupName=f"/pileus/service/{name}")["events"]
            lines = {event["message"].strip() for event in found}
    assert lines == {"one", "two"}
    group = pileus("logs", f"/pileus/service/{name}", "--home", str(api.cloud.home))
    assert "two" in group.stdout
    listed = pileus("services", "--home", str(api.cloud.home))
    assert f"{name}-0-" in listed.stdout and "RUNNING" in listed.stdout
    told = json.loads(pileus("services", "--home", str(api.cloud.home), "--json").stdout)
    assert name in {s["Name"] for s in told}


def test_one_that_ends_is_started_again_ever_more_slowly(api: Services, name: str) -> None:
    api.create(name, {"main.sh": "exit 3"}, Port=8080, Command=["/bin/sh", "main.sh"],
               Route=f"/{name}")  # fmt: skip
    told = api.until(name, lambda s: s["Status"] == "FAILING" and len(s["LastExits"]) >= 3)
    assert told["StatusReason"] == "exit status 3" and told["HealthyCopies"] == 0
    status, body = api.ask(f"/_service/{name}/")
    assert status == 503 and name in body
    before = len(told["LastExits"])
    assert before <= 5
    api("PUT", f"/{name}", {"Command": ["no-such-program"]})
    told = api.until(name, lambda s: "127" in s.get("StatusReason", ""))
    api("POST", f"/{name}/stop")
    assert api.until(name, lambda s: s["Status"] == "STOPPED")["CopyStates"] == []


def test_one_that_takes_too_much_memory_is_replaced(api: Services, name: str) -> None:
    hog = "import time; time.sleep(1.5); x = bytearray(200 << 20); time.sleep(60)"
    api.create(name, hog, Memory=64, Port=0)
    told = api.until(name, lambda s: s["LastExits"])
    assert "memory" in told["LastExits"][0]["Reason"], told["LastExits"]


def test_stop_start_restart_and_scale(api: Services, name: str) -> None:
    api.create(name, Copies=2)
    first = {c["Id"] for c in api.running(name)["CopyStates"]}
    api("POST", f"/{name}/restart")
    told = api.until(
        name,
        lambda s: not first & {c["Id"] for c in s["CopyStates"]} and s["HealthyCopies"] == 2
        and s["Deployment"]["State"] == "COMPLETED",
    )  # fmt: skip
    second = {c["Id"] for c in told["CopyStates"]}
    assert len(second) == 2 and not told["LastExits"]
    api("PUT", f"/{name}", {"Copies": 3})
    told = api.until(name, lambda s: s["HealthyCopies"] == 3)
    assert second < {c["Id"] for c in told["CopyStates"]}  # those that ran go on
    api("PUT", f"/{name}", {"Copies": 1})
    api.until(name, lambda s: len(s["CopyStates"]) == 1 and s["Status"] == "RUNNING")
    api("POST", f"/{name}/stop")
    api.until(name, lambda s: s["Status"] == "STOPPED")
    api("POST", f"/{name}/start")
    api.running(name)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"Name": "No_Name"}, "lower-case"),
        ({"Command": "python3 app.py"}, "list of strings"),
        ({"Command": []}, "list of strings"),
        ({"Comand": ["x"]}, "no parameter Comand"),
        ({"Port": 80}, "1024"),
        ({"Port": 3128}, "none of"),
        ({"Copies": -1}, "Copies lies between"),
        ({"Copies": 1.5}, "Copies lies between"),
        ({"Memory": "many"}, "Memory is a number"),
        ({"Environment": {"A-B": "x"}}, "name of a variable"),
        ({"Environment": {"A": "x" * 20_000}}, "larger than"),
        ({"HealthCheck": {"Path": "no-slash"}}, "starts with /"),
        ({"HealthCheck": {"Path": "/a b\r\nx: y"}}, "control characters"),
        ({"HealthCheck": {"Url": "/"}}, "HealthCheck has"),
        ({"Route": "/"}, "no path such as"),
        ({"Route": "/_pileus/*"}, "no path such as"),
        ({"Route": "/admin/*"}, "the cloud itself"),
        ({"Route": "/a/../b"}, "no path such as"),
        ({"Role": "me"}, "role's ARN"),
        ({"Runtime": "cobol"}, "Runtime is"),
        ({"Code": {}}, "Code has"),
        ({"Code": {"ZipFile": "bm8gemlw"}}, "unzip"),
        ({"Code": {"ZipFile": "!"}}, "base64"),
        ({"Code": {"S3Bucket": "no-such-bucket-here", "S3Key": "k"}}, "NoSuchBucket"),
        ({"Port": 0, "Route": "/x"}, "without a Port"),
    ],
)
def test_wrong_wishes_are_refused(api: Services, wrong: dict[str, Any], text: str) -> None:
    wish = {"Name": "never", "Code": {"ZipFile": zipped({"a": "b"})}, "Command": ["x"]}
    with pytest.raises(Refused, match=text) as refused:
        api("POST", "", wish | wrong)
    assert refused.value.status == 400
    assert api.gone("never")


def test_names_and_methods(api: Services, name: str) -> None:
    api.create(name, Copies=0)
    assert api.describe(name)["Status"] == "STOPPED"
    with pytest.raises(Refused) as twice:
        api.create(name)
    assert (twice.value.status, twice.value.code) == (409, "ServiceAlreadyExistsException")
    with pytest.raises(Refused) as missing:
        api("DELETE", "/not-there")
    assert (missing.value.status, missing.value.code) == (404, "ServiceNotFoundException")
    with pytest.raises(Refused) as method:
        api("PATCH", f"/{name}")
    assert method.value.status == 405
    assert [s["Name"] for s in api("GET", f"?Names={name}")["Services"]] == [name]
    assert api("GET", "?MaxResults=1")["Services"]


SOCKETS = """
import base64, hashlib, os, socketserver
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        line, key, upgrade = self.rfile.readline(), b"", False
        while (header := self.rfile.readline()) not in (b"\\r\\n", b""):
            name, _, value = header.partition(b":")
            key = value.strip() if name.lower() == b"sec-websocket-key" else key
            upgrade = upgrade or (name.lower() == b"upgrade" and value.strip() == b"websocket")
        if not upgrade:
            self.wfile.write(b"HTTP/1.1 426 Upgrade Required\\r\\nContent-Length: 2\\r\\n\\r\\nno")
            return
        magic = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key + magic).digest())
        self.wfile.write(b"HTTP/1.1 101 Switching\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade"
                         b"\\r\\nSec-WebSocket-Accept: " + accept + b"\\r\\n\\r\\n")
        while (data := self.request.recv(65536)):
            self.wfile.write(data.upper())
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_websockets_pass_through(api: Services, name: str) -> None:
    api.create(name, SOCKETS, Route=f"/{name}/*")
    api.running(name)
    ask = "GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    ask += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    for port, path in ((api.cloud.port, f"/_service/{name}/"), (api.cloud.edge_port, f"/{name}/")):
        with socket.create_connection(("127.0.0.1", port), 60) as s:
            s.sendall(ask.format(path).encode())
            head = b""
            while b"\r\n\r\n" not in head:
                head += s.recv(4096)
            assert head.startswith(b"HTTP/1.1 101") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
            for n in range(3):
                s.sendall(b"hello %d" % n)
                assert received(s, 7) == b"HELLO %d" % n  # in however many pieces it came
                time.sleep(0.2)
            big = bytes(range(256)) * 2048
            s.sendall(big)
            assert received(s, len(big)) == big.upper()
        assert api.ask(f"/_service/{name}/") == (426, "no")


def test_a_directory_is_deployed(api: Services, name: str, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text(HELLO)
    properties = {"Name": name, "Code": "./code", "Command": ["python3", "app.py"]}
    properties |= {"Route": f"/{name}/*", "Copies": "1", "Runtime": "python3.12"}
    resources = {"Web": {"Type": "Pileus::Service", "Properties": properties}}
    (tmp_path / "template.json").write_text(json.dumps({"Resources": resources}))
    home = ("--home", str(api.cloud.home))
    done = pileus("deploy", str(tmp_path), "--stack", name, *home)
    assert done.returncode == 0, done.stderr
    address = f"{api.cloud.edge}/{name}/"
    assert address in done.stdout
    assert api.answered(f"/{name}/", port=api.cloud.edge_port)[0] == 200
    first = api.describe(name)["CopyStates"][0]["Id"]
    assert name in pileus("services", "restart", name, *home).stdout
    api.until(name, lambda s: first not in {c["Id"] for c in s["CopyStates"]})
    assert pileus("services", "stop", "not-there", *home).returncode == 1
    api("POST", f"/{name}/stop")
    api.until(name, lambda s: s["Status"] == "STOPPED")
    resources["Web"]["Properties"]["Environment"] = {"VERSION": "2"}
    (tmp_path / "template.json").write_text(json.dumps({"Resources": resources}))
    done = pileus("deploy", str(tmp_path), "--stack", name, *home)  # does not wait for copies
    assert done.returncode == 0, done.stderr
    api("POST", f"/{name}/start")
    api.running(name)
    assert api.answered(f"/_service/{name}/")[1]["version"] == "2"
    api.cloud.client("cloudformation").delete_stack(StackName=name)
    deadline = time.monotonic() + 60
    while not api.gone(name):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_endless_output_slows_its_author_only(api: Services, name: str) -> None:
    api.create(name, {"main.sh": "yes 'a line like any other' & sleep 600"}, Port=0,
               Command=["sh", "main.sh"])  # fmt: skip
    api.running(name)
    logs, found = api.cloud.client("logs"), 0
    deadline = time.monotonic() + 80
    while not found and time.monotonic() < deadline:
        time.sleep(0.2)
        with contextlib.suppress(logs.exceptions.ResourceNotFoundException):
            found = len(logs.filter_log_events(logGroupName=f"/pileus/service/{name}")["events"])
    assert found
    told = api.describe(name)
    assert told["Status"] == "RUNNING" and not told["LastExits"]
