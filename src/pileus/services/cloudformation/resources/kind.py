"""What a resource type is to a stack: how to make, change and remove one.

Each step is repeatable: names are derived from the stack and calls carry ids derived from the step,
so a step that
ran before a crash and runs again has one effect.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from pileus.errors import AwsError
from pileus.services.call import Dispatch, Principal

Properties = dict[str, Any]
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


class Made(NamedTuple):
    """A resource that exists: what ``Ref`` gives and what ``Fn::GetAtt`` gives."""

    physical_id: str
    attributes: Mapping[str, Any] = {}


class Unfinished(AwsError):
    """A step that failed, and may have changed something: it is kept as ``made`` for the rollback
    to undo, by a deletion or an update back."""

    def __init__(self, made: Made, reason: str) -> None:
        super().__init__("NotStabilized", reason)
        self.made = made


class Unchanged(AwsError):
    """An update that was refused before it changed anything: there is nothing to undo."""


@dataclass
class Site:
    """Where a resource is being made: the stack, the logical name, the caller's permissions."""

    dispatch: Dispatch
    principal: Principal
    region: str
    account: str
    stack: str
    stack_id: str
    logical: str
    type: str
    step: str  # unique per operation and resource
    config: Any
    answers: Any  # cloudformation.answers.Answers
    given_up: asyncio.Event  # set when the operation fails elsewhere
    tags: list[dict[str, str]] = field(default_factory=list)
    begun: Made | None = None  # what ``create`` has made, while it still sets it up
    _calls: dict[str, int] = field(default_factory=dict)

    async def call(self, service: str, operation: str, **params: Any) -> dict[str, Any]:
        """One API call as the stack's owner; members that are None are left out. Its id is of what
        it asks for: a step that runs again after a crash may leave out what is done already."""
        asked = f"{operation}/{sorted(params.items())!r}"
        self._calls[asked] = self._calls.get(asked, 0) + 1
        seed = f"{self.step}/{self.logical}/{asked}/{self._calls[asked]}"
        return await self.dispatch(
            service,
            operation,
            {k: v for k, v in params.items() if v is not None},
            principal=self.principal,
            region=self.region,
            invocation_id=hashlib.blake2b(seed.encode(), digest_size=16).digest(),
        )

    async def gone(self, service: str, operation: str, *codes: str, **params: Any) -> None:
        """A deletion: that the resource does not exist is success."""
        try:
            await self.call(service, operation, **params)
        except AwsError as e:
            absent = ("NotFound", "NoSuch", "NotExist")
            if e.code not in codes and not any(a in e.code for a in absent):
                raise

    def name(self, length: int = 63, lower: bool = False) -> str:
        """``stack-Logical-SUFFIX``: the same for the same resource of the same stack and step."""
        digest = hashlib.blake2b(f"{self.stack_id}/{self.logical}/{self.step}".encode()).digest()
        suffix = "".join(ALPHABET[b % 32] for b in digest[:12])
        room = length - len(suffix) - 1
        name = f"{self.stack}-{self.logical}"[:room].rstrip("-") + "-" + suffix
        return name.lower() if lower else name

    def arn(self, service: str, rest: str, region: bool = True) -> str:
        return f"arn:aws:{service}:{self.region if region else ''}:{self.account}:{rest}"


class Kind(Protocol):
    """One resource type. ``replacing``: properties whose change needs a new resource."""

    replacing: frozenset[str]

    async def create(self, site: Site, wish: Properties) -> Made: ...
    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made: ...
    async def delete(self, site: Site, made: Made, had: Properties) -> None: ...


def tag_list(wish: Properties, site: Site) -> list[dict[str, str]]:
    """The resource's tags and the stack's, as Key/Value pairs; of one key the resource's counts."""
    own = wish.get("Tags", [])
    if isinstance(own, dict):
        own = [{"Key": k, "Value": v} for k, v in own.items()]
    tags = {t["Key"]: str(t["Value"]) for t in (*site.tags, *own)}
    return [{"Key": k, "Value": v} for k, v in tags.items()]


def tag_map(wish: Properties, site: Site) -> dict[str, str]:
    return {t["Key"]: t["Value"] for t in tag_list(wish, site)}


def need(wish: Properties, *names: str) -> list[Any]:
    """The values of required properties; an error naming the first that is missing."""
    for name in names:
        if name not in wish:
            raise AwsError("ValidationError", f"Encountered unsupported value: {name} is required")
    return [wish[name] for name in names]


def whole(value: Any) -> Any:
    """Numbers and booleans written as text in a template, as numbers and booleans, all the way
    down."""
    if isinstance(value, dict):
        return {k: whole(v) for k, v in value.items()}
    if isinstance(value, list):
        return [whole(v) for v in value]
    if isinstance(value, str):
        if value in ("true", "false"):
            return value == "true"
        if value.isdigit() and (value == "0" or value[0] != "0"):
            return int(value)
    return value
