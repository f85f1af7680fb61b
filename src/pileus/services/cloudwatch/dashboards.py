"""Dashboards: kept as they are given, for those who draw them.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.cloudwatch import faults, paging, rows
from pileus.services.cloudwatch.put_metric_alarm import tags_of
from pileus.services.cloudwatch.room import Room
from pileus.state import keys
from pileus.state.draft import Draft

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}\Z")
BODY_BYTES_MAX = 200_000
PAGE = 1000


async def put_dashboard(room: Room, call: Call) -> dict[str, Any]:
    """The body must be a JSON object with ``widgets``, else nothing is kept."""
    params, where = call.params, call.place
    name, body = params["DashboardName"], params["DashboardBody"]
    if not _NAME.match(name):
        raise faults.invalid(
            "The value for field DashboardName contains invalid characters. It can only contain"
            " alphanumerics, dash (-) and underscore (_).\n"
        )
    _check_body(body)
    row = {
        "name": name,
        "body": body,
        "modified": room.now_s(),
        "size": len(body.encode()),
        "tags": tags_of(params),
    }

    def change(draft: Draft) -> None:
        old = draft.get_json(rows.dashboard_key(where, name))
        kept = row if old is None else {**row, "tags": old["tags"]}
        draft.put_json(rows.dashboard_key(where, name), kept)

    await room.store.transact(change, call.invocation_id)
    return {"DashboardValidationMessages": []}


def _check_body(body: str) -> None:
    if len(body.encode()) > BODY_BYTES_MAX:
        raise _refused("/", f"The body is larger than {BODY_BYTES_MAX} bytes.")
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _refused("/", "The body is not valid JSON.") from None
    if not isinstance(told, dict) or not isinstance(told.get("widgets"), list):
        raise _refused("/", 'Should have required property "widgets", an array.')
    for place_, widget in enumerate(told["widgets"]):
        if not isinstance(widget, dict) or not isinstance(widget.get("type"), str):
            raise _refused(f"/widgets/{place_}", 'Should have required property "type".')


def _refused(path: str, message: str) -> AwsError:
    told = {"DataPath": path, "Message": message}
    return AwsError(
        "InvalidParameterInput",
        f"The field DashboardBody must be a valid JSON object: {message}",
        fields={"dashboardValidationMessages": [told]},
    )


def get_dashboard(room: Room, call: Call) -> dict[str, Any]:
    name, where = call.params["DashboardName"], call.place
    row = room.store.get_json(rows.dashboard_key(where, name))
    if row is None:
        raise _unknown(name)
    arn = rows.dashboard_arn(where, name)
    return {"DashboardArn": arn, "DashboardBody": row["body"], "DashboardName": name}


def list_dashboards(room: Room, call: Call) -> dict[str, Any]:
    params, where = call.params, call.place
    prefix = keys.partition_prefix(rows.TABLE, where) + b"dashboard/"
    start = prefix + (params.get("DashboardNamePrefix") or "").encode()
    found = [orjson.loads(r.value) for r in room.store.range(start, keys.after_prefix(start))]
    page, token = paging.cut(found, params.get("NextToken"), PAGE)
    entries = [
        {
            "DashboardName": row["name"],
            "DashboardArn": rows.dashboard_arn(where, row["name"]),
            "LastModified": row["modified"],
            "Size": row["size"],
        }
        for row in page
    ]
    return {"DashboardEntries": entries} | ({"NextToken": token} if token else {})


async def delete_dashboards(room: Room, call: Call) -> dict[str, Any]:
    """All of them or none."""
    names, where = call.params["DashboardNames"], call.place

    def change(draft: Draft) -> None:
        for name in names:
            key = rows.dashboard_key(where, name)
            if draft.get(key) is None:
                raise _unknown(name)
            draft.delete(key)

    await room.store.transact(change, call.invocation_id)
    return {}


def _unknown(name: str) -> AwsError:
    return AwsError("DashboardNotFoundError", f"Dashboard {name} does not exist", 404)
