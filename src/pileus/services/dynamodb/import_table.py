"""ImportTable, DescribeImport, ListImports: a new table from objects of a bucket.

The table is there at once, as CREATING; a job (``copying/importing.py``) reads the bucket as the
caller, fills the table and makes it ACTIVE.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from pileus.services.call import Call
from pileus.services.dynamodb import transfers
from pileus.services.dynamodb.backups import new_id
from pileus.services.dynamodb.catalog import meta_key
from pileus.services.dynamodb.copying.importing import LOG_GROUP
from pileus.services.dynamodb.copying.jobs import promise
from pileus.services.dynamodb.create_table import describe_new
from pileus.services.dynamodb.faults import in_use, invalid
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.settings import check_new_table
from pileus.services.dynamodb.transfers import IMPORT

ASKED = ("ClientToken", "S3BucketSource", "InputFormat", "InputFormatOptions")
SUMMARY = (
    *("ImportArn", "ImportStatus", "TableArn", "S3BucketSource", "CloudWatchLogGroupArn"),
    *("InputFormat", "StartTime", "EndTime"),
)


async def import_table(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Promise a new table with the items of a bucket's objects."""
    made = p["TableCreationParameters"]
    _check(p, made)
    import_id, scope = new_id(room), f"{call.account}/{call.region}"
    at_ms = room.clock.now_ms()
    name = made["TableName"].rsplit("/", 1)[-1]
    row = describe_new(room, call, name, made)
    row["TableStatus"] = "CREATING"
    description = _describe(call, row, import_id, p, at_ms)

    def begin(draft: Any) -> dict[str, Any]:
        known = transfers.repeated(draft, IMPORT, scope, p, at_ms)
        if known is not None:
            return known
        key = meta_key(scope, name)
        if draft.get(key) is not None:
            raise in_use(f"Table already exists: {name}")
        draft.put_json(key, row)
        transfers.record(draft, IMPORT, scope, description, p, at_ms)
        work = {
            "target": [scope, name],
            "import": [scope, import_id],
            "caller": dataclasses.asdict(call.principal),
            "region": call.region,
        }
        promise(draft, "import", row["id"], work)
        return description

    return {"ImportTableDescription": await room.store.transact(begin, call.invocation_id)}


def _check(p: dict[str, Any], made: dict[str, Any]) -> None:
    if "InputFormatOptions" in p and p["InputFormat"] != "CSV":
        raise invalid("InputFormatOptions are only for the InputFormat CSV")
    if made.get("VectorIndexes"):
        raise invalid("VectorIndexes are not offered")
    check_new_table(made)


def _describe(
    call: Call, row: dict[str, Any], import_id: str, p: dict[str, Any], at_ms: int
) -> dict[str, Any]:
    group = f"arn:aws:logs:{call.region}:{call.account}:log-group:{LOG_GROUP}:*"
    return {
        "ImportArn": f"{row['TableArn']}/import/{import_id}",
        "ImportStatus": "IN_PROGRESS",
        "TableArn": row["TableArn"],
        "TableId": row["TableId"],
        "CloudWatchLogGroupArn": group,
        "InputCompressionType": p.get("InputCompressionType", "NONE"),
        "TableCreationParameters": p["TableCreationParameters"],
        "StartTime": at_ms / 1000,
        "ProcessedSizeBytes": 0,
        "ProcessedItemCount": 0,
        "ImportedItemCount": 0,
        "ErrorCount": 0,
        **{m: p[m] for m in ASKED if m in p},
    }


def describe_import(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """An import: its state, and what it has read, kept and refused so far."""
    return {"ImportTableDescription": transfers.find(room, IMPORT, p["ImportArn"])}


def list_imports(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Imports of the last 90 days, newest first, of all tables or into one."""
    limit = p.get("PageSize", transfers.PAGE)
    found, following = transfers.page(room, call, IMPORT, p, limit, SUMMARY)
    return {"ImportSummaryList": found, **({"NextToken": following} if following else {})}
