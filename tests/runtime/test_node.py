"""Node.js functions through our client of the Runtime API."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.answering import Answering, listening
from tests.runtime.harness import SOURCE, Functions
from tests.runtime.test_lifecycle import another, wait_until


@pytest.fixture(autouse=True)
def _node(rt: Functions) -> None:
    if not rt.stats()["isolation"]["node"]:
        pytest.skip("no Node.js on this machine")


def node(rt: Functions, files: dict[str, str | bytes], **settings: object) -> object:
    values = {"runtime": "nodejs20.x", "handler": "index.handler", "memory_mb": 256}
    return rt.spec(files, **(values | settings))


def test_async_handler(rt: Functions) -> None:
    spec = node(rt, {"index.js": (
        "let n = 0; exports.handler = async (event, context) => {"
        " console.log('seen\\nboth'); n += 1;"
        " return {event, n, name: context.functionName, left: context.getRemainingTimeInMillis()} }"
    )})  # fmt: skip
    outcome = rt.run(spec, {"a": "ü"}, request_id="rid")
    answer = json.loads(outcome.payload)
    assert answer["event"] == {"a": "ü"} and answer["n"] == 1 and 0 < answer["left"] <= 30000
    assert any("\trid\tINFO\tseen" in line for _, line in outcome.log)
    wait_until(lambda: rt.stats()["functions"][spec.arn]["idle"] == 1)  # it asked for more
    assert json.loads(rt.run(spec, {}).payload)["n"] == 2


def test_module_and_callback(rt: Functions) -> None:
    module = node(rt, {
        "src/main.mjs": "import {v} from './v.mjs'; export const go = async () => v",
        "src/v.mjs": "export const v = 7",
    }, handler="src/main.go")  # fmt: skip
    assert rt.answer(module) == 7
    callback = node(rt, {
        "index.js": "exports.handler = (e, c, done) => setTimeout(() => done(null, e.x), 20)"
    })  # fmt: skip
    assert [rt.answer(callback, {"x": n}) for n in (1, 2)] == [1, 2]


def test_errors(rt: Functions) -> None:
    spec = node(rt, {"index.js": (
        "exports.handler = async (e) => { if (e.late) setTimeout(() => {throw new Error('l')}, 1);"
        " if (e.late) await new Promise(() => setTimeout(() => {}, 5000));"
        " throw new TypeError('nope') }"
    )})  # fmt: skip
    error = rt.error(spec, {})
    assert (error["errorType"], error["errorMessage"]) == ("TypeError", "nope")
    assert error["trace"][0] == "TypeError: nope"
    assert rt.error(spec, {"late": True})["errorMessage"] == "l"
    assert rt.error(spec, {})["errorMessage"] == "nope"  # a fresh worker serves


def test_load_errors(rt: Functions) -> None:
    missing = node(rt, {"index.js": "require('nothing-like-it')"})
    assert rt.error(missing)["errorType"] == "Runtime.ImportModuleError"
    nameless = node(rt, {"index.js": "exports.other = 1"})
    assert rt.error(nameless)["errorType"] == "Runtime.HandlerNotFound"


def test_its_own_modules_and_memory_limit(rt: Functions) -> None:
    spec = node(rt, {
        "index.js": "const m = require('thing'); exports.handler = async () => m.v",
        "node_modules/thing/index.js": "exports.v = 'own'",
    })  # fmt: skip
    assert rt.answer(spec) == "own"
    eater = node(rt, {
        "index.js": "exports.handler = async () => { const k = [];"
        " for (;;) k.push(Buffer.alloc(8 << 20, 1)) }"
    })  # fmt: skip
    assert rt.error(eater)["errorType"] == "Runtime.ExitError"


class Tables(Answering):
    def do_POST(self) -> None:
        self.asked()
        signer = self.headers["Authorization"].split("Credential=")[1].split("/")[0]
        told = {"TableNames": [signer, self.headers["X-Amz-Target"]]}
        self.answer(json.dumps(told).encode())


@pytest.fixture
def endpoint() -> Iterator[int]:
    with listening(Tables) as port:
        yield port


def test_aws_sdk_by_require_and_by_import(endpoint: int) -> None:
    """The packages are installed by `make setup` (npm ci in runtime/node)."""
    if not (SOURCE / "pileus/runtime/node/node_modules/@aws-sdk").is_dir():
        pytest.skip("the packages of runtime/node are not installed: make setup")
    names = "{DynamoDBClient, ListTablesCommand}"
    package = "@aws-sdk/client-dynamodb"
    use = "async () => (await new DynamoDBClient({}).send(new ListTablesCommand({}))).TableNames"
    files = {
        "index.js": f"const {names} = require('{package}'); exports.handler = {use}",
        "index.mjs": f"import {names} from '{package}'; export const handler = {use}",
    }
    with another("--api", f"127.0.0.1:{endpoint}") as own:
        for file, text in files.items():
            answer = own.answer(node(own, {file: text}))
            assert answer == ["AKIATEST", "DynamoDB_20120810.ListTables"]
