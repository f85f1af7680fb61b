"""Where identities live in the state, and the names AWS gives them.

Table ``iam``. Partition = the account: ``user/NAME``, ``group/NAME``, ``role/NAME``,
``policy/NAME``, ``profile/NAME``,
``alias``. Partition ``keys``: one row per access key id, so that a key finds its owner. Partition
``cluster``:
``seal``, the key that seals session tokens. A user's, group's or role's record holds its inline
policies (texts by
name) and the ARNs of attached ones.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.policy import document
from pileus.services.call import Call, Parts
from pileus.state import keys

TABLE = "iam"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
NAME = re.compile(r"[\w+=,.@-]{1,128}")
PATH = re.compile(r"/|/[\x21-\x7e]{1,510}/")
Record = dict[str, Any]
Check = Callable[[Any], None]


def record_key(account: str, kind: str, name: str) -> bytes:
    """Names of users, groups, roles and policies are unique whatever their case."""
    return keys.key(TABLE, account, f"{kind}/{name.lower()}")


def access_key_key(access_key_id: str) -> bytes:
    return keys.key(TABLE, "keys", access_key_id)


def listing(reader: Any, account: str, kind: str) -> list[Record]:
    """All records of a kind, ordered by name."""
    start = keys.partition_prefix(TABLE, account) + f"{kind}/".encode()
    rows = reader.range(start, keys.after_prefix(start), 1_000_000)
    return [orjson.loads(row.value) for row in rows]


def unique_id(prefix: str, random: bytes) -> str:
    """An id like AWS's: four letters that tell the kind and seventeen that tell nothing."""
    digest = hashlib.blake2b(random, digest_size=17).digest()
    return prefix + "".join(ALPHABET[b % 32] for b in digest)


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms // 1000, UTC)


def missing(kind: str, name: str) -> AwsError:
    return AwsError("NoSuchEntity", f"The {kind} with name {name} cannot be found.", 404)


def exists(kind: str, name: str) -> AwsError:
    return AwsError("EntityAlreadyExists", f"{kind} with name {name} already exists.", 409)


def find(reader: Any, account: str, kind: str, name: str) -> Record:
    """The record, or NoSuchEntity in IAM's words."""
    found = reader.get_json(record_key(account, kind.lower(), name))
    if found is None:
        raise missing(kind.lower(), name)
    return dict(found)


def put(draft: Any, account: str, kind: str, record: Record) -> None:
    draft.put_json(record_key(account, kind.lower(), record["name"]), record)


def fresh(parts: Parts, call: Call, noun: str, name: str, prefix: str) -> Record:
    """What every new record says of itself: ``noun`` as ARNs name its kind, ``prefix`` of its
    id. ``ValidationError`` for a path that is none."""
    path = check_path(call.params.get("Path", "/"))
    return {
        "name": name,
        "path": path,
        "id": unique_id(prefix, parts.clock.random_bytes(24)),
        "arn": f"arn:aws:iam::{call.account}:{noun}{path}{name}",
        "created": parts.clock.now_ms(),
    }


async def create(
    parts: Parts, call: Call, kind: str, record: Record, check: Check | None = None
) -> Record:
    """Keep a new user, group or role, after ``check`` in the same transaction. Answers it;
    ``EntityAlreadyExists``."""

    def change(draft: Any) -> Record:
        if draft.get(record_key(call.account, kind.lower(), record["name"])) is not None:
            raise exists(kind, record["name"])
        if check is not None:
            check(draft)
        put(draft, call.account, kind, record)
        return record

    return dict(await parts.store.transact(change, call.invocation_id))


def by_path(parts: Parts, call: Call, kind: str) -> list[Record]:
    """The records of a kind whose path begins as a list operation asks."""
    prefix = call.params.get("PathPrefix", "/")
    found = listing(parts.store, call.account, kind)
    return [record for record in found if record["path"].startswith(prefix)]


def check_changeable(role: Record) -> None:
    """``UnmodifiableEntity`` for a role that only its service may change."""
    if role["path"].startswith("/aws-service-role/"):
        raise AwsError(
            "UnmodifiableEntity",
            f"Cannot perform the operation on the protected role '{role['name']}' - this role is"
            " only modifiable by AWS",
        )


def check_name(name: str, member: str, longest: int = 64) -> str:
    if not NAME.fullmatch(name) or len(name) > longest:
        raise AwsError(
            "ValidationError",
            f"1 validation error detected: Value at '{member}' failed to satisfy constraint: "
            "Member must "
            r"satisfy regular expression pattern: [\w+=,.@-]+ and have length less than or equal "
            f"to {longest}",
        )
    return name


def check_path(path: str) -> str:
    if not PATH.fullmatch(path):
        raise AwsError("ValidationError", "The specified value for path is invalid.")
    return path


def check_policy(
    text: str, *, trust: bool = False, resource: bool = False, longest: int = 131_072
) -> str:
    """A policy text that AWS would accept, or MalformedPolicyDocument."""
    if len(text) > longest:
        raise AwsError("LimitExceeded", f"Cannot exceed quota for policy size: {longest}", 409)
    try:
        parsed = orjson.loads(text)
        document.compile_document(parsed, identity=not (trust or resource))
        for statement in _statements(parsed) if trust else ():
            if "Resource" in statement or "NotResource" in statement:
                raise document.Malformed("Has prohibited field Resource")
            named = statement.get("Action", ())
            actions = [named] if isinstance(named, str) else named
            if any(not a.lower().startswith("sts:") for a in actions):
                raise document.Malformed(
                    "AssumeRole policy may only specify STS AssumeRole actions."
                )
    except orjson.JSONDecodeError as e:
        said = "This policy contains invalid Json" if trust else "Syntax errors in policy."
        raise malformed(said) from e
    except document.Malformed as e:
        raise malformed(str(e)) from e
    return text


def _statements(parsed: Record) -> Iterator[Record]:
    found = parsed["Statement"]
    yield from [found] if isinstance(found, dict) else found


def malformed(why: str) -> AwsError:
    return AwsError("MalformedPolicyDocument", why)


def page(call_params: Record, items: list[Any], member: str) -> Record:
    """One page by Marker and MaxItems, as all IAM lists are cut."""
    limit = min(int(call_params.get("MaxItems", 100)), 1000)
    try:
        start = int(call_params.get("Marker", "0"))
    except ValueError:
        raise AwsError("ValidationError", "The marker is not valid") from None
    out: Record = {member: items[start : start + limit], "IsTruncated": start + limit < len(items)}
    if out["IsTruncated"]:
        out["Marker"] = str(start + limit)
    return out


def tags_of(record: Record) -> list[dict[str, str]]:
    return [{"Key": k, "Value": v} for k, v in record.get("tags", {}).items()]


def check_tags(tags: list[dict[str, str]]) -> dict[str, str]:
    named: dict[str, str] = {}
    for tag in tags:
        key, value = tag["Key"], tag.get("Value", "")
        if not key or len(key) > 128 or len(value) > 256:
            raise AwsError("ValidationError", "Tag keys have 1 to 128, values up to 256 characters")
        if key.lower() in (k.lower() for k in named):
            raise AwsError(
                "InvalidInput",
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            )
        named[key] = value
    if len(named) > 50:
        raise AwsError("LimitExceeded", "The number of tags has reached the maximum limit.", 409)
    return named
