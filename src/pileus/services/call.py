"""What a service is given and what it answers: requests, calls, access checks, responses.

The door (``wire``) turns bytes into a ``Call``; a service turns a ``Call`` into an answer.
Anything one service needs of another goes through ``Parts.dispatch``, which authorises like a
call from outside.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import (
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from typing import Any, Protocol

from pileus.policy.principals import root_arn
from pileus.services.owned import place_of
from pileus.telemetry import Meters
from pileus.telemetry.others import NoOthers, Others

Headers = list[tuple[str, str]]
MISSING = "x-pileus-missing"


class BodyStream(Protocol):
    """A request body too large to hold: chunks of bytes, with back-pressure. ``length`` is -1 when
    unknown."""

    length: int

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class WholeStream(BodyStream, Protocol):
    """A stream that can be waited for as a whole, at less cost."""

    async def whole(self) -> bytes: ...


class SignedStream(BodyStream, Protocol):
    """A stream that compares its SHA-256 with the signed one at its end, unless its reader wants
    to hash beside other work."""

    def unchecked(self) -> tuple[BodyStream, str, Callable[[str], None]]:
        """The bytes alone, the signed SHA-256 in hex, and what to tell the true one: it raises
        where they differ."""
        ...


@dataclass(slots=True)
class HttpRequest:
    """One HTTP request. ``path`` and ``query`` are raw (percent-encoded); header names are lower
    case,
    repeated headers are joined with ``,``. Exactly one of ``body`` and ``stream`` carries the
    body. ``head`` is the door's: the bytes it came in, or what is known of them. ``meter``: the
    block of counters it belongs to, set by whoever finds out what it asks for; ``begun_ns``: when
    it came."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = b""
    stream: BodyStream | None = None
    remote: str = "127.0.0.1"
    scheme: str = "http"
    head: Any = field(default=None, compare=False, repr=False)
    meter: int = field(default=0, compare=False, repr=False)
    begun_ns: int = field(default=0, compare=False, repr=False)

    async def read(self, limit_bytes: int = 64 * 1024 * 1024) -> bytes:
        """The whole body in memory; ``AwsError`` RequestEntityTooLargeException over
        ``limit_bytes``."""
        if self.stream is None:
            return self.body
        chunks: list[bytes] = []
        size = 0
        async for chunk in self.stream:
            size += len(chunk)
            if size > limit_bytes:
                from pileus.errors import AwsError

                raise AwsError("RequestEntityTooLargeException", "Request body is too large", 413)
            chunks.append(chunk)
        self.body, self.stream = b"".join(chunks), None
        return self.body


@dataclass(slots=True)
class FileBody:
    """A slice of an open file, sent with sendfile. The door closes ``fd`` when it is done."""

    fd: int
    offset: int
    length: int


class Duplex(Protocol):
    """The client's connection, once it is no longer HTTP."""

    async def read(self) -> bytes:
        """What the client sent next; b"" at its end."""
        ...

    async def write(self, data: bytes) -> None:
        """Send, waiting until the client has taken enough. ``ConnectionError`` when it left."""
        ...


class Upgrade(ABC):
    """The body of a 101 (RFC 9110, 7.8): takes the connection over until it returns."""

    @abstractmethod
    async def run(self, client: Duplex) -> None: ...

    @abstractmethod
    def drop(self) -> None:
        """The client left before it began."""


@dataclass(slots=True)
class HttpResponse:
    """One HTTP answer. ``length`` is needed for an iterator body of known size, else it is sent
    chunked. ``ready``: header lines already written, each with its line break, sent before
    ``headers``: for answers whose head is always the same."""

    status: int = 200
    headers: Headers = field(default_factory=list)
    body: bytes | FileBody | AsyncIterator[bytes] | Upgrade = b""
    length: int = -1
    ready: bytes = b""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. ``kind``: root, user, role (an assumed role), service, anonymous, oai (CloudFront
    identity).

    ``arn`` is the caller's ARN as ``sts:GetCallerIdentity`` tells it; ``name`` the user or role
    name whose policies apply; ``id`` the unique id (``AIDA…``, ``AROA…:session``);
    ``session_policies`` are JSON texts passed to AssumeRole; ``context`` holds extra condition
    keys.
    """

    kind: str
    account: str
    arn: str
    name: str = ""
    id: str = ""
    access_key_id: str = ""
    session_policies: tuple[str, ...] = ()
    context: tuple[tuple[str, str], ...] = ()

    @classmethod
    def owner(cls, account: str, role: str = "") -> Principal:
        """The account itself, which may do everything; ``role``: under a name of Pileus's own."""
        arn = f"arn:aws:iam::{account}:role/{role}" if role else root_arn(account)
        return cls("root", account, arn, id=account)

    @classmethod
    def restore(cls, fields: dict[str, Any]) -> Principal:
        """A principal that went through JSON (``dataclasses.asdict``)."""
        policies = tuple(fields["session_policies"])
        context = tuple((k, v) for k, v in fields["context"])
        return cls(**{**fields, "session_policies": policies, "context": context})


ANONYMOUS = Principal("anonymous", "", "*")


@dataclass(frozen=True, slots=True)
class Credential:
    """What an access key id stands for. ``secret`` signs; ``expires_ms`` (since 1970) is None
    for a long-lived key."""

    secret: str
    principal: Principal
    expires_ms: int | None = None


class Directory(Protocol):
    """Who holds which key. ``lookup`` answers None for an unknown key, a deactivated one, or a
    session token that does not belong to it; an expired one is answered with its ``expires_ms``.
    Called on every request: it must be cheap (cache by ``store.generation``)."""

    def lookup(self, access_key_id: str, session_token: str | None) -> Credential | None: ...


@dataclass(slots=True)
class Access:
    """One thing a call needs permission for. ``action`` as ``dynamodb:PutItem``; ``resource`` an
    ARN or ``*``.

    ``resource_policy`` is the resource's own policy document (parsed JSON) where it has one;
    ``owner`` the account that owns the resource ('' = the caller's); ``context`` condition keys
    this service supplies.
    """

    action: str
    resource: str = "*"
    resource_policy: dict[str, Any] | None = None
    owner: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Call:
    """One operation on its way. ``params`` are the model's input members, parsed (AWS member
    names).

    ``params`` is empty for a *direct* operation until its service fills it in ``access``.
    ``invocation_id`` is the SDK's retry id (``amz-sdk-invocation-id``) as 16 bytes or b"": pass it
    to the store so that a repeated request has one effect. ``request`` is the HTTP request (None
    for a dispatched call).
    """

    service: str
    operation: str
    principal: Principal
    region: str
    params: dict[str, Any]
    request_id: str = ""
    invocation_id: bytes = b""
    request: HttpRequest | None = None
    scratch: Any = None

    @property
    def account(self) -> str:
        return self.principal.account

    @property
    def place(self) -> str:
        """Where what it names stands, unless it says otherwise."""
        return place_of(self.account, self.region)


class Authorizer(Protocol):
    """Decides by AWS's order of evaluation; raises ``AwsError`` AccessDenied…, else returns."""

    def check(self, call: Call, accesses: Sequence[Access]) -> None: ...
    def remembers(self, principal: Principal, action: str, resource: str) -> bool: ...
    def changes(self) -> int: ...
    def allows_all(self, principal: Principal, access: Access) -> bool: ...


class Submission:
    """An answer that waits for one entry: await it, or have ``then`` tell when it is there.

    ``finish`` makes the answer of the rule's result; ``refused`` may reword the rule's error."""

    __slots__ = ("_args", "_finish", "_refused", "_request_id", "_rule", "_store")

    def __init__(
        self,
        store: Any,
        rule: str,
        args: Any,
        request_id: bytes,
        finish: Callable[[Any], HttpResponse],
        refused: Callable[[Exception], Exception] = lambda error: error,
    ) -> None:
        self._store = store
        self._rule = rule
        self._args = args
        self._request_id = request_id
        self._finish = finish
        self._refused = refused

    def __await__(self) -> Generator[Any, None, HttpResponse]:
        try:
            result = yield from self._store.submit(
                self._rule, self._args, self._request_id
            ).__await__()
        except Exception as error:
            raise self._refused(error) from None
        return self._finish(result)

    def then(self, done: Callable[[HttpResponse | Exception], None]) -> None:
        """Submit now; ``done`` is called on the loop with the answer or the error."""

        def settle(result: Any, error: Exception | None) -> None:
            try:
                done(self._finish(result) if error is None else self._refused(error))
            except Exception as fault:
                done(fault)

        self._store.submit_soon(self._rule, self._args, self._request_id, settle)


Done = Callable[[Any, Exception | None], None]


@dataclass(frozen=True, slots=True)
class Swift:
    """How requests of one caller are answered that have the form of one met before: those whose
    bodies ``match`` takes. ``read``: the end of the answer to a request's body (the lines that
    follow from what is told, an empty line, the body); or ``write``: submits
    the body's entry under a repeat's id. None, or False: this one goes the usual way. A write that
    succeeds is answered ``{}``; its error is reworded by ``refused``. Both see for themselves that
    what they know of the service still stands; who calls, and whether he may, is the door's part.
    ``ready``: the header lines of answers; ``meter``: the block that counts them."""

    match: Callable[[bytes], Any]
    ready: bytes
    meter: int
    read: Callable[[bytes], bytes | None] | None = None
    write: Callable[[bytes, bytes, Done], bool] | None = None
    refused: Callable[[Exception], Exception] | None = None


class Incomplete(dict[str, Any]):
    """An answer that lacks what some nodes hold, which were asked and did not answer in time.
    Their names go out in the header ``MISSING``."""

    def __init__(self, told: dict[str, Any], missing: Iterable[str]) -> None:
        super().__init__(told)
        self.missing = ", ".join(sorted(missing))


class Dispatch(Protocol):
    """Run an operation of any service from inside, authorised as ``principal`` like a call from
    outside.

    ``context`` adds condition keys (``aws:SourceArn``). Answers the operation's dict (streams as
    they are); raises ``AwsError``.
    """

    async def __call__(
        self,
        service: str,
        operation: str,
        params: dict[str, Any],
        *,
        principal: Principal,
        region: str = "",
        context: Mapping[str, Any] | None = None,
        invocation_id: bytes = b"",
    ) -> dict[str, Any]: ...


@dataclass(slots=True)
class Parts:
    """What ``assembly`` hands to each service's ``build(parts)``."""

    store: Any  # pileus.state.store.Store
    blobs: Any  # pileus.engine.Blobs
    clock: Any  # pileus.engine.Clock
    config: Any  # pileus.config.Config
    dispatch: Dispatch
    telemetry: Any = None  # pileus.telemetry.Telemetry
    runtime: Any = None  # pileus.runtime.client.Runtime
    credentials: Any = None  # services.sts.credentials.Minter: mint(role_arn, session_name, …)
    outbound: Any = None  # services.outbound.Outbound: HTTP to elsewhere under the egress policy
    nodes: Any = None  # services.longrunning.placing.Nodes; None: this machine alone
    vault: Any = None  # services.vault.Vault: wraps keys under the root key
    meters: Meters = field(default_factory=Meters)  # this process's counters
    background: bool = True  # this process does what one process of each machine does
    others: Others = field(default_factory=NoOthers)  # the other nodes' telemetry
    copies: Any = None  # pileus.telemetry.copies.Copies: of other nodes' telemetry, kept here
    owner: str = "one"  # whose leases are this machine's: its own name among the nodes
