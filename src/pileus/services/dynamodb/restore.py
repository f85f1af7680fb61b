"""RestoreTableFromBackup, RestoreTableToPointInTime: a new table with an earlier state.

The table is there at once, as CREATING; a job (``copying/loading.py``) fills it and its indexes and
makes it ACTIVE.
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.dynamodb import history
from pileus.services.dynamodb.backups import (
    backup_not_found,
    check_whole,
    find_backup,
    find_source,
    key_of_arn,
    source_not_found,
)
from pileus.services.dynamodb.catalog import meta_key
from pileus.services.dynamodb.continuous_backups import window
from pileus.services.dynamodb.copying.jobs import promise
from pileus.services.dynamodb.create_table import with_own_key
from pileus.services.dynamodb.describe_table import describe
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.restored import restored
from pileus.services.dynamodb.room import Room


async def restore_table_from_backup(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """A new table with the items of a backup."""
    arn = p["BackupArn"]
    found, key = find_backup(room, call, arn), key_of_arn(call, arn)
    taken = found["details"]["BackupCreationDateTime"]
    summary = {"SourceBackupArn": arn, "RestoreDateTime": taken}
    p = await with_own_key(room, call, p, "SSESpecificationOverride")
    row = restored(room, call, found["table"], p, summary)
    scope = f"{call.account}/{call.region}"

    def promise_it(draft: Any) -> None:
        backup = draft.get_json(key)
        if backup is None:
            raise backup_not_found(arn)
        if backup["details"]["BackupStatus"] != "AVAILABLE":
            raise AwsError("BackupInUseException", f"Backup is being created: {arn}")
        _create(draft, scope, row)
        backup["restores"] = [*backup.get("restores", ()), row["id"]]
        draft.put_json(key, backup)
        work = {"target": [scope, row["TableName"]], "backup": arn, "from": key.hex()}
        promise(draft, "restore", row["id"], work)

    await room.store.transact(promise_it, call.invocation_id)
    return {"TableDescription": describe(room, row)}


def _create(draft: Any, scope: str, row: dict[str, Any]) -> None:
    key = meta_key(scope, row["TableName"])
    if draft.get(key) is not None:
        raise AwsError("TableAlreadyExistsException", f"Table already exists: {row['TableName']}")
    draft.put_json(key, row)


async def restore_table_to_point_in_time(
    room: Room, call: Call, p: dict[str, Any]
) -> dict[str, Any]:
    """A new table with the items another had at a moment."""
    name = p.get("SourceTableArn") or p.get("SourceTableName")
    if name is None:
        raise invalid("Either SourceTableArn or SourceTableName must be specified")
    source = find_source(room, call, name)
    at_ms = restore_ms(room, source.description, p)
    summary = {"RestoreDateTime": at_ms / 1000}
    p = await with_own_key(room, call, p, "SSESpecificationOverride")
    row = restored(room, call, source.description, p, summary)
    scope = f"{call.account}/{call.region}"

    def promise_it(draft: Any) -> None:
        now = draft.get_json(source.meta_key)
        if now is None or now["id"] != source.id:
            raise source_not_found(name)
        check_whole(now)
        check_recovery(now)
        _create(draft, scope, row)
        history.begin(draft, now, row["id"], now["history"])
        draft.put_json(source.meta_key, now)
        work = {"target": [scope, row["TableName"]], "at_ms": at_ms}
        work["table"] = [source_scope(source.arn), now["TableName"], now["id"]]
        promise(draft, "restore", row["id"], work)

    await room.store.transact(promise_it, call.invocation_id)
    return {"TableDescription": describe(room, row)}


def source_scope(arn: str) -> str:
    """``account/region`` of a table's ARN."""
    pieces = arn.split(":")
    return f"{pieces[4]}/{pieces[3]}"


def check_recovery(row: dict[str, Any]) -> None:
    """PointInTimeRecoveryUnavailableException when recovery is off."""
    if not row.get("pitr"):
        raise AwsError(
            "PointInTimeRecoveryUnavailableException",
            f"Point in time recovery is not enabled for table '{row['TableName']}'",
        )


def restore_ms(room: Room, row: dict[str, Any], p: dict[str, Any]) -> int:
    """The moment a request names; InvalidRestoreTimeException outside the window."""
    check_recovery(row)
    earliest_ms, latest_ms = window(room, row)
    given = p.get("RestoreDateTime")
    if p.get("UseLatestRestorableTime"):
        if given is not None:
            raise invalid("RestoreDateTime and UseLatestRestorableTime cannot both be specified")
        return latest_ms
    if given is None:
        raise invalid("Either RestoreDateTime or UseLatestRestorableTime must be specified")
    at_ms = round(float(given) * 1000)
    if not earliest_ms <= at_ms <= latest_ms:
        raise AwsError(
            "InvalidRestoreTimeException",
            "An invalid restore time was specified. RestoreDateTime must be between"
            " EarliestRestorableDateTime and LatestRestorableDateTime.",
        )
    return at_ms
