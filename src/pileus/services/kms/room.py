"""What the operations of this service share: keys found by any of their names, and edited."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pileus.services.call import Call, Parts
from pileus.services.kms import faults, managed, rows
from pileus.services.owned import place_of
from pileus.services.vault import NONCE_BYTES, Rewrap, Vault
from pileus.state import keys
from pileus.state.draft import Draft

DAY_MS = 86_400_000
MATERIAL_BYTES = 32
GRANTS_MAX = 10_000
CACHED_MAX = 10_000


@dataclass(slots=True)
class Key:
    """A key as its row tells it; ``policy`` and ``grants`` parsed, ``ciphers`` its material by
    version, opened when first used."""

    account: str
    region: str
    id: str
    record: dict[str, Any]
    policy: dict[str, Any]
    ciphers: dict[int, AESGCM] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        return rows.arn(self.account, self.region, rows.KEY + self.id)

    @property
    def state(self) -> str:
        if self.record["deletion_ms"] is not None:
            return "PendingDeletion"
        return "Enabled" if self.record["enabled"] else "Disabled"

    @property
    def managed(self) -> bool:
        """Made by a service for the account, not by the account."""
        return bool(self.record["manager"] == "AWS")


class Room:
    """The parts of the service. Keys are cached until a row of the table changes."""

    def __init__(self, parts: Parts) -> None:
        assert isinstance(parts.vault, Vault), "the key service needs the root key"
        self.store = parts.store
        self.clock = parts.clock
        self.vault = parts.vault
        self._keys: dict[tuple[str, str, str], Key | None] = {}
        self._targets: dict[tuple[str, str, str], str | None] = {}
        self._generation = -1

    # -- finding -------------------------------------------------------------------------------

    def key(self, account: str, region: str, key_id: str) -> Key | None:
        """The key of this id, None where there is none (any more)."""
        self._refresh()
        place = (account, region, key_id)
        if place not in self._keys:
            self._keys[place] = self._read(account, region, key_id)
        found = self._keys[place]
        if found is None:
            return None
        due = found.record["deletion_ms"]
        return None if due is not None and due <= self.clock.now_ms() else found

    def target(self, account: str, region: str, name: str) -> str | None:
        """The id an alias stands for."""
        self._refresh()
        place = (account, region, name)
        if place not in self._targets:
            record = self.store.get_json(rows.alias(account, region, name))
            self._targets[place] = record["target"] if record is not None else None
        return self._targets[place]

    def _refresh(self) -> None:
        generation = self.store.generation(rows.TABLE)
        known = len(self._keys) + len(self._targets)  # callers choose what is asked for
        if generation != self._generation or known > CACHED_MAX:
            self._keys, self._targets, self._generation = {}, {}, generation

    def _read(self, account: str, region: str, key_id: str) -> Key | None:
        record = self.store.get_json(rows.key(account, region, key_id))
        if record is None:
            return None
        policy = orjson.loads(record["policy"])
        grants = self.below(account, region, f"{rows.GRANT}{key_id}/", GRANTS_MAX)
        if grants:
            told = policy["Statement"]
            told = told if isinstance(told, list) else [told]
            more = [statement for _, grant in grants for statement in grant["statements"]]
            policy = {**policy, "Statement": [*told, *more]}
        return Key(account, region, key_id, record, policy)

    def find(self, call: Call, told: str, aliases: bool = True) -> Key:
        """The key of a key id, an alias or an ARN of either; ``NotFoundException``. Operations
        that change a key take no alias."""
        parsed = rows.parse(told, call.account, call.region)
        if parsed is None or (not aliases and parsed[2].startswith(rows.ALIAS)):
            raise faults.not_found(f"Invalid keyId '{told}'")
        account, region, tail = parsed
        if region != call.region:  # keys live in one region
            raise faults.not_found(f"Invalid arn {region}")
        key_id: str | None = tail.removeprefix(rows.KEY)
        if tail.startswith(rows.ALIAS):
            key_id = self.target(account, region, tail)
            if key_id is None:
                raise faults.no_alias(rows.arn(account, region, tail))
        found = self.key(account, region, key_id or "")
        if found is None:
            if not rows.is_key_id(key_id or ""):
                raise faults.not_found(f"Invalid keyId '{key_id}'")
            raise faults.no_key(rows.arn(account, region, f"{rows.KEY}{key_id}"))
        return found

    def usable(self, call: Call, told: str) -> Key:
        """The key, if it may encrypt and decrypt now: ``DisabledException``,
        ``KMSInvalidStateException``."""
        found = self.find(call, told)
        check_usable(found)
        return found

    async def ensured(self, call: Call, told: str) -> Key:
        """``usable``; the account's key of an AWS service is made when it is first asked for."""
        parsed = rows.parse(told, call.account, call.region)
        if parsed is not None and managed.names(parsed[2]) and self.target(*parsed) is None:
            await self._make_managed(*parsed)
        return self.usable(call, told)

    async def _make_managed(self, account: str, region: str, name: str) -> None:
        policy = orjson.dumps(managed.policy(account, region, name)).decode()
        key_id, record = self.new_record(account, policy, managed.description(name), "AWS")
        record["rotation"]["enabled"] = True
        at = rows.alias(account, region, name)

        def change(draft: Draft) -> None:
            if draft.get(at) is None:
                draft.put_json(rows.key(account, region, key_id), record)
                draft.put_json(at, alias_record(key_id, draft.now_ms))

        await self.store.transact(change)

    # -- material ------------------------------------------------------------------------------

    def new_record(
        self, account: str, policy: str, description: str = "", manager: str = "CUSTOMER"
    ) -> tuple[str, dict[str, Any]]:
        """(id, row) of a key with fresh material."""
        key_id = str(uuid.UUID(bytes=self.clock.random_bytes(16), version=4))
        record = {
            "created_ms": self.clock.now_ms(),
            "description": description,
            "enabled": True,
            "deletion_ms": None,
            "window_days": None,
            "manager": manager,
            "policy": policy,
            "tags": {},
            "rotation": {"enabled": False, "days": 365, "from_ms": self.clock.now_ms()},
            "materials": [self.new_material(key_id, 0)],
            "multi_region": False,
        }
        return key_id, record

    def new_material(self, key_id: str, number: int) -> dict[str, Any]:
        """Fresh material, wrapped: it never lies anywhere in the clear."""
        secret = self.clock.random_bytes(MATERIAL_BYTES)
        nonce = self.clock.random_bytes(NONCE_BYTES)
        wrapped = self.vault.wrap(secret, _material_name(key_id, number), nonce)
        told = base64.b64encode(wrapped).decode()
        return {"wrapped": told, "made_ms": self.clock.now_ms(), "on_demand": False}

    def cipher(self, key: Key, number: int) -> AESGCM | None:
        """The key's material of a version, None for one it never had."""
        found = key.ciphers.get(number)
        if found is None:
            if not 0 <= number < len(key.record["materials"]):
                return None
            wrapped = base64.b64decode(key.record["materials"][number]["wrapped"])
            secret = self.vault.unwrap(wrapped, _material_name(key.id, number))
            found = key.ciphers[number] = AESGCM(secret)
        return found

    # -- changing ------------------------------------------------------------------------------

    async def edit(self, call: Call, key: Key, change: Callable[[dict[str, Any]], Any]) -> Any:
        """Change the key's row as it is when the change is made; answers what ``change`` does. What
        ``change`` refuses is not refused to the repeat of a call that went through."""
        at = rows.key(key.account, key.region, key.id)

        def apply(draft: Draft) -> Any:
            record = draft.get_json(at)
            if record is None:
                raise faults.no_key(key.arn)
            result = change(record)
            draft.put_json(at, record)
            return result

        return await self.store.transact(apply, call.invocation_id)

    def below(
        self, account: str, region: str, prefix: str, limit: int, after: str = ""
    ) -> list[tuple[str, dict[str, Any]]]:
        """(sort key, row) of the rows whose sort key begins with ``prefix``; the sort keys
        without its first word (``key/``)."""
        start, end = rows.span(account, region, prefix)
        cut = prefix.index("/") + 1
        if after:
            place = place_of(account, region)
            start = max(start, keys.key(rows.TABLE, place, prefix[:cut] + after) + b"\x00")
        found = self.store.range(start, end, limit)
        return [(keys.split(r.key)[2].decode()[cut:], orjson.loads(r.value)) for r in found]

    def listed(
        self, call: Call, prefix: str, after: str, limit: int
    ) -> tuple[list[tuple[str, dict[str, Any]]], bool]:
        """A page of the caller's rows after ``after``, and whether more follow."""
        found = self.below(call.account, call.region, prefix, limit + 1, after)
        return found[:limit], len(found) > limit


def check_usable(key: Key) -> None:
    """``DisabledException`` or ``KMSInvalidStateException`` for a key out of use."""
    if key.state == "Disabled":
        raise faults.disabled(key.arn)
    check_alive(key)


def check_alive(key: Key) -> None:
    if key.state == "PendingDeletion":
        raise faults.invalid_state(f"{key.arn} is pending deletion.")


def alias_record(key_id: str, now_ms: int) -> dict[str, Any]:
    return {"target": key_id, "created_ms": now_ms, "updated_ms": now_ms}


def _material_name(key_id: str, number: int) -> str:
    return f"kms/{key_id}/{number}"


def rewrapped(store: Any, rewrap: Rewrap) -> Iterator[tuple[bytes, bytes]]:
    """Every key's row with its material under another root key (``pileus rekey``)."""
    start = keys.table_prefix(rows.TABLE)
    for row in store.range(start, keys.after_prefix(start), 10_000_000):
        sort = keys.split(row.key)[2].decode()
        if not sort.startswith(rows.KEY):
            continue
        record = orjson.loads(row.value)
        for number, material in enumerate(record["materials"]):
            name = _material_name(sort.removeprefix(rows.KEY), number)
            wrapped = rewrap(base64.b64decode(material["wrapped"]), name)
            material["wrapped"] = base64.b64encode(wrapped).decode()
        yield row.key, orjson.dumps(record)
