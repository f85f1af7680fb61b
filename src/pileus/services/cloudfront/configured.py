"""Resources that are one configuration: identities, access controls, policies, keys, key groups.

Each kind has the same six operations (Create, Get, Get…Config, Update, Delete, List), so they are
written once over a ``Kind``.
https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.cloudfront import checks, managed, rows
from pileus.services.cloudfront.room import Room
from pileus.services.service import Operation
from pileus.state import keys
from pileus.state.draft import Draft


@dataclass(frozen=True)
class Kind:
    """One kind of resource. ``unique``: the config member that must not repeat; ``flat``: lists
    tell the config's members beside the id; ``used_by(distribution config, id)``: does it use
    this one?"""

    noun: str
    name: str  # of the row's partition and the ARN
    path: str
    check: Callable[[Room, Call, dict[str, Any]], None]
    absent: str
    in_use: str
    exists: str
    unique: str = "Name"
    id_prefix: str = "uuid"
    flat: bool = False
    time_member: str = ""
    plural: str = ""

    @property
    def config(self) -> str:
        return (
            "CloudFrontOriginAccessIdentityConfig"
            if "Identity" in self.noun
            else (f"{self.noun}Config")
        )


def _told(kind: Kind, id_: str, row: dict[str, Any]) -> dict[str, Any]:
    told = {"Id": id_, kind.config: row["config"], **row["told"]}
    if kind.time_member:
        told[kind.time_member] = row["modified"]
    return told


def _absent(kind: Kind) -> AwsError:
    return AwsError(kind.absent, f"The specified {kind.noun} does not exist.", 404)


async def create(room: Room, kind: Kind, call: Call) -> dict[str, Any]:
    """Make one; a repeated ``unique`` member is refused, except that an identity asked for again
    with the same configuration is answered as it is."""
    config = call.params[kind.config]
    rows.check_quantities(config)
    kind.check(room, call, config)
    id_ = rows.new_id(room.clock, kind.id_prefix)
    row = {
        "account": call.account,
        "etag": rows.new_id(room.clock),
        "modified": room.seconds(),
        "config": config,
        "told": {},
        "tags": {},
    }
    if kind.name == "origin-access-identity":
        row["told"] = {"S3CanonicalUserId": room.clock.random_bytes(48).hex()}

    def change(draft: Draft) -> tuple[str, dict[str, Any]]:
        for stored in draft.range(*rows.span(kind.name), limit=10_000):
            other = orjson.loads(stored.value)
            if other["account"] != call.account:
                continue
            if other["config"].get(kind.unique) == config.get(kind.unique):
                if other["config"] == config and kind.unique == "CallerReference":
                    return stored.key.decode("latin-1"), other
                raise AwsError(kind.exists, f"This {kind.noun} already exists.", 409)
        draft.put_json(rows.key(kind.name, id_), row)
        return "", row

    existing, row = await room.store.transact(change, call.invocation_id)
    if existing:
        id_ = keys.split(existing.encode("latin-1"))[2].decode()
    return {
        kind.noun: _told(kind, id_, row),
        "ETag": row["etag"],
        "Location": f"https://cloudfront.amazonaws.com/2020-05-31/{kind.path}/{id_}",
    }


def _get(room: Room, kind: Kind, call: Call) -> dict[str, Any]:
    id_ = call.params["Id"]
    row = room.find(call, kind.name, id_) or managed.find(kind.name, id_)
    if row is None:
        raise _absent(kind)
    return row


def get(room: Room, kind: Kind, call: Call) -> dict[str, Any]:
    row = _get(room, kind, call)
    return {kind.noun: _told(kind, call.params["Id"], row), "ETag": row["etag"]}


def get_config(room: Room, kind: Kind, call: Call) -> dict[str, Any]:
    row = _get(room, kind, call)
    return {kind.config: row["config"], "ETag": row["etag"]}


async def update(room: Room, kind: Kind, call: Call) -> dict[str, Any]:
    params = call.params
    config, id_ = params[kind.config], params["Id"]
    rows.check_quantities(config)
    kind.check(room, call, config)
    _refuse_managed(kind, id_)
    key, etag, now = rows.key(kind.name, id_), rows.new_id(room.clock), room.seconds()

    def change(draft: Draft) -> dict[str, Any]:
        row = draft.get_json(key)
        if row is None or row["account"] != call.account:
            raise _absent(kind)
        rows.check_match(params.get("IfMatch"), row["etag"])
        for fixed in ("CallerReference", "EncodedKey"):
            if config.get(fixed) != row["config"].get(fixed):
                code = (
                    "CannotChangeImmutablePublicKeyFields"
                    if "Key" in kind.noun
                    else ("IllegalUpdate")
                )
                raise rows.bad(f"You can't change the value of {fixed}.", code)
        row |= {"config": config, "etag": etag, "modified": now}
        draft.put_json(key, row)
        return dict(row)

    row = await room.store.transact(change, call.invocation_id)
    return {kind.noun: _told(kind, id_, row), "ETag": etag}


async def delete(room: Room, kind: Kind, call: Call) -> None:
    """Refused while a distribution (or a key group) names it."""
    id_ = call.params["Id"]
    key = rows.key(kind.name, id_)
    _refuse_managed(kind, id_)

    def change(draft: Draft) -> None:
        row = draft.get_json(key)
        if row is None or row["account"] != call.account:
            raise _absent(kind)
        rows.check_match(call.params.get("IfMatch"), row["etag"])
        user = "key-group" if kind.name == "public-key" else "distribution"
        for stored in draft.range(*rows.span(user), limit=10_000):
            if id_.encode() in stored.value:
                raise AwsError(kind.in_use, f"The {kind.noun} is in use by a {user}.", 409)
        draft.delete(key)

    await room.store.transact(change, call.invocation_id)


def _refuse_managed(kind: Kind, id_: str) -> None:
    if managed.find(kind.name, id_) is not None:
        raise rows.bad("You can't change a managed policy.", "IllegalUpdate")


def list_(room: Room, kind: Kind, call: Call) -> dict[str, Any]:
    marker, size = rows.paging(call.params)
    wanted = call.params.get("Type")
    found, last = room.page(call, kind.name, marker, size) if wanted != "managed" else ([], "")
    out = [_listed(kind, id_, row, "custom") for id_, row in found]
    if managed.KINDS.get(kind.name) and wanted != "custom" and not marker:
        ours = managed.KINDS[kind.name]
        out = [_listed(kind, id_, managed.row(c), "managed") for id_, c in ours.items()] + out
        size += len(ours)
    return {f"{kind.plural or kind.noun}List": rows.listed(out, marker, size, last)}


def _listed(kind: Kind, id_: str, row: dict[str, Any], type_: str) -> dict[str, Any]:
    if kind.flat:
        told = {"Id": id_, **row["config"], **row["told"]}
        told.setdefault("Description" if "Control" in kind.noun else "Comment", "")
        return told | ({kind.time_member: row["modified"]} if kind.time_member else {})
    told = {kind.noun: _told(kind, id_, row)}
    return told | ({"Type": type_} if kind.name in managed.KINDS else {})


KINDS = (
    Kind(
        "CloudFrontOriginAccessIdentity",
        "origin-access-identity",
        "origin-access-identity/cloudfront",
        checks.identity,
        "NoSuchCloudFrontOriginAccessIdentity",
        "CloudFrontOriginAccessIdentityInUse",
        "CloudFrontOriginAccessIdentityAlreadyExists",
        unique="CallerReference",
        id_prefix="E",
        flat=True,
    ),
    Kind(
        "OriginAccessControl",
        "origin-access-control",
        "origin-access-control",
        checks.access_control,
        "NoSuchOriginAccessControl",
        "OriginAccessControlInUse",
        "OriginAccessControlAlreadyExists",
        id_prefix="E",
        flat=True,
    ),
    Kind(
        "CachePolicy",
        "cache-policy",
        "cache-policy",
        checks.cache_policy,
        "NoSuchCachePolicy",
        "CachePolicyInUse",
        "CachePolicyAlreadyExists",
        time_member="LastModifiedTime",
    ),
    Kind(
        "OriginRequestPolicy",
        "origin-request-policy",
        "origin-request-policy",
        checks.named,
        "NoSuchOriginRequestPolicy",
        "OriginRequestPolicyInUse",
        "OriginRequestPolicyAlreadyExists",
        time_member="LastModifiedTime",
    ),
    Kind(
        "ResponseHeadersPolicy",
        "response-headers-policy",
        "response-headers-policy",
        checks.named,
        "NoSuchResponseHeadersPolicy",
        "ResponseHeadersPolicyInUse",
        "ResponseHeadersPolicyAlreadyExists",
        time_member="LastModifiedTime",
    ),
    Kind(
        "PublicKey",
        "public-key",
        "public-key",
        checks.public_key,
        "NoSuchPublicKey",
        "PublicKeyInUse",
        "PublicKeyAlreadyExists",
        id_prefix="K",
        flat=True,
        time_member="CreatedTime",
    ),
    Kind(
        "KeyGroup",
        "key-group",
        "key-group",
        checks.key_group,
        "NoSuchResource",
        "ResourceInUse",
        "KeyGroupAlreadyExists",
        time_member="LastModifiedTime",
    ),
)


def operations(room: Room) -> dict[str, Operation]:
    """The operations of every kind, by their AWS names."""
    made: dict[str, Operation] = {}
    for kind in KINDS:
        noun = kind.noun
        ends_in_ies = noun.endswith(("Policy", "Identity"))
        several = f"{noun[:-1]}ies" if ends_in_ies else f"{noun}s"
        made |= {
            f"Create{noun}": partial(create, room, kind),
            f"Get{noun}": partial(get, room, kind),
            f"Get{noun}Config": partial(get_config, room, kind),
            f"Update{noun}": partial(update, room, kind),
            f"Delete{noun}": partial(delete, room, kind),
            f"List{several}": partial(list_, room, kind),
        }
    return made
