"""ExportTableToPointInTime, DescribeExport, ListExports: a table, or its changes, to a bucket.

The export is promised at once and made by a job (``copying/exporting.py``), which writes to the
bucket as the caller.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.dynamodb import history, transfers
from pileus.services.dynamodb.backups import check_whole, find_source, new_id, source_not_found
from pileus.services.dynamodb.continuous_backups import window
from pileus.services.dynamodb.copying.chosen import Chosen
from pileus.services.dynamodb.copying.jobs import promise
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.restore import check_recovery, source_scope
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.transfers import EXPORT

SHORTEST_MS = 15 * 60 * 1000
LONGEST_MS = 24 * 3600 * 1000
ASKED = (
    *("ClientToken", "S3Bucket", "S3BucketOwner", "S3Prefix", "S3SseAlgorithm", "S3SseKmsKeyId"),
    *("IncrementalExportSpecification", "FilterSpecification"),
)
SUMMARY = ("ExportArn", "ExportStatus", "ExportType")


async def export_table_to_point_in_time(
    room: Room, call: Call, p: dict[str, Any]
) -> dict[str, Any]:
    """Promise an export of the table as of a moment, or of what changed between two."""
    arn = p["TableArn"]
    table = find_source(room, call, arn)
    if "FilterSpecification" in p:
        if p.get("ExportType") == "INCREMENTAL_EXPORT":
            raise invalid("FilterSpecification of an INCREMENTAL_EXPORT is not offered")
        Chosen(table, p["FilterSpecification"])
    export_id, history_id = new_id(room), room.clock.random_bytes(3).hex()
    at_ms = room.clock.now_ms()
    scope = source_scope(table.arn)
    moments = _moments(room, table.description, p)
    description = _describe(table.description, export_id, p, at_ms, moments)

    def export(draft: Any) -> dict[str, Any]:
        known = transfers.repeated(draft, EXPORT, scope, p, at_ms)
        if known is not None:
            return known
        row = draft.get_json(table.meta_key)
        if row is None or row["id"] != table.id:
            raise source_not_found(arn)
        check_whole(row)
        check_recovery(row)
        history.begin(draft, row, export_id, history_id)
        draft.put_json(table.meta_key, row)
        transfers.record(draft, EXPORT, scope, description, p, at_ms)
        work = {
            "table": [scope, row["TableName"], row["id"]],
            "moments": moments,
            "caller": dataclasses.asdict(call.principal),
            "region": call.region,
        }
        promise(draft, "export", export_id, work)
        return description

    return {"ExportDescription": await room.store.transact(export, call.invocation_id)}


def _describe(
    row: dict[str, Any], export_id: str, p: dict[str, Any], at_ms: int, moments: list[int]
) -> dict[str, Any]:
    kind = p.get("ExportType", "FULL_EXPORT")
    described = {
        "ExportArn": f"{row['TableArn']}/export/{export_id}",
        "ExportStatus": "IN_PROGRESS",
        "StartTime": at_ms / 1000,
        "TableArn": row["TableArn"],
        "TableId": row["TableId"],
        "ExportFormat": p.get("ExportFormat", "DYNAMODB_JSON"),
        "ExportType": kind,
        **{m: p[m] for m in ASKED if m in p},
    }
    described.setdefault("S3SseAlgorithm", "AES256")
    if kind == "FULL_EXPORT":
        return {**described, "ExportTime": moments[0] / 1000}
    view = p.get("IncrementalExportSpecification", {}).get("ExportViewType", "NEW_AND_OLD_IMAGES")
    described["IncrementalExportSpecification"] = {
        "ExportFromTime": moments[0] / 1000,
        "ExportToTime": moments[1] / 1000,
        "ExportViewType": view,
    }
    return described


def _moments(room: Room, row: dict[str, Any], p: dict[str, Any]) -> list[int]:
    """What the request names, in ms: ``[moment]`` of a full export, ``[from, to]`` of what changed;
    InvalidExportTimeException outside the window."""
    check_recovery(row)
    earliest_ms, latest_ms = window(room, row)
    spec = p.get("IncrementalExportSpecification")
    if p.get("ExportType", "FULL_EXPORT") == "FULL_EXPORT":
        if spec:
            raise invalid("IncrementalExportSpecification is only for an INCREMENTAL_EXPORT")
        at_ms = _ms(p["ExportTime"]) if "ExportTime" in p else latest_ms
        if not earliest_ms <= at_ms <= latest_ms:
            raise _wrong_time("ExportTime")
        return [at_ms]
    if "ExportTime" in p:
        raise invalid("ExportTime is only for a FULL_EXPORT")
    if not spec or "ExportFromTime" not in spec:
        raise invalid("An INCREMENTAL_EXPORT needs IncrementalExportSpecification.ExportFromTime")
    from_ms = _ms(spec["ExportFromTime"])
    to_ms = _ms(spec["ExportToTime"]) if "ExportToTime" in spec else latest_ms
    if from_ms < earliest_ms or to_ms > latest_ms:
        raise _wrong_time("ExportFromTime and ExportToTime")
    if not SHORTEST_MS <= to_ms - from_ms <= LONGEST_MS:
        raise invalid("The period of an incremental export is from 15 minutes to 24 hours")
    return [from_ms, to_ms]


def _ms(seconds: Any) -> int:
    return round(float(seconds) * 1000)


def _wrong_time(member: str) -> AwsError:
    return AwsError(
        "InvalidExportTimeException",
        f"An invalid export time was specified. {member} must be between"
        " EarliestRestorableDateTime and LatestRestorableDateTime.",
    )


def describe_export(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """An export: its state, and where its manifest is."""
    return {"ExportDescription": transfers.find(room, EXPORT, p["ExportArn"])}


def list_exports(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Exports of the last 90 days, newest first, of all tables or of one."""
    limit = p.get("MaxResults", transfers.PAGE)
    found, following = transfers.page(room, call, EXPORT, p, limit, SUMMARY)
    return {"ExportSummaries": found, **({"NextToken": following} if following else {})}
