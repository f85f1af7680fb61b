"""What an invocation needs to know, kept ready: the spec of each version, by name and qualifier.

Parsed once per change of the ``lambda`` table (``store.generation``), so a warm invocation reads no
row. Entries of an older generation are never used.
"""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from pileus.config import Config
from pileus.runtime.function import Code, FunctionSpec
from pileus.services.lambda_ import rows
from pileus.services.lambda_.names import LATEST, FunctionName, no_function, not_found
from pileus.services.lambda_.permissions import document
from pileus.services.lambda_.roles import Roles
from pileus.services.lambda_.settings import log_group
from pileus.services.owned import parted
from pileus.state import keys
from pileus.state.store import Store

TARGETS_MAX = 20_000


COMPARED = [f.name for f in dataclasses.fields(FunctionSpec) if f.name != "credentials"]


class Version:
    """One version, ready to run. ``spec`` carries the role's current credentials.
    ``provisioned``: how many of its workers are to be kept initialised; ``asked``: since when
    (milliseconds since 1970)."""

    def __init__(self, function: FunctionName, role: str, plain: FunctionSpec) -> None:
        self.function = function
        self.number = plain.version
        self.role = role
        self.plain = plain
        self.provisioned = self.asked = 0
        self._specs = {plain.concurrency_max: plain}

    @functools.cached_property
    def mark(self) -> str:
        """The same on every machine, for the same code and configuration."""
        layers = tuple(Code(layer.digest, "") for layer in self.plain.layers)
        return dataclasses.replace(self.plain, code_path="", layers=layers).key

    async def spec(self, roles: Roles, concurrency_max: int | None = None) -> FunctionSpec:
        """The spec with credentials that last; the same object until they are renewed.
        ``concurrency_max``: this machine's share of what the function may run at once."""
        session = roles.cached(self.role, self.function.name)
        if session is None:
            session = await roles.session(self.role, self.function.name)
        most = self.plain.concurrency_max if concurrency_max is None else concurrency_max
        known = self._specs.get(most)
        if known is None or known.credentials is not session.credentials:
            known = dataclasses.replace(
                self.plain, credentials=session.credentials, concurrency_max=most
            )
            self._specs[most] = known
        return known


def same(one: FunctionSpec, other: FunctionSpec) -> bool:
    """Whether two specs without credentials say the same."""
    return all(getattr(one, name) == getattr(other, name) for name in COMPARED)


@dataclass(slots=True)
class Target:
    """Where a name leads: one version, or two with the share of the second."""

    name: FunctionName
    first: Version
    second: Version | None
    second_share: float
    policy: dict[str, Any] | None

    def choose(self) -> Version:
        if self.second is not None and random.random() < self.second_share:
            return self.second
        return self.first


def reserved_total(store: Store, partition: str) -> int:
    """Concurrency reserved by all functions of an account in a region."""
    found = store.range(*rows.span(partition, "fn/"), 100_000)
    return sum(orjson.loads(row.value)["reserved"] or 0 for row in found)


class Targets:
    """The cache. ``blob_path(digest)`` is where the runtime finds a blob."""

    def __init__(self, store: Store, config: Config, blob_path: Callable[[str], str]) -> None:
        self._store = store
        self._config = config
        self._blob_path = blob_path
        self._generation = -1
        self._targets: dict[FunctionName, Target] = {}
        self._versions: dict[tuple[FunctionName, str], Version] = {}
        self._before: dict[tuple[FunctionName, str], Version] = {}
        self._reserved: dict[str, int] = {}

    def find(self, name: FunctionName) -> Target:
        """``ResourceNotFoundException`` when there is no such function, version or alias."""
        generation = self._store.generation(rows.TABLE)
        if generation != self._generation or len(self._targets) > TARGETS_MAX:
            self._targets.clear()
            kept = self._before if len(self._before) < TARGETS_MAX else {}
            self._before, self._versions = {**kept, **self._versions}, {}
            self._reserved.clear()
            self._generation = generation
        target = self._targets.get(name)
        if target is None:
            target = self._targets[name] = self._build(name)
        return target

    def provisioned(self) -> Iterator[FunctionName]:
        """What has provisioned concurrency, in every account and region."""
        prefix = keys.table_prefix(rows.TABLE)
        for row in self._store.range(prefix, keys.after_prefix(prefix), 1_000_000):
            _, partition, sort = keys.split(row.key)
            if sort.startswith(b"pc/"):
                account, region = parted(partition.decode())
                _, function, qualifier = sort.decode().split("/")
                yield FunctionName(account, region, function, qualifier)

    def _build(self, name: FunctionName) -> Target:
        function = self._store.get_json(rows.function(name))
        if function is None:
            raise not_found(f"Function not found: {name.arn}:{name.qualifier or LATEST}")
        policy = self._store.get_json(rows.of_qualifier("p", name, name.qualifier))
        parsed = document(policy["statements"]) if policy else None
        number, weights = name.qualifier or LATEST, {}
        if number != LATEST and not number.isdigit():
            alias = self._store.get_json(rows.of_qualifier("a", name, number))
            if alias is None:
                raise no_function(name)
            number, weights = alias["version"], alias["weights"]
        first = self._version(name, function, number)
        for other, share in weights.items():
            return Target(name, first, self._version(name, function, other), share, parsed)
        return Target(name, first, None, 0.0, parsed)

    def _version(self, name: FunctionName, function: dict[str, Any], number: str) -> Version:
        plain = FunctionName(name.account, name.region, name.name)
        known = self._versions.get((plain, number))
        if known is not None:
            return known
        record = function
        if number != LATEST:
            found = self._store.get_json(rows.version(name, number))
            if found is None:
                raise no_function(name)
            record = found
        spec = self._spec(plain, record, function["reserved"])
        role = record["config"]["Role"]
        version = self._before.get((plain, number))
        if version is None or version.role != role or not same(version.plain, spec):
            version = Version(plain, role, spec)  # else the runtime knows the very spec already
        version.provisioned, version.asked = self._kept(plain, number)
        self._versions[plain, number] = version
        return version

    def _kept(self, name: FunctionName, number: str) -> tuple[int, int]:
        """Workers to be kept of a version, for itself and for its aliases, and since when."""
        count = asked = 0
        for row in self._store.range(*rows.span(name.place, f"pc/{name.name}/"), 10_000):
            config = orjson.loads(row.value)
            qualifier = config["qualifier"]
            if qualifier != number and not qualifier.isdigit():
                alias = self._store.get_json(rows.of_qualifier("a", name, qualifier)) or {}
                qualifier = alias.get("version")
            if qualifier == number:
                count += config["wanted"]
                asked = max(asked, config["modified"])
        return count, asked

    def _spec(
        self, name: FunctionName, record: dict[str, Any], reserved: int | None
    ) -> FunctionSpec:
        config, digest = record["config"], record["code"]["digest"]
        return FunctionSpec(
            arn=name.arn,
            version=record["version"],
            runtime=config["Runtime"],
            handler=config["Handler"],
            code_digest=digest,
            code_path=self._blob_path(digest),
            region=name.region,
            account=name.account,
            layers=tuple(
                Code(layer["digest"], self._blob_path(layer["digest"]))
                for layer in config["Layers"]
            ),
            environment=config["Environment"].get("Variables", {}),
            memory_mb=config["MemorySize"],
            timeout_s=config["Timeout"],
            ephemeral_mb=config["EphemeralStorage"]["Size"],
            architecture=config["Architectures"][0],
            concurrency_max=self._unreserved(name) if reserved is None else reserved,
            reserved=reserved is not None,
            log_group=log_group(name.name, config),
            log_format=config.get("LoggingConfig", {}).get("LogFormat", "Text"),
        )

    def _unreserved(self, name: FunctionName) -> int:
        if name.place not in self._reserved:
            self._reserved[name.place] = reserved_total(self._store, name.place)
        return self._config.function_concurrency_max - self._reserved[name.place]
