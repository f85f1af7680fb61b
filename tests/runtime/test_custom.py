"""``provided``: any bootstrap, and the official Python client, over the Runtime API."""

from __future__ import annotations

import importlib.util
import json
import sys
import textwrap
from pathlib import Path

import pytest

from tests.runtime.harness import Functions, make_zip

SHELL = textwrap.dedent("""\
    #!/bin/sh
    api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
    while true; do
      head=$(mktemp)
      event=$(curl -sS -D "$head" "$api/next")
      id=$(sed -n 's/^Lambda-Runtime-Aws-Request-Id: //pi' "$head" | tr -d '\\r')
      echo "handling $_HANDLER"
      curl -sS -X POST "$api/$id/response" -d "{\\"event\\": $event, \\"pwd\\": \\"$PWD\\"}"
    done
    """)

PYTHON = textwrap.dedent(f"""\
    #!{sys.executable}
    import http.client, json, os
    c = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    base = "/2018-06-01/runtime/"
    while True:
        c.request("GET", base + "invocation/next")
        r = c.getresponse()
        event, rid = json.loads(r.read()), r.headers["Lambda-Runtime-Aws-Request-Id"]
        if event == "fail":
            path, body = "/error", {{"errorType": "My.Error", "errorMessage": "as told"}}
        else:
            path, body = "/response", [event, r.headers["Lambda-Runtime-Invoked-Function-Arn"]]
        c.request("POST", base + "invocation/" + rid + path, json.dumps(body))
        assert c.getresponse().read() is not None
        c.request("POST", base + "invocation/wrong/response", "1")
        assert json.loads(c.getresponse().read())["errorType"] == "InvalidRequestID"
    """)


def test_shell_bootstrap(rt: Functions) -> None:
    if not Path("/usr/bin/curl").exists():
        pytest.skip("no curl on this machine")
    spec = rt.spec({"bootstrap": SHELL}, runtime="provided.al2023", handler="hello.there")
    outcome = rt.run(spec, {"a": 1})
    assert json.loads(outcome.payload) == {"event": {"a": 1}, "pwd": "/var/task"}
    assert "handling hello.there" in [line for _, line in outcome.log]
    assert rt.answer(spec, 2)["event"] == 2


def test_bootstrap_in_a_layer_answers_and_fails(rt: Functions) -> None:
    layer = make_zip(rt.scratch, {"bootstrap": PYTHON})
    spec = rt.spec({"readme": ""}, runtime="provided", layers=(layer,))
    assert rt.answer(spec, "x") == ["x", spec.arn]
    assert rt.error(spec, "fail") == {"errorType": "My.Error", "errorMessage": "as told"}
    assert rt.answer(spec, "y") == ["y", spec.arn]


def test_no_bootstrap(rt: Functions) -> None:
    error = rt.error(rt.spec({"x": ""}, runtime="provided"))
    assert error["errorType"] == "Runtime.InvalidEntrypoint"
    assert "/var/task/bootstrap" in error["errorMessage"]


def test_bootstrap_that_ends(rt: Functions) -> None:
    error = rt.error(rt.spec({"bootstrap": "#!/bin/sh\nexit 7\n"}, runtime="provided"))
    assert error["errorType"] == "Runtime.ExitError"
    assert "exit status 7" in error["errorMessage"]


def test_official_python_client(rt: Functions) -> None:
    if importlib.util.find_spec("awslambdaric") is None:
        pytest.skip("awslambdaric is not installed")
    files: dict[str, str | bytes] = {
        "bootstrap": f"#!/bin/sh\nexec {sys.executable} -m awslambdaric $_HANDLER\n",
        "app.py": "def handler(e, c):\n    print('printed')\n    if e == 'no': raise KeyError(e)\n"
        "    return [e, c.aws_request_id]\n",
    }
    native = Path(importlib.util.find_spec("awslambdaric").origin or "").parent.parent
    for package in ("awslambdaric", "simplejson", "snapshot_restore_py"):
        for path in (native / package).rglob("*"):
            if path.is_file() and path.suffix in (".py", ".so"):
                files[str(path.relative_to(native))] = path.read_bytes()
    for path in native.glob("runtime_client*.so"):
        files[path.name] = path.read_bytes()
    spec = rt.spec(files, runtime="provided.al2023", memory_mb=256)
    outcome = rt.run(spec, {"k": 1}, request_id="0123")
    assert json.loads(outcome.payload) == [{"k": 1}, "0123"], outcome
    assert "printed" in [line for _, line in outcome.log]
    error = rt.error(spec, "no")
    assert (error["errorType"], error["errorMessage"]) == ("KeyError", "'no'")
