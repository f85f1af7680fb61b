"""Answers read while their functions write them. A gate orders both sides by events: functions
say where they are and wait to be let on; no test knows how long anything takes."""

from __future__ import annotations

import asyncio
import json
import sys
import textwrap
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from pileus.errors import Unavailable
from pileus.runtime.function import (
    STREAMED_BYTES_MAX,
    FunctionSpec,
    Invocation,
    InvokeOutcome,
    Throttled,
)
from pileus.runtime.streaming import ALL, WINDOW_BYTES, Outlet, StreamedAnswer
from tests.answering import Answering, listening
from tests.runtime.harness import Functions
from tests.runtime.test_lifecycle import another

NODE_HEAD = """
const {pipeline} = require('node:stream/promises');
const {Readable} = require('node:stream');
const gate = (path) => fetch(process.env.AWS_ENDPOINT_URL + path).then((answer) => answer.text());
exports.handler = awslambda.streamifyResponse(async (event, out, context) => {
"""
BOOTSTRAP = f"#!{sys.executable}\n" + textwrap.dedent("""\
    import base64, http.client, json, os
    def chunk(c, data):
        c.send(b"%x\\r\\n%b\\r\\n" % (len(data), data))
    while True:
        c = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
        c.request("GET", "/2018-06-01/runtime/invocation/next")
        r = c.getresponse()
        event, rid = json.loads(r.read()), r.headers["Lambda-Runtime-Aws-Request-Id"]
        c.putrequest("POST", f"/2018-06-01/runtime/invocation/{rid}/response")
        c.putheader("Lambda-Runtime-Function-Response-Mode", "streaming")
        c.putheader("Transfer-Encoding", "chunked")
        c.putheader("Content-Type", "text/x-own")
        c.putheader("Trailer", "Lambda-Runtime-Function-Error-Type")
        c.endheaders()
        chunk(c, b"one,")
        if event == "leave":
            c.close()
            continue
        if event == "long trailer":
            c.send(b"0\\r\\nLambda-Runtime-Function-Error-Type: ")
            try:
                while True:
                    c.send(b"x" * 65536)
            except OSError:
                continue
        chunk(c, b"two")
        c.send(b"0\\r\\n")
        if event == "fail":
            told = json.dumps({"errorType": "My.Error", "errorMessage": "amid"}).encode()
            c.send(b"Lambda-Runtime-Function-Error-Type: My.Error\\r\\n")
            c.send(b"Lambda-Runtime-Function-Error-Body: " + base64.b64encode(told) + b"\\r\\n")
        c.send(b"\\r\\n")
        assert c.getresponse().read() is not None
    """)


class Gate:
    """``/say/NAME`` is noted, ``/wait/NAME`` answered once ``open(NAME)`` was called."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._said: set[str] = set()
        self._open: set[str] = set()
        self._ended = False

    def asked(self, path: str) -> None:
        _, verb, name = path.split("/")
        with self._changed:
            if verb == "say":
                self._said.add(name)
                self._changed.notify_all()
            else:
                self._changed.wait_for(lambda: name in self._open or self._ended)

    def open(self, name: str) -> None:
        with self._changed:
            self._open.add(name)
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def said(self, name: str) -> bool:
        return name in self._said

    def hear(self, name: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: name in self._said or self._ended)

    async def heard(self, name: str) -> None:
        await asyncio.to_thread(self.hear, name)


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate()


@pytest.fixture(scope="module")
def gated(gate: Gate) -> Iterator[Functions]:
    """A runtime whose functions' endpoint is the gate."""

    class Handler(Answering):
        def do_GET(self) -> None:
            gate.asked(self.path)
            self.answer()

    with listening(Handler) as port:
        with another("--api", f"127.0.0.1:{port}") as own:
            if own.stats()["isolation"]["kind"] != "jail":
                pytest.skip(f"no jail here: {own.stats()['isolation']['reason']}")
            yield own
        gate.end()


def node(rt: Functions, body: str, **settings: Any) -> FunctionSpec:
    """A streaming handler: ``body`` has event, out (the stream), context and gate(path)."""
    if not rt.stats()["isolation"]["node"]:
        pytest.skip("no Node.js on this machine")
    values = {"runtime": "nodejs20.x", "handler": "index.handler", "memory_mb": 256}
    return rt.spec(
        {"index.js": NODE_HEAD + body + "});"}, **({**values, "timeout_s": 300} | settings)
    )


def custom(rt: Functions, **settings: Any) -> FunctionSpec:
    return rt.spec({"bootstrap": BOOTSTRAP}, runtime="provided.al2023", **settings)


async def begin(client: Any, spec: FunctionSpec, event: Any = None) -> StreamedAnswer:
    return await client.stream(spec, Invocation(json.dumps(event).encode(), str(uuid.uuid4())))


def read(rt: Functions, spec: FunctionSpec, event: Any = None) -> tuple[bytes, InvokeOutcome, str]:
    """The whole answer, its outcome and its content type."""

    async def act(client: Any) -> tuple[bytes, InvokeOutcome, str]:
        answer = await begin(client, spec, event)
        parts = [part async for part in answer]
        return b"".join(parts), await answer.outcome, answer.content_type

    return rt.call(act)


def error(outcome: InvokeOutcome) -> dict[str, Any]:
    assert outcome.function_error == "Unhandled", outcome
    return json.loads(outcome.payload)


# -- the window ----------------------------------------------------------------------------------


class SourceDouble:
    def __init__(self) -> None:
        self.told: list[str] = []

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")


def test_no_more_than_a_window_is_under_way() -> None:
    sent: list[Any] = []
    outlet, source = Outlet(sent.append, sent.append), SourceDouble()
    outlet.begin("text/plain", source)
    outlet.part(b"x" * (WINDOW_BYTES - 1))
    assert source.told == []
    outlet.part(b"yy")
    assert source.told == ["pause"] and len(sent) == 3
    outlet.taken(1)
    assert source.told == ["pause"]
    outlet.taken(1)
    assert source.told == ["pause", "resume"]
    outlet.part(b"zz")
    outlet.taken(ALL)
    assert source.told == ["pause", "resume"] * 2
    outlet.part(b"nobody reads it")
    assert sent[0] == "text/plain" and sent[-1] == b"zz"


def test_what_is_read_is_told_and_what_is_left_is_dropped() -> None:
    async def body() -> None:
        taken: list[int] = []
        outcome = asyncio.get_running_loop().create_future()
        answer = StreamedAnswer(outcome, taken.append)
        answer.begin("text/plain")
        for _ in range(5):
            answer.part(b"x" * 20_000)
        assert [len(await anext(answer)) for _ in range(4)] == [20_000] * 4
        assert taken == [40_000, 40_000]
        await answer.aclose()
        answer.part(b"late")
        assert taken[-1] == ALL and [part async for part in answer] == []

    asyncio.run(body())


# -- Node.js -------------------------------------------------------------------------------------


def test_a_part_is_read_before_the_function_ends(gated: Functions, gate: Gate) -> None:
    spec = node(gated, "out.write('a'); await gate('/wait/b'); out.write('b'); out.end();")

    async def act(client: Any) -> None:
        answer = await begin(client, spec)
        await answer.begun()
        assert await anext(answer) == b"a" and not answer.outcome.done()
        gate.open("b")
        assert [part async for part in answer] == [b"b"]
        outcome = await answer.outcome
        assert (outcome.payload, outcome.function_error, outcome.streamed_bytes) == (b"", "", 2)
        assert answer.content_type == "application/octet-stream"
        assert any(line.startswith("REPORT") for _, line in outcome.log)

    gated.call(act)
    assert read(gated, spec)[0] == b"ab"  # the worker serves on


def test_content_type_and_metadata(gated: Functions) -> None:
    spec = node(
        gated,
        "if (event.type) { out.setContentType(event.type); }"
        " else { out = awslambda.HttpResponseStream.from(out, {statusCode: 201}); }"
        " if (event.some) out.write({own: 1}); out.end();",
    )
    assert read(gated, spec, {"type": "text/x", "some": 1})[::2] == (b'{"own":1}', "text/x")
    kind = "application/vnd.awslambda.http-integration-response"
    assert read(gated, spec, {})[::2] == (b'{"statusCode":201}' + bytes(8), kind)


def test_pipeline_and_a_buffered_invocation(gated: Functions) -> None:
    body = "await pipeline(Readable.from(Array(40).fill(Buffer.alloc(65536, 'x'))), out);"
    spec = node(gated, body)
    assert read(gated, spec)[0] == b"x" * 40 * 65536
    assert gated.run(spec).payload == b"x" * 40 * 65536


def test_a_function_whose_reader_is_slow_waits(gated: Functions, gate: Gate) -> None:
    """It writes until a write is not taken, and says so; only then anything is read."""
    spec = node(
        gated,
        """
        const {once} = require('node:events');
        const part = Buffer.alloc(65536, 'x');
        for (let i = 0; i < 512; i++) {
          if (out.write(part)) continue;
          const late = setTimeout(() => gate('/say/stalled'), 500);
          await once(out, 'drain');
          clearTimeout(late);
        }
        out.end();
        """,
    )

    async def act(client: Any) -> None:
        answer = await begin(client, spec)
        heard = asyncio.ensure_future(gate.heard("stalled"))
        try:
            await asyncio.wait({heard, answer.outcome}, return_when=asyncio.FIRST_COMPLETED)
            assert heard.done() and not answer.outcome.done()
        finally:
            gate.asked("/say/stalled")  # a test that fails here ends here
        held = sum(map(len, answer._parts))  # a window, and what one read may bring beyond it
        assert WINDOW_BYTES <= held <= 2 * WINDOW_BYTES
        assert sum([len(part) async for part in answer]) == 512 * 65536
        assert not (await answer.outcome).function_error

    gated.call(act)


def test_a_function_whose_reader_left_goes_on(gated: Functions, gate: Gate) -> None:
    spec = node(
        gated,
        "out.write('a'); await gate('/wait/left');"
        " await pipeline(Readable.from(Array(64).fill(Buffer.alloc(65536))), out, {end: false});"
        " await gate('/say/went-on'); out.end();",
    )

    async def act(client: Any) -> None:
        answer = await begin(client, spec)
        assert await anext(answer) == b"a"
        await answer.aclose()
        gate.open("left")
        outcome = await answer.outcome
        assert gate.said("went-on") and not outcome.function_error
        assert outcome.streamed_bytes == 64 * 65536 + 1
        assert [part async for part in answer] == []

    gated.call(act)


def test_the_front_process_that_asked_is_lost(gated: Functions, gate: Gate) -> None:
    spec = node(
        gated,
        "out.write('a'); await gate('/wait/lost');"
        " await pipeline(Readable.from(Array(64).fill(Buffer.alloc(65536))), out);"
        " await gate('/say/alone');",
    )

    async def act(client: Any) -> None:
        assert await anext(await begin(client, spec)) == b"a"

    gated.call(act)  # its connection is closed then
    gate.open("lost")
    asyncio.run(asyncio.wait_for(gate.heard("alone"), 120))


def test_errors_before_and_amid_the_answer(gated: Functions) -> None:
    spec = node(
        gated,
        """
        if (event.begun) out.write('a');
        if (event.how === 'exit') process.exit(3);
        if (event.how === 'timer') {
          setTimeout(() => { throw new RangeError('later') }, 1);
          await new Promise(() => setTimeout(() => {}, 100000));
        }
        if (event.how === 'source') {
          const source = async function* () { yield 'b'; throw new SyntaxError('spoilt') };
          await pipeline(source, out).catch(() => {});
          return;
        }
        if (event.how === 'throw') throw new TypeError('nö');
        """,
    )
    for how, kind, message in [
        ("throw", "TypeError", "nö"),
        ("timer", "RangeError", "later"),
        ("source", "SyntaxError", "spoilt"),
        ("exit", "Runtime.ExitError", "exit status 3"),
    ]:
        for begun in (True, False):
            data, outcome, _ = read(gated, spec, {"how": how, "begun": begun})
            told = error(outcome)
            assert told["errorType"] == kind and message in told["errorMessage"]
            sent = b"ab" if how == "source" else b"a"
            if how != "exit":  # what it wrote at once may be lost with it
                assert data == (sent if begun else sent[1:])
    assert read(gated, spec, {"how": "", "begun": False})[1].function_error == ""  # never ended


def test_a_handler_that_is_not_async(gated: Functions) -> None:
    files: dict[str, str | bytes] = {
        "index.js": "exports.handler = awslambda.streamifyResponse((event, out) => 1)"
    }
    spec = gated.spec(files, runtime="nodejs20.x", handler="index.handler", memory_mb=256)
    node(gated, "")
    told = error(read(gated, spec)[1])
    assert told["errorType"] == "Runtime.InvalidStreamingOperation"


def test_a_stream_without_end_meets_the_timeout(gated: Functions) -> None:
    spec = node(gated, "out.write('a'); await new Promise(() => {});", timeout_s=2)
    data, outcome, _ = read(gated, spec)
    assert data == b"a" and "Task timed out after 2.00" in error(outcome)["errorMessage"]
    assert outcome.streamed_bytes == 1


def test_no_more_than_the_limit(gated: Functions) -> None:
    spec = node(
        gated,
        "const part = Buffer.alloc(1 << 20); const all = function* () { for (;;) yield part };"
        " await pipeline(Readable.from(all()), out);",
    )

    async def act(client: Any) -> None:
        answer, size = await begin(client, spec), 0
        async for part in answer:
            size += len(part)
        outcome = await answer.outcome
        assert error(outcome)["errorType"] == "Function.ResponseSizeTooLarge"
        assert str(STREAMED_BYTES_MAX) in error(outcome)["errorMessage"]
        assert STREAMED_BYTES_MAX - (1 << 20) < size == outcome.streamed_bytes <= STREAMED_BYTES_MAX

    gated.call(act)
    told = error(gated.run(spec))  # nobody reads it while it is written: 6 MB
    assert told["errorType"] == "Function.ResponseSizeTooLarge"


# -- others --------------------------------------------------------------------------------------


def test_a_buffered_answer_is_one_part(gated: Functions) -> None:
    spec = gated.spec(
        "def handler(e, c):\n    if e == 'no': raise KeyError(e)\n    return 'x' * 300000"
    )

    async def act(client: Any) -> None:
        answer = await begin(client, spec)
        assert [part async for part in answer] == [b'"' + b"x" * 300_000 + b'"']
        assert answer.content_type == "application/json" and (await answer.outcome).payload

    gated.call(act)
    data, outcome, _ = read(gated, spec, "no")
    assert data == b"" and error(outcome)["errorType"] == "KeyError"


def test_a_custom_runtime_streams_and_fails_amid(gated: Functions) -> None:
    spec = custom(gated)
    data, outcome, kind = read(gated, spec)
    assert (data, kind, outcome.function_error) == (b"one,two", "text/x-own", "")
    data, outcome, _ = read(gated, spec, "fail")
    assert data == b"one,two"
    assert error(outcome) == {"errorType": "My.Error", "errorMessage": "amid"}
    data, outcome, _ = read(gated, spec, "leave")
    assert data == b"one," and error(outcome)["errorType"] == "Runtime.TruncatedResponse"
    data, outcome, _ = read(gated, spec, "long trailer")
    assert data == b"one," and error(outcome)["errorType"] == "Runtime.TruncatedResponse"
    assert gated.run(spec).payload == b"one,two"  # buffered, by the same worker or another
    assert error(gated.run(spec, "fail"))["errorType"] == "My.Error"


def test_refusals_come_before_anything_is_read(gated: Functions) -> None:
    spec = gated.spec("def handler(e, c): return 1", concurrency_max=0, reserved=True)

    async def act(client: Any) -> None:
        answer = await begin(client, spec)
        with pytest.raises(Throttled):
            await answer.begun()
        with pytest.raises(Throttled):
            await anext(answer)

    gated.call(act)


def test_the_runtime_is_lost_amid_an_answer() -> None:
    with another() as own:
        if own.stats()["isolation"]["kind"] != "jail":
            pytest.skip("no jail here")
        spec = node(own, "out.write('a'); await new Promise(() => setTimeout(() => {}, 1e6));")

        async def act(client: Any) -> None:
            answer = await begin(client, spec)
            assert await anext(answer) == b"a"
            own.process.kill()
            with pytest.raises(Unavailable, match="it may have run"):
                await anext(answer)
            await answer.aclose()

        own.call(act)
        own.process.wait()
