"""Long-running services under load while they are killed, hung, updated and lost (C7, C2, F6)."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pileus.outages import read_services
from tests.acceptance.aws_cli import within
from tests.acceptance.test_parts_restart import parts, programs
from tests.conftest import Cloud, new_cloud_up, pileus
from tests.hostile import THROUGH_PROXY
from tests.services.longrunning.client import Services

WSGI = """
import os, time
from wsgiref.simple_server import make_server, WSGIServer, WSGIRequestHandler
from socketserver import ThreadingMixIn

if os.environ.get("BROKEN"):
    raise SystemExit("this version does not start")

class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

class Quiet(WSGIRequestHandler):
    def log_message(self, *words):
        pass

def app(environ, start_response):
    body = (os.environ["PILEUS_COPY"] + " " + os.environ["VERSION"]).encode()
    start_response("200 OK", [("content-type", "text/plain")])
    return [body]

print("serving", flush=True)
with make_server("127.0.0.1", int(os.environ["PORT"]), app, Server, Quiet) as server:
    server.serve_forever()
"""
NODE = """
const http = require("http");
const server = http.createServer((request, answer) => {
  answer.end(process.env.PILEUS_COPY + " " + process.env.VERSION);
});
server.listen(Number(process.env.PORT), "127.0.0.1");
process.on("SIGTERM", () => server.close(() => process.exit(0)));
"""
# A copy that is only slow, on a busy machine, is not to be taken for one that hangs.
HEALTH = {"Path": "/", "IntervalSeconds": 0.3, "TimeoutSeconds": 2.0, "FailuresMax": 2}
DOWN_S_MAX = 60  # a bound for such machines; how long it took is printed
TRIES = (
    THROUGH_PROXY
    + """
import glob, http.server, json, os, socket, urllib.request

def attempt(name, act):
    try:
        return [name, "got " + repr(act())[:200]]
    except BaseException as e:
        return [name, "refused " + type(e).__name__]

def connect(host, port):
    with socket.create_connection((host, port), 2) as s:
        return "connected"

def neighbour(name):
    handler = urllib.request.ProxyHandler({"http": "http://127.0.0.1:3128"})
    opener = urllib.request.build_opener(handler)
    return opener.open(f"http://{name}.service.internal/", timeout=3).read()

def tries():
    home = os.environ["CLOUD_HOME"]
    yield attempt("store", lambda: open(home + "/state.db", "rb").read(4))
    yield attempt("home", lambda: os.listdir(home))
    yield attempt("code", lambda: os.listdir("/mnt/code")[0])
    yield attempt("processes", lambda: [p for p in os.listdir("/proc") if p.isdigit()][3])
    yield attempt("write", lambda: open("/var/task/x", "w"))
    yield attempt("edge", lambda: connect("127.0.0.1", int(os.environ["EDGE_PORT"])))
    yield attempt("proxy to edge", lambda: through_proxy("127.0.0.1:" + os.environ["EDGE_PORT"]))
    yield attempt("metadata", lambda: through_proxy("169.254.169.254:80"))
    yield attempt("mount", lambda: os.setuid(0))
    yield attempt("api", lambda: connect("127.0.0.1", 4566))
    yield attempt("neighbour", lambda: neighbour(os.environ["NEIGHBOUR"]))
    yield attempt("stranger", lambda: neighbour("nobody"))

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        data = json.dumps(dict(tries()) if self.path == "/tries" else {}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
)


@pytest.fixture(scope="module")
def home_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with new_cloud_up(home=tmp_path_factory.mktemp("services") / "home") as made:
        yield made


class Load:
    """GETs without a pause from several threads at the edge; every answer is counted."""

    def __init__(self, api: Services, paths: list[str]) -> None:
        self.answers: Counter[str] = Counter()
        self.failed: list[Any] = []
        self.slowest_s = 0.0
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(api, path)) for path in paths for _ in "ab"
        ]

    def _run(self, api: Services, path: str) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                status, body = api.ask(path, port=api.cloud.edge_port)
            except OSError as e:
                status, body = 0, repr(e)
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            if status == 200:
                self.answers[body] += 1
            else:
                self.failed.append((path, status, body, time.monotonic()))
            time.sleep(0.005)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def process_of(copy: str) -> int:
    """The host's id of a copy's program, as the operator's tools would find it."""
    wanted = f"PILEUS_COPY={copy}".encode()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                return int(entry.name)
    raise AssertionError(f"no process of {copy}")


def template(broken: bool) -> str:
    resources = {}
    for name, command in (("web", ["python3", "app.py"]), ("node", ["node", "app.js"])):
        resources[name] = {
            "Type": "Pileus::Service",
            "Properties": {
                "Name": name,
                "Code": {"S3Bucket": "services-code", "S3Key": f"{name}.zip"},
                "Command": command,
                "Runtime": "nodejs" if name == "node" else "python",
                "Copies": 2,
                "Memory": 128,
                "Environment": {"VERSION": "2" if broken else "1"}
                | ({"BROKEN": "yes"} if broken and name == "web" else {}),
                "HealthCheck": HEALTH | {"GraceSeconds": 60},
                "Route": f"/{name}/*",
                "LongestDowntimeSeconds": DOWN_S_MAX,
            },
        }
    outputs = {"Web": {"Value": {"Fn::GetAtt": ["web", "EdgeEndpoint"]}}}
    return json.dumps({"Resources": resources, "Outputs": outputs})


def put_code(cloud: Cloud) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="services-code")
    for name, file, text in (("web", "app.py", WSGI), ("node", "app.js", NODE)):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(file, text)
        s3.put_object(Bucket="services-code", Key=f"{name}.zip", Body=buffer.getvalue())


def settled(cfn: Any) -> str:
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        stack = cfn.describe_stacks(StackName="services")["Stacks"][0]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            return str(stack["StackStatus"])
        time.sleep(0.1)
    raise AssertionError("the stack does not settle")


def test_services_survive(home_cloud: Cloud) -> None:
    cloud, api = home_cloud, Services(home_cloud)
    cfn = cloud.client("cloudformation")
    put_code(cloud)
    cfn.create_stack(StackName="services", TemplateBody=template(broken=False))
    assert settled(cfn) == "CREATE_COMPLETE"
    outputs = cfn.describe_stacks(StackName="services")["Stacks"][0]["Outputs"]
    assert outputs[0]["OutputValue"] == f"{cloud.edge}/web/"

    first = ids(api, "web") | ids(api, "node")
    with Load(api, ["/web/", "/node/"]) as load:
        for name in ("web", "node"):
            kill_one(api, name)
        hang_one(api, "web")
        came = (ids(api, "web") | ids(api, "node")) - first
        assert len(came) >= 2
        within(20, lambda: came <= {told.partition(" ")[0] for told in list(load.answers)})
    print(f"killed, hung: {load.answers.total()} answers, slowest {load.slowest_s:.2f} s")
    assert not load.failed, load.failed[:5]

    with Load(api, ["/web/"]) as load:
        cfn.update_stack(StackName="services", TemplateBody=template(broken=True))
        assert settled(cfn) == "UPDATE_ROLLBACK_COMPLETE"
    print(f"update put back: {load.answers.total()} answers, slowest {load.slowest_s:.2f} s")
    assert not load.failed, load.failed[:5]
    assert {body.rpartition(" ")[2] for body in load.answers} == {"1"}
    told = api.describe("web")
    assert told["Deployment"]["State"] == "ROLLED_BACK" and told["HealthyCopies"] == 2
    api.until("node", lambda s: s["Status"] == "RUNNING")
    assert api.ask("/node/", port=cloud.edge_port)[1].endswith(" 1")

    lose_the_runtime(cloud, api)
    cfn.delete_stack(StackName="services")
    deadline = time.monotonic() + 80
    while api("GET")["Services"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert api.ask("/web/", port=cloud.edge_port)[0] == 404


def ids(api: Services, name: str) -> set[str]:
    return {c["Id"] for c in api.running(name)["CopyStates"]}


def kill_one(api: Services, name: str) -> None:
    before = {c["Id"] for c in api.running(name)["CopyStates"]}
    lost = min(before)
    os.kill(process_of(lost), signal.SIGKILL)
    api.until(name, lambda s: lost not in {c["Id"] for c in s["CopyStates"]})
    told = api.running(name)
    assert {c["Id"] for c in told["CopyStates"]} & before
    assert told["LastExits"][0]["Reason"] == "signal SIGKILL"


def hang_one(api: Services, name: str) -> None:
    lost = api.running(name)["CopyStates"][0]["Id"]
    os.kill(process_of(lost), signal.SIGSTOP)
    api.until(name, lambda s: lost not in {c["Id"] for c in s["CopyStates"]})
    told = api.running(name)
    assert "health check failed 2 times" in told["LastExits"][0]["Reason"]


def lose_the_runtime(cloud: Cloud, api: Services) -> None:
    before = {c["Id"] for c in api.running("web")["CopyStates"]}
    os.kill(programs(cloud)["runtime"], signal.SIGKILL)
    api.until("web", lambda s: not before & {c["Id"] for c in s["CopyStates"]})
    for name in ("web", "node"):
        told = api.until(name, lambda s: s["Status"] == "RUNNING" and s["Downtime"]["Incidents"])
        incident = told["Downtime"]["Incidents"][0]
        print(f"runtime lost: {name} was away for {incident['Seconds']} s")
        assert 0.05 < incident["Seconds"] < DOWN_S_MAX and not incident["Over"]
        assert api.ask(f"/{name}/", port=cloud.edge_port)[0] == 200
    told = json.loads(pileus("status", "--home", str(cloud.home), "--json").stdout)["downtime"]
    away = {each["name"]: each for each in told}
    assert {"front-0", "front-1", "runtime", "caddy", "web", "node"} <= set(away)
    assert away["web"]["longest_allowed_s"] == DOWN_S_MAX and away["web"]["incidents"]
    within(20, lambda: runtime_away(cloud) is not None)
    print(f"runtime itself: {runtime_away(cloud)} s")


def runtime_away(cloud: Cloud) -> float | None:
    told = json.loads(pileus("status", "--home", str(cloud.home), "--json").stdout)["downtime"]
    found = next(each for each in told if each["name"] == "runtime")
    return found["incidents"][0]["seconds"] if found["incidents"] else None


def test_all_that_is_wished_runs_again_after_the_loss_of_everything(home_cloud: Cloud) -> None:
    api = Services(home_cloud)
    api.create("again", Copies=2, Route="/again/*", LongestDowntimeSeconds=300)
    api.create("stopped")
    api.running("again")
    api.running("stopped")
    api("POST", "/stopped/stop")
    before = {c["Id"] for c in api.running("again")["CopyStates"]}
    diary = lambda: read_services(home_cloud.home).get("again", {}).get("up")  # noqa: E731
    within(20, diary)
    supervisor, pids = home_cloud.told["pid"], list(parts(home_cloud).values())
    os.kill(supervisor, signal.SIGSTOP)  # its death would end the others in order
    for pid in [*pids, supervisor]:
        os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    home_cloud.up()
    api = Services(home_cloud)
    told = api.until("again", lambda s: s["HealthyCopies"] == 2)
    print(f"everything lost: both copies again after {time.monotonic() - began:.1f} s")
    assert not before & {c["Id"] for c in told["CopyStates"]}
    told = api.until("again", lambda s: s["Downtime"]["Incidents"])
    assert 0.3 < told["Downtime"]["Incidents"][0]["Seconds"] < 300
    assert api.describe("stopped")["Status"] == "STOPPED"
    for name in ("again", "stopped"):
        api("DELETE", f"/{name}")


def test_a_service_is_confined(home_cloud: Cloud) -> None:
    api = Services(home_cloud)
    api.create("neighbour")
    told = {"CLOUD_HOME": str(home_cloud.home), "NEIGHBOUR": "neighbour"}
    told["EDGE_PORT"] = str(home_cloud.edge_port)
    api.create("prober", TRIES, Route="/prober/*", Environment=told)
    api.running("neighbour")
    api.running("prober")
    status, found = api.ask("/_service/prober/tries")
    assert status == 200
    assert found.pop("api") == "got 'connected'"
    assert found.pop("neighbour").startswith("got b")
    assert all(v.startswith("refused") for v in found.values()), found
    for name in ("neighbour", "prober"):
        api("DELETE", f"/{name}")
