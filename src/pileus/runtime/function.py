"""What the runtime is told about a function, and what it answers about one invocation.

The shapes cross the runtime's socket as msgpack. Names and limits follow the Lambda developer
guide ("Lambda runtimes", "Lambda quotas", "Understanding the Lambda execution environment").
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from pileus.errors import Unavailable

PAYLOAD_BYTES_MAX = 6 * 1024 * 1024  # of a synchronous request and of its answer
STREAMED_BYTES_MAX = 200 * 1024 * 1024  # of an answer that is read while it is written
UNZIPPED_BYTES_MAX = 250 * 1024 * 1024  # code and layers together
LOG_TAIL_BYTES = 4096

UNRESERVED_LIMIT = "ConcurrentInvocationLimitExceeded"
RESERVED_LIMIT = "ReservedFunctionConcurrentInvocationLimitExceeded"
INIT_FAILURE = "FUNCTION_ERROR_INIT_FAILURE"  # why provisioned workers could not begin
NO_ROOM = "NoRoom"  # on this machine; told to nobody outside

# Which worker an invocation may have: one that is idle; or one that is started for it, too; or
# else, where there can be no more of them, the next that becomes free.
IDLE, NEW, ANY = range(3)


class Throttled(Exception):
    """All the concurrency a function may use is in use. ``reason`` is the ``Reason`` member of
    Lambda's TooManyRequestsException."""

    def __init__(self, reason: str) -> None:
        super().__init__("Rate Exceeded.")
        self.reason = reason


class NotBegun(Unavailable):
    """No worker could be had: the function certainly did not begin, and may be run elsewhere. Any
    other ``Unavailable`` of an invocation means that it may have run."""


class Kept(NamedTuple):
    """Of the workers to be kept of a version: those there are or will be in a moment, those that
    are initialised, and why there are no more ('': they begin just now)."""

    allocated: int = 0
    available: int = 0
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Code:
    """A zip file: its SHA-256 in hex (the blob's name) and where it lies."""

    digest: str
    path: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """A role's temporary credentials. ``expires_ms`` since 1970; 0 = they do not expire."""

    access_key_id: str = ""
    secret_access_key: str = ""
    session_token: str = ""
    expires_ms: int = 0


@dataclass(frozen=True, eq=False)
class FunctionSpec:
    """One version of one function. Build it once and keep it: the client sends a spec it has
    not seen (by identity) before its first invocation, afterwards only a number.

    ``arn`` is the unqualified function ARN, ``version`` ``$LATEST`` or a number, ``layers`` in the
    order of the configuration (the last wins), ``concurrency_max`` the reserved concurrency
    (``reserved`` true) or the account's unreserved pool, which all its other functions share.
    ``log_stream_prefix`` defaults to AWS's ``YYYY/MM/DD/[VERSION]``; each worker adds 32 hex
    digits. A new ``revision`` (Lambda's RevisionId) means new workers. Credentials and
    ``concurrency_max`` are not part of a spec's identity: refresh them with
    ``dataclasses.replace``; a worker is recycled only when its own credentials run out.
    """

    arn: str
    version: str
    runtime: str
    handler: str
    code_digest: str
    code_path: str
    region: str
    account: str
    layers: tuple[Code, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    memory_mb: int = 128
    timeout_s: float = 3
    ephemeral_mb: int = 512
    architecture: str = "x86_64"
    concurrency_max: int = 100
    reserved: bool = False
    credentials: Credentials = Credentials()
    log_group: str = ""
    log_stream_prefix: str = ""
    log_format: str = "Text"
    revision: str = ""

    @property
    def name(self) -> str:
        return self.arn.rsplit(":", 1)[-1]

    @property
    def code(self) -> Code:
        return Code(self.code_digest, self.code_path)

    @property
    def key(self) -> str:
        """Equal for specs whose workers can stand in for each other."""
        plain = dataclasses.replace(
            self,
            credentials=Credentials(),
            concurrency_max=0,
            reserved=False,
            timeout_s=float(self.timeout_s),
            environment=dict(sorted(self.environment.items())),
        )
        return hashlib.sha256(msgspec.msgpack.encode(plain)).hexdigest()


class Invocation(NamedTuple):
    """What a function is run with. ``client_context`` and ``identity`` are JSON texts (mobile SDK,
    Cognito); ``invoked_arn`` is the ARN with the qualifier the caller used (else the function's
    own). ``worker``: which one it may have; where there is none such, the answer is ``Throttled``
    with ``NO_ROOM``."""

    payload: bytes
    request_id: str
    client_context: str | None = None
    identity: str | None = None
    trace_id: str = ""
    invoked_arn: str = ""
    worker: int = ANY


@dataclass(frozen=True, slots=True)
class InvokeOutcome:
    """One finished invocation.

    ``payload`` is the answer's JSON (or bytes of a custom runtime), or the error object when
    ``function_error`` (``Handled`` or ``Unhandled``, Lambda's X-Amz-Function-Error) is set.
    ``log`` holds (milliseconds since 1970, line) from START to REPORT, lines without newline at
    their end; ``log_stream`` names the stream they belong to. ``cold``: a worker was started for
    it. ``streamed_bytes`` of the answer went out in parts before.
    """

    payload: bytes
    function_error: str
    log: list[tuple[int, str]]
    log_stream: str
    cold: bool
    duration_ms: float = 0.0
    billed_ms: int = 0
    max_memory_mb: int = 0
    streamed_bytes: int = 0

    @property
    def log_tail(self) -> bytes:
        """The last 4 KB of the log, as ``LogType=Tail`` answers them (before base64)."""
        lines: list[bytes] = []
        size = 0
        for _, line in reversed(self.log):
            lines.append(line.encode() + b"\n")
            size += len(lines[-1])
            if size >= LOG_TAIL_BYTES:
                break
        return b"".join(reversed(lines))[-LOG_TAIL_BYTES:]
