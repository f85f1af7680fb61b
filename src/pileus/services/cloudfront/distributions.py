"""Distributions: Create, Get, GetConfig, Update, Delete, List, and the alias look-ups.

https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_CreateDistribution.html
"""

from __future__ import annotations

from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.cloudfront import configuration, rows
from pileus.services.cloudfront.room import Room
from pileus.services.cloudfront.tags import check_tags
from pileus.state import keys
from pileus.state.draft import Draft

KIND = "distribution"
SUMMARY = (
    "Aliases",
    "Origins",
    "OriginGroups",
    "DefaultCacheBehavior",
    "CacheBehaviors",
    "CustomErrorResponses",
    "Comment",
    "PriceClass",
    "Enabled",
    "ViewerCertificate",
    "Restrictions",
    "WebACLId",
    "HttpVersion",
    "IsIPV6Enabled",
    "Staging",
)


def domain_name(id_: str) -> str:
    return f"{id_.lower()}.cloudfront.localhost"


def arn(account: str, id_: str) -> str:
    return f"arn:aws:cloudfront::{account}:distribution/{id_}"


def _told(id_: str, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "Id": id_,
        "ARN": arn(row["account"], id_),
        "Status": "Deployed",  # every front reads the rows: it is, once answered
        "LastModifiedTime": row["modified"],
        "InProgressInvalidationBatches": 0,
        "DomainName": domain_name(id_),
        "ActiveTrustedSigners": {"Enabled": False, "Quantity": 0},
        "ActiveTrustedKeyGroups": {"Enabled": False, "Quantity": 0},
        "DistributionConfig": row["config"],
    }


async def create_distribution(room: Room, call: Call) -> dict[str, Any]:
    return await _create(room, call, call.params["DistributionConfig"], {})


async def create_distribution_with_tags(room: Room, call: Call) -> dict[str, Any]:
    given = call.params["DistributionConfigWithTags"]
    tags = {t["Key"]: t.get("Value") or "" for t in rows.items(given["Tags"])}
    check_tags(tags)
    return await _create(room, call, given["DistributionConfig"], tags)


async def _create(
    room: Room, call: Call, given: dict[str, Any], tags: dict[str, str]
) -> dict[str, Any]:
    """Make a distribution; the same CallerReference with the same configuration answers the one
    it made before."""
    config = configuration.complete(given)
    configuration.check(room, call, config)
    id_ = rows.new_id(room.clock)
    row = {
        "account": call.account,
        "etag": rows.new_id(room.clock),
        "modified": room.seconds(),
        "config": config,
        "told": {},
        "tags": tags,
    }

    def change(draft: Draft) -> tuple[str, dict[str, Any]]:
        for stored in draft.range(*rows.span(KIND), limit=10_000):
            other, other_id = orjson.loads(stored.value), keys.split(stored.key)[2].decode()
            if (
                other["account"] == call.account
                and other["config"]["CallerReference"] == config["CallerReference"]
            ):
                if other["config"] == config:
                    return other_id, other
                raise AwsError(
                    "DistributionAlreadyExists",
                    "The caller reference that you are using to create a distribution is"
                    f" associated with another distribution. Already exists: {other_id}",
                    409,
                )
            _check_aliases(config, other)
        draft.put_json(rows.key(KIND, id_), row)
        return id_, row

    made_id, made = await room.store.transact(change, call.invocation_id)
    return {
        "Distribution": _told(made_id, made),
        "ETag": made["etag"],
        "Location": f"https://cloudfront.amazonaws.com/2020-05-31/distribution/{made_id}",
    }


def _check_aliases(config: dict[str, Any], other: dict[str, Any]) -> None:
    taken = {a.lower() for a in rows.items(other["config"]["Aliases"])}
    if any(alias.lower() in taken for alias in rows.items(config["Aliases"])):
        raise AwsError(
            "CNAMEAlreadyExists",
            "One or more of the CNAMEs you provided are already associated with a different"
            " resource.",
            409,
        )


def find(room: Room, call: Call, id_: str) -> dict[str, Any]:
    row = room.find(call, KIND, id_)
    if row is None:
        raise absent()
    return row


def absent() -> AwsError:
    return AwsError("NoSuchDistribution", "The specified distribution does not exist.", 404)


def get_distribution(room: Room, call: Call) -> dict[str, Any]:
    row = find(room, call, call.params["Id"])
    return {"Distribution": _told(call.params["Id"], row), "ETag": row["etag"]}


def get_distribution_config(room: Room, call: Call) -> dict[str, Any]:
    row = find(room, call, call.params["Id"])
    return {"DistributionConfig": row["config"], "ETag": row["etag"]}


async def update_distribution(room: Room, call: Call) -> dict[str, Any]:
    """Replace the configuration; ``IfMatch`` must be the current ETag."""
    params = call.params
    id_ = params["Id"]
    find(room, call, id_)
    config = configuration.complete(params["DistributionConfig"])
    configuration.check(room, call, config)
    key, etag, now = rows.key(KIND, id_), rows.new_id(room.clock), room.seconds()

    def change(draft: Draft) -> dict[str, Any]:
        row = _matched(draft, call, key)
        if row["config"]["CallerReference"] != config["CallerReference"]:
            raise rows.bad(
                "The update contains modifications that are not allowed: CallerReference.",
                "IllegalUpdate",
            )
        for stored in draft.range(*rows.span(KIND), limit=10_000):
            if stored.key != key:
                _check_aliases(config, orjson.loads(stored.value))
        row |= {"config": config, "etag": etag, "modified": now}
        draft.put_json(key, row)
        return row

    row = await room.store.transact(change, call.invocation_id)
    return {"Distribution": _told(id_, row), "ETag": etag}


def _matched(draft: Draft, call: Call, key: bytes) -> dict[str, Any]:
    """The distribution's row, if it is the caller's and ``IfMatch`` fits."""
    row = draft.get_json(key)
    if row is None or row["account"] != call.account:
        raise absent()
    rows.check_match(call.params.get("IfMatch"), row["etag"])
    return dict(row)


async def delete_distribution(room: Room, call: Call) -> None:
    """Only a disabled one can be deleted."""
    id_ = call.params["Id"]
    key = rows.key(KIND, id_)

    def change(draft: Draft) -> None:
        row = _matched(draft, call, key)
        if row["config"]["Enabled"]:
            raise AwsError(
                "DistributionNotDisabled",
                "The distribution you are trying to delete has not been disabled.",
                409,
            )
        prefix = keys.partition_prefix(rows.INVALIDATIONS, id_)
        for stored in draft.range(prefix, keys.after_prefix(prefix), 100_000):
            draft.delete(stored.key)
        draft.delete(key)

    await room.store.transact(change, call.invocation_id)


def list_distributions(room: Room, call: Call) -> dict[str, Any]:
    marker, size = rows.paging(call.params)
    found, last = room.page(call, KIND, marker, size)
    summaries = []
    for id_, row in found:
        told = _told(id_, row)
        del told["DistributionConfig"]
        summary = {k: row["config"][k] for k in SUMMARY if k in row["config"]}
        summaries.append({**told, **summary, "ETag": row["etag"]})
    return {"DistributionList": rows.listed(summaries, marker, size, last)}
