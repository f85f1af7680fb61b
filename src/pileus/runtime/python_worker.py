"""Runs a Python function inside its worker: import the handler, then one event after another.

Standard library only: whatever this module imports is visible to the function. Context object,
error objects and log formats are those of AWS's ``awslambdaric`` 4 (Apache-2.0), which is also the
reference in the tests. Spoken with the runtime: frames (see ``frames``) on one socket.
"""

from __future__ import annotations

import decimal
import importlib
import importlib.util
import io
import json
import logging
import os
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

from pileus.runtime import python_context
from pileus.runtime.python_context import Fault, LambdaContext

HEAD = struct.Struct("<IB")
LENGTH = struct.Struct("<H")
SPECIALISE, INVOKE = 1, 2
READY, INIT_ERROR, ANSWER, ERROR = range(1, 5)
LOG_FRAME = b"\xa5\x5a\x00\x03"
PRELOADED = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six")
THIS_FILE = __file__

Handler = Callable[[Any, LambdaContext], Any]


class Channel:
    """The socket to the runtime, blocking."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._buffer = b""

    def receive(self) -> tuple[int, bytes]:
        """The next frame; ``EOFError`` when the runtime is gone."""
        while True:
            if len(self._buffer) >= HEAD.size:
                size, kind = HEAD.unpack_from(self._buffer)
                end = HEAD.size + size
                if len(self._buffer) < end:
                    self._fill(end)
                body, self._buffer = self._buffer[HEAD.size : end], self._buffer[end:]
                return kind, body
            self._fill(HEAD.size)

    def _fill(self, size: int) -> None:
        parts, have = [self._buffer], len(self._buffer)
        while have < size:
            part = self._socket.recv(max(65536, size - have))
            if not part:
                raise EOFError
            parts.append(part)
            have += len(part)
        self._buffer = b"".join(parts)

    def send(self, kind: int, body: bytes) -> None:
        self._socket.sendall(HEAD.pack(len(body), kind) + body)


class LogPipe:
    """Standard output. ``record`` keeps the newlines of one message in one log event."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def record(self, text: str) -> None:
        sys.stdout.flush()
        data = text.encode("utf-8", "backslashreplace")
        stamp = time.time_ns() // 1000
        frame = LOG_FRAME + struct.pack(">IQ", len(data), stamp) + data
        while frame:
            frame = frame[os.write(self._fd, frame) :]


class LogHandler(logging.Handler):
    def __init__(self, pipe: LogPipe, now: Callable[[], str]) -> None:
        super().__init__()
        self.log_sink = pipe
        self._request_id = now

    def emit(self, record: logging.LogRecord) -> None:
        record.aws_request_id = self._request_id()
        self.log_sink.record(self.format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a record (Lambda developer guide, "Log and monitor Python functions")."""

    def format(self, record: logging.LogRecord) -> str:
        result: dict[str, Any] = {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            "requestId": getattr(record, "aws_request_id", ""),
        }
        if record.exc_info and record.exc_info[0] is not None:
            kind, value, trace = record.exc_info
            result["errorType"] = kind.__name__
            result["errorMessage"] = str(value)
            result["stackTrace"] = traceback.format_tb(trace)
        return json.dumps(result, ensure_ascii=False, default=str)


class PythonWorker:
    """One execution environment. ``settings``: ``handler``, ``env``, ``path`` (folders put
    before the standard library on ``sys.path``), ``task``, ``log_json``, ``log_level``."""

    def __init__(self, channel: Channel, settings: dict[str, Any]) -> None:
        self._channel = channel
        self._settings = settings
        self._pipe = LogPipe(1)
        self._request_id = ""
        self._json = bool(settings.get("log_json"))

    def run(self) -> None:
        """Serve until the runtime closes the socket."""
        started = time.monotonic()
        adopt(self._settings)
        self._set_up_logging()
        handler = self._load()
        if handler is None:
            return
        sys.stdout.flush()
        self._channel.send(READY, struct.pack("<d", (time.monotonic() - started) * 1000))
        while True:
            try:
                kind, body = self._channel.receive()
            except EOFError:
                return
            assert kind == INVOKE
            self._invoke(handler, body)

    def _set_up_logging(self) -> None:
        handler = LogHandler(self._pipe, lambda: self._request_id)
        if self._json:
            handler.setFormatter(JsonFormatter())
        else:
            form = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"
            handler.setFormatter(logging.Formatter(form, "%Y-%m-%dT%H:%M:%S"))
            handler.formatter.converter = time.gmtime  # type: ignore[union-attr]
        root = logging.getLogger()
        root.handlers[:] = [handler]
        level = self._settings.get("log_level", "")
        root.setLevel(level if level in logging.getLevelNamesMapping() else logging.WARNING)

    def _load(self) -> Handler | None:
        """The handler function; None after an error that was told to the runtime."""
        try:
            return find_handler(self._settings["handler"])
        except Fault as fault:
            error = python_context.error_object(str(fault), fault.kind, fault.trace, "")
        except Exception as e:
            error = python_context.error_object(
                str(e), type(e).__name__, format_trace(e.__traceback__), ""
            )
        self._log_error(error)
        self._channel.send(INIT_ERROR, json.dumps(error).encode())
        return None

    def _invoke(self, handler: Handler, body: bytes) -> None:
        size = LENGTH.unpack_from(body)[0]
        at = LENGTH.size + size
        head = json.loads(body[LENGTH.size : at])
        self._request_id = head[0]
        if head[3]:
            os.environ["_X_AMZN_TRACE_ID"] = head[3]
        kind = ANSWER
        try:
            answer = self._call(handler, head, body[at:])
        except Fault as fault:
            kind, answer = ERROR, self._failure(str(fault), fault.kind, fault.trace)
        except Exception as e:
            trace = format_trace(e.__traceback__)
            kind, answer = ERROR, self._failure(str(e), type(e).__name__, trace)
        sys.stdout.flush()
        sys.stderr.flush()
        self._channel.send(kind, answer)

    def _call(self, handler: Handler, head: list[Any], payload: bytes) -> bytes:
        context = LambdaContext(*head)
        try:
            event = json.loads(payload) if payload else {}
        except ValueError as e:
            raise Fault("Runtime.UnmarshalError", f"Unable to unmarshal input: {e}") from e
        result = handler(event, context)
        if isinstance(result, bytes):
            return result
        try:
            return json.dumps(result, ensure_ascii=False, default=encode_more).encode()
        except (TypeError, ValueError) as e:
            text = f"Unable to marshal response: {e}"
            raise Fault("Runtime.MarshalError", text) from e

    def _failure(self, message: str, kind: str, trace: list[str]) -> bytes:
        error = python_context.error_object(message, kind, trace, self._request_id)
        self._log_error(error)
        return json.dumps(error, ensure_ascii=False).encode("utf-8", "backslashreplace")

    def _log_error(self, error: dict[str, Any]) -> None:
        if self._json:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            record = {"timestamp": stamp, "level": "ERROR", **error}
            self._pipe.record(json.dumps(record, ensure_ascii=False))
            return
        lines = [f"[ERROR] {error['errorType']}: {error['errorMessage']}"]
        lines.append("Traceback (most recent call last):")
        for part in error["stackTrace"]:
            lines += [indent_hard(line) for line in part.splitlines()]
        self._pipe.record("\n".join(lines))


def encode_more(value: Any) -> Any:
    """Decimals as numbers, like AWS's encoder; nothing else beyond JSON's own types."""
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def indent_hard(line: str) -> str:
    """Leading blanks as no-break spaces, so that log viewers keep them (as awslambdaric does)."""
    bare = line.lstrip(" ")
    return "\u00a0" * (len(line) - len(bare)) + bare


def format_trace(trace: TracebackType | None) -> list[str]:
    """The function's own part of a traceback, in AWS's list form."""
    frames = traceback.extract_tb(trace)
    own = [f for f in frames if f.filename != THIS_FILE and "importlib" not in f.filename]
    return traceback.format_list(own)


def find_handler(name: str) -> Handler:
    """Import ``module.function``. Raises ``Fault`` with AWS's error types."""
    module_name, dot, function = name.rpartition(".")
    if not dot:
        text = f"Bad handler '{name}': not enough values to unpack (expected 2, got 1)"
        raise Fault("Runtime.MalformedHandlerName", text)
    if module_name.split(".")[0] in sys.builtin_module_names:
        text = f"Cannot use built-in module {module_name} as a handler module"
        raise Fault("Runtime.BuiltInModuleConflict", text)
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as e:
        text = f"Unable to import module '{module_name}': {e}"
        raise Fault("Runtime.ImportModuleError", text) from e
    except SyntaxError as e:
        text = f"Syntax error in module '{module_name}': {e}"
        place = f'  File "{e.filename}" Line {e.lineno}\n    {e.text}'
        raise Fault("Runtime.UserCodeSyntaxError", text, [place]) from e
    try:
        handler: Handler = getattr(module, function)
    except AttributeError:
        text = f"Handler '{function}' missing on module '{module_name}'"
        raise Fault("Runtime.HandlerNotFound", text) from None
    return handler


def prepare_process() -> None:
    """Make this fork of the zygote look like a fresh interpreter. Done in the pool: the pages this
    writes to are copied before anyone waits for them."""
    os.environ.clear()
    os.environ["TZ"] = ":UTC"
    time.tzset()
    for number, stream in ((1, "stdout"), (2, "stderr")):
        raw = io.FileIO(number, "w", closefd=False)
        text = io.TextIOWrapper(
            io.BufferedWriter(raw), "utf-8", errors="backslashreplace", line_buffering=True
        )
        setattr(sys, stream, text)
        setattr(sys, f"__{stream}__", text)
    hide_modules({"pileus"})
    importlib.invalidate_caches()
    importlib.util.find_spec("no_such_module")
    if "random" in sys.modules:
        sys.modules["random"].seed()
    logging.Formatter().format(logging.makeLogRecord({"msg": "", "levelname": ""}))
    json.loads(json.dumps({"a": [1.5, "b", None]}))


def adopt(settings: dict[str, Any]) -> None:
    """Take over a function's environment and paths."""
    os.environ.update(settings["env"])
    if os.environ["TZ"] != ":UTC":
        time.tzset()
    os.chdir(settings["task"])
    sys.path[:] = [*settings["path"], *sys.path]
    sys.argv[:] = [settings["handler"]]
    yield_to_own_packages(settings)


def hide_modules(families: set[str]) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] in families]:
        del sys.modules[name]


def yield_to_own_packages(settings: dict[str, Any]) -> None:
    """Hide AWS's preloaded packages when the function brings its own."""
    folders = [f for f in settings["path"] if os.path.isdir(f)]
    names = {entry.removesuffix(".py") for folder in folders for entry in os.listdir(folder)}
    if not names.isdisjoint(PRELOADED):
        hide_modules(set(PRELOADED))
    elif any(n.startswith(("AWS_CONFIG", "AWS_SHARED", "AWS_PROFILE")) for n in settings["env"]):
        vars(sys.modules["boto3"])["DEFAULT_SESSION"] = None  # made without these
