"""CreateBackup, DescribeBackup, ListBackups, DeleteBackup: on-demand backups of one table.

A backup is the table as of the entry that asked for it; the chores copy it (``copying/taking.py``).
Row ``dynamodb.backups``/``account/region``/``backup id``: ``{"details": BackupDetails, "table": the
table's metadata row, "restores": jobs that read it}``.
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.dynamodb import history
from pileus.services.dynamodb.copying import chunks
from pileus.services.dynamodb.copying.jobs import promise
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Table
from pileus.state import keys

BACKUPS = "dynamodb.backups"
EXPIRING = "dynamodb.expiring"
PAGE = 100
SYSTEM_DAYS = 35
DAY_MS = 86_400_000
COPIES_MAX = 50
INDEX_MEMBERS = (
    *("IndexName", "KeySchema", "Projection", "ProvisionedThroughput"),
    "OnDemandThroughput",
)


def source_not_found(name: str) -> AwsError:
    """TableNotFoundException, as the backup operations word it."""
    return AwsError("TableNotFoundException", f"Table not found: {name}")


def find_source(room: Room, call: Call, name: str) -> Table:
    """The table a copy is made of: there, and whole."""
    table = room.tables.find(call.account, call.region, name)
    if table is None:
        raise source_not_found(name)
    check_whole(table.description)
    return table


def check_whole(row: dict[str, Any]) -> None:
    """TableInUseException for a table that is being restored or imported; LimitExceededException
    for one that is being copied too often."""
    if row["TableStatus"] == "CREATING":
        raise AwsError("TableInUseException", f"Table is being created: {row['TableName']}")
    if len(row.get("copies", ())) >= COPIES_MAX:
        raise AwsError(
            "LimitExceededException",
            f"Up to {COPIES_MAX} copies of a table can be made at once; wait for one to end",
        )


def new_id(room: Room) -> str:
    """An id of a backup, an export or an import: time and chance."""
    return f"{room.clock.now_ms():014d}-{room.clock.random_bytes(4).hex()}"


def backup_key(scope: str, backup_id: str) -> bytes:
    return keys.key(BACKUPS, scope, backup_id)


def key_of_arn(call: Call, arn: str) -> bytes:
    """A backup's row by its ARN; one of another form or place finds nothing."""
    pieces = arn.split(":", 5)
    if len(pieces) != 6 or "/backup/" not in pieces[5]:
        raise backup_not_found(arn)
    return backup_key(f"{pieces[4]}/{pieces[3]}", pieces[5].rpartition("/")[2])


def backup_not_found(arn: str) -> AwsError:
    return AwsError("BackupNotFoundException", f"Backup not found: {arn}")


def find_backup(room: Room, call: Call, arn: str) -> dict[str, Any]:
    """A backup's row; BackupNotFoundException."""
    row = room.store.get_json(key_of_arn(call, arn))
    if row is None or row["details"]["BackupArn"] != arn:
        raise backup_not_found(arn)
    return dict(row)


# -- operations -------------------------------------------------------------------------------


async def create_backup(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Promise a backup of the table as it is now. It is made in the background."""
    name = p["TableName"]
    table = find_source(room, call, name)
    backup_id, history_id = new_id(room), room.clock.random_bytes(3).hex()
    at_ms = room.clock.now_ms()

    def create(draft: Any) -> dict[str, Any]:
        row = draft.get_json(table.meta_key)
        if row is None:
            raise source_not_found(name)
        check_whole(row)
        details = new_details(row, backup_id, p["BackupName"], at_ms)
        record(draft, f"{call.account}/{call.region}", details, row)
        history.begin(draft, row, backup_id, history_id)
        draft.put_json(table.meta_key, row)
        return details

    return {"BackupDetails": await room.store.transact(create, call.invocation_id)}


def new_details(row: dict[str, Any], backup_id: str, name: str, at_ms: int) -> dict[str, Any]:
    """BackupDetails of a backup that is about to be made."""
    return {
        "BackupArn": f"{row['TableArn']}/backup/{backup_id}",
        "BackupName": name,
        "BackupSizeBytes": 0,
        "BackupStatus": "CREATING",
        "BackupType": "USER",
        "BackupCreationDateTime": at_ms / 1000,
    }


def record(
    draft: Any,
    scope: str,
    details: dict[str, Any],
    row: dict[str, Any],
    gone: list[str] | None = None,
) -> None:
    """Write a backup's row and the promise to make it. ``gone``: state tables to be emptied
    afterwards."""
    backup_id = details["BackupArn"].rpartition("/")[2]
    key = backup_key(scope, backup_id)
    draft.put_json(key, {"details": details, "table": dict(row)})
    if "BackupExpiryDateTime" in details:
        due = round(details["BackupExpiryDateTime"] * 1000).to_bytes(8, "big")
        draft.put(keys.key(EXPIRING, "expiring", due + backup_id.encode()), key)
    work: dict[str, Any] = {
        "backup": [scope, backup_id],
        "table": [scope, row["TableName"], row["id"]],
    }
    if gone:
        work["gone"] = gone
    promise(draft, "backup", backup_id, work)


def describe_backup(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """A backup: its state, the table it is of and what belonged to that table."""
    return {"BackupDescription": _description(room, find_backup(room, call, p["BackupArn"]))}


def _description(room: Room, found: dict[str, Any]) -> dict[str, Any]:
    table, details = found["table"], dict(found["details"])
    items = found.get("items", 0)
    if details["BackupStatus"] == "CREATING":
        items, details["BackupSizeBytes"] = chunks.totals(
            room.store, details["BackupArn"].rpartition("/")[2]
        )
    source = {
        "TableName": table["TableName"],
        "TableId": table["TableId"],
        "TableArn": table["TableArn"],
        "TableSizeBytes": details["BackupSizeBytes"],
        "KeySchema": table["KeySchema"],
        "TableCreationDateTime": table["CreationDateTime"],
        "ProvisionedThroughput": _units(table["ProvisionedThroughput"]),
        "ItemCount": items,
        "BillingMode": table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"),
    }
    if "OnDemandThroughput" in table:
        source["OnDemandThroughput"] = table["OnDemandThroughput"]
    return {
        "BackupDetails": details,
        "SourceTableDetails": source,
        "SourceTableFeatureDetails": _features(table),
    }


def _units(throughput: dict[str, Any]) -> dict[str, Any]:
    return {m: throughput[m] for m in ("ReadCapacityUnits", "WriteCapacityUnits")}


def _features(table: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for member in ("LocalSecondaryIndexes", "GlobalSecondaryIndexes"):
        if table.get(member):
            out[member] = [_index(i) for i in table[member]]
    if "StreamSpecification" in table:
        out["StreamDescription"] = table["StreamSpecification"]
    if table.get("ttl"):
        told = {"TimeToLiveStatus": "ENABLED", "AttributeName": table["ttl"]}
        out["TimeToLiveDescription"] = told
    if "SSEDescription" in table:
        out["SSEDescription"] = table["SSEDescription"]
    return out


def _index(index: dict[str, Any]) -> dict[str, Any]:
    out = {m: index[m] for m in INDEX_MEMBERS if m in index}
    if "ProvisionedThroughput" in out:
        out["ProvisionedThroughput"] = _units(out["ProvisionedThroughput"])
    return out


def list_backups(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Backups of all tables or of one, oldest first, in pages of up to a hundred."""
    limit = p.get("Limit", PAGE)
    after = p.get("ExclusiveStartBackupArn", "")
    start = after.rpartition("/")[2]
    found = []
    for row in room.store.partition(BACKUPS, f"{call.account}/{call.region}"):
        backup_id = keys.split(row.key)[2].decode()
        if backup_id > start:
            shown = room.store.get_json(row.key)
            if shown is not None and _wanted(p, shown):
                found.append(_summary(shown))
                if len(found) > limit:
                    break
    out: dict[str, Any] = {"BackupSummaries": found[:limit]}
    if len(found) > limit:
        out["LastEvaluatedBackupArn"] = found[limit - 1]["BackupArn"]
    return out


def _wanted(p: dict[str, Any], found: dict[str, Any]) -> bool:
    details, table = found["details"], found["table"]
    at = details["BackupCreationDateTime"]
    return (
        p.get("TableName") in (None, table["TableName"], table["TableArn"])
        and p.get("BackupType", "ALL") in ("ALL", details["BackupType"])
        and p.get("TimeRangeLowerBound", at) <= at
        and at < p.get("TimeRangeUpperBound", at + 1)
    )


def _summary(found: dict[str, Any]) -> dict[str, Any]:
    table = found["table"]
    return {
        "TableName": table["TableName"],
        "TableId": table["TableId"],
        "TableArn": table["TableArn"],
        **found["details"],
    }


async def delete_backup(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Delete a backup that is neither being made nor read. Its bytes go in the background."""
    arn = p["BackupArn"]
    key = key_of_arn(call, arn)
    backup_id = arn.rpartition("/")[2]

    def delete(draft: Any) -> dict[str, Any]:
        found = draft.get_json(key)
        if found is None or found["details"]["BackupArn"] != arn:
            raise backup_not_found(arn)
        if found["details"]["BackupStatus"] == "CREATING" or found.get("restores"):
            raise AwsError("BackupInUseException", f"Backup is being created or restored: {arn}")
        draft.delete(key)
        promise(draft, "drop", backup_id, {})
        found["details"]["BackupStatus"] = "DELETED"
        return dict(found)

    found = await room.store.transact(delete, call.invocation_id)
    return {"BackupDescription": _description(room, found)}


async def expire_backups(room: Room) -> None:
    """Delete the backups that deleted tables left, when their time is up (a chore)."""
    for row in room.store.partition(EXPIRING, "expiring", 100):
        due, key = keys.split(row.key)[2], row.value
        if int.from_bytes(due[:8], "big") > room.clock.now_ms():
            return
        backup_id = keys.split(key)[2].decode()

        def expire(
            draft: Any, key: bytes = key, at: bytes = row.key, name: str = backup_id
        ) -> None:
            found = draft.get_json(key)
            if found is not None and found.get("restores"):
                return
            draft.delete(at)
            if found is not None:
                draft.delete(key)
                promise(draft, "drop", name, {})

        await room.store.transact(expire)
