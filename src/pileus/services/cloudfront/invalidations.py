"""Invalidations: CreateInvalidation, GetInvalidation, ListInvalidations.

An invalidation is one durable row: every front process, now and after a restart, drops what it
holds from before that row. So it is complete when it is answered.
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/Invalidation.html
"""

from __future__ import annotations

from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.cloudfront import distributions, rows
from pileus.services.cloudfront.room import Room
from pileus.state import keys
from pileus.state.draft import Draft

PATHS_MAX = 3000


def _told(id_: str, row: dict[str, Any]) -> dict[str, Any]:
    paths = {"Quantity": len(row["paths"]), "Items": row["paths"]}
    batch = {"Paths": paths, "CallerReference": row["reference"]}
    return {
        "Id": id_,
        "Status": "Completed",
        "CreateTime": row["created"],
        "InvalidationBatch": batch,
    }


async def create_invalidation(room: Room, call: Call) -> dict[str, Any]:
    """Forget paths (``*`` matches the rest). The same reference with the same paths answers the
    first one."""
    distribution_id = call.params["DistributionId"]
    batch = call.params["InvalidationBatch"]
    rows.check_quantities(batch)
    distributions.find(room, call, distribution_id)
    paths = rows.items(batch["Paths"])
    _check(paths)
    id_ = "I" + rows.new_id(room.clock)[1:]
    row = {"created": room.seconds(), "reference": batch["CallerReference"], "paths": paths}
    prefix = keys.partition_prefix(rows.INVALIDATIONS, distribution_id)

    def change(draft: Draft) -> tuple[str, dict[str, Any]]:
        for stored in draft.range(prefix, keys.after_prefix(prefix), 100_000):
            other = orjson.loads(stored.value)
            if other["reference"] == row["reference"]:
                if other["paths"] == paths:
                    return keys.split(stored.key)[2].decode(), other
                raise rows.bad(
                    "The caller reference is already used for another batch.",
                    "InvalidArgument",
                )
        draft.put_json(rows.invalidation_key(distribution_id, id_), row)
        return id_, row

    made_id, made = await room.store.transact(change, call.invocation_id)
    where = f"2020-05-31/distribution/{distribution_id}/invalidation/{made_id}"
    return {
        "Invalidation": _told(made_id, made),
        "Location": f"https://cloudfront.amazonaws.com/{where}",
    }


def _check(paths: list[str]) -> None:
    if not paths:
        raise rows.bad("Your request must name at least one path.")
    if len(paths) > PATHS_MAX:
        raise AwsError("TooManyInvalidationsInProgress", "Too many paths in one batch.", 400)
    for path in paths:
        if not path.startswith("/") or len(path) > 4000 or "*" in path[:-1]:
            raise rows.bad("Your request contains one or more invalid invalidation paths.")


def get_invalidation(room: Room, call: Call) -> dict[str, Any]:
    distribution_id, id_ = call.params["DistributionId"], call.params["Id"]
    distributions.find(room, call, distribution_id)
    row = room.store.get_json(rows.invalidation_key(distribution_id, id_))
    if row is None:
        raise AwsError("NoSuchInvalidation", "The specified invalidation does not exist.", 404)
    return {"Invalidation": _told(id_, row)}


def list_invalidations(room: Room, call: Call) -> dict[str, Any]:
    """Newest first, as AWS tells them."""
    distribution_id = call.params["DistributionId"]
    marker, size = rows.paging(call.params)
    distributions.find(room, call, distribution_id)
    prefix = keys.partition_prefix(rows.INVALIDATIONS, distribution_id)
    stored = room.store.range(prefix, keys.after_prefix(prefix), 100_000)
    stored.sort(key=lambda row: -row.version)
    told = [_told(keys.split(r.key)[2].decode(), orjson.loads(r.value)) for r in stored]
    if marker:
        ids = [t["Id"] for t in told]
        told = told[ids.index(marker) + 1 :] if marker in ids else []
    summaries = [{k: t[k] for k in ("Id", "Status", "CreateTime")} for t in told[: size + 1]]
    last = summaries[min(size, len(summaries)) - 1]["Id"] if summaries else ""
    return {"InvalidationList": rows.listed(summaries, marker, size, last)}
