"""DynamoDB: tables, items, indexes, expressions (DESIGN.md says how)."""

from __future__ import annotations

from functools import partial

from pileus.services.call import Parts
from pileus.services.dynamodb.access import access, single
from pileus.services.dynamodb.backups import (
    create_backup,
    delete_backup,
    describe_backup,
    list_backups,
)
from pileus.services.dynamodb.batch_execute_statement import batch_execute_statement
from pileus.services.dynamodb.batch_get_item import batch_get_item
from pileus.services.dynamodb.batch_write_item import batch_write_item
from pileus.services.dynamodb.binding import control, later, now, one_entry
from pileus.services.dynamodb.chores import Chores
from pileus.services.dynamodb.continuous_backups import (
    describe_continuous_backups,
    update_continuous_backups,
)
from pileus.services.dynamodb.create_table import create_table
from pileus.services.dynamodb.delete_item import delete_item
from pileus.services.dynamodb.delete_table import delete_table
from pileus.services.dynamodb.describe_table import describe_table
from pileus.services.dynamodb.execute_statement import execute_statement
from pileus.services.dynamodb.execute_transaction import execute_transaction
from pileus.services.dynamodb.export_table import (
    describe_export,
    export_table_to_point_in_time,
    list_exports,
)
from pileus.services.dynamodb.get_item import get_item, get_plain
from pileus.services.dynamodb.import_table import describe_import, import_table, list_imports
from pileus.services.dynamodb.limits import describe_endpoints, describe_limits
from pileus.services.dynamodb.list_tables import list_tables
from pileus.services.dynamodb.put_item import put_item, put_plain
from pileus.services.dynamodb.query import query
from pileus.services.dynamodb.quick_query import QuickQuery
from pileus.services.dynamodb.quick_transact import several, transact_plain
from pileus.services.dynamodb.quick_update import update_plain
from pileus.services.dynamodb.resource_policy import (
    delete_resource_policy,
    get_resource_policy,
    put_resource_policy,
)
from pileus.services.dynamodb.restore import (
    restore_table_from_backup,
    restore_table_to_point_in_time,
)
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.rules import OLDER, RULES
from pileus.services.dynamodb.scan import scan
from pileus.services.dynamodb.swift import SwiftForms
from pileus.services.dynamodb.tagging import list_tags_of_resource, tag_resource, untag_resource
from pileus.services.dynamodb.time_to_live import describe_time_to_live, update_time_to_live
from pileus.services.dynamodb.transact_get_items import transact_get_items
from pileus.services.dynamodb.transact_write_items import transact_write_items
from pileus.services.dynamodb.update_item import update_item
from pileus.services.dynamodb.update_table import update_table
from pileus.services.service import Service

__all__ = ["OLDER", "RULES", "build"]


def build(parts: Parts) -> Service:
    """The service over ``parts``."""
    room = Room(parts)
    chores = Chores(room)
    quick_query = QuickQuery()
    hot_reads = {
        "Scan": scan,
        "BatchGetItem": batch_get_item,
        "TransactGetItems": transact_get_items,
    }
    hot_writes = {
        "BatchWriteItem": batch_write_item,
        "ExecuteStatement": execute_statement,
        "BatchExecuteStatement": batch_execute_statement,
        "ExecuteTransaction": execute_transaction,
    }
    tables = {
        "CreateTable": create_table,
        "DescribeTable": describe_table,
        "UpdateTable": update_table,
        "DeleteTable": delete_table,
        "ListTables": list_tables,
        "DescribeLimits": describe_limits,
        "DescribeEndpoints": describe_endpoints,
        "UpdateTimeToLive": update_time_to_live,
        "DescribeTimeToLive": describe_time_to_live,
        "TagResource": tag_resource,
        "UntagResource": untag_resource,
        "ListTagsOfResource": list_tags_of_resource,
        "PutResourcePolicy": put_resource_policy,
        "GetResourcePolicy": get_resource_policy,
        "DeleteResourcePolicy": delete_resource_policy,
        "DescribeContinuousBackups": describe_continuous_backups,
        "UpdateContinuousBackups": update_continuous_backups,
        "CreateBackup": create_backup,
        "DescribeBackup": describe_backup,
        "ListBackups": list_backups,
        "DeleteBackup": delete_backup,
        "RestoreTableFromBackup": restore_table_from_backup,
        "RestoreTableToPointInTime": restore_table_to_point_in_time,
        "ExportTableToPointInTime": export_table_to_point_in_time,
        "DescribeExport": describe_export,
        "ListExports": list_exports,
        "ImportTable": import_table,
        "DescribeImport": describe_import,
        "ListImports": list_imports,
    }
    return Service(
        name="dynamodb",
        operations={},
        access=partial(access, room),
        single=partial(single, room),
        several=partial(several, room),
        swift=SwiftForms(room, quick_query),
        direct={
            "GetItem": now(get_item, room, get_plain),
            "Query": now(query, room, quick_query),
            **{name: now(f, room) for name, f in hot_reads.items()},
            "PutItem": one_entry(put_item, room, put_plain),
            "UpdateItem": one_entry(update_item, room, update_plain),
            "DeleteItem": one_entry(delete_item, room),
            "TransactWriteItems": later(transact_write_items, room, transact_plain),
            **{name: later(f, room) for name, f in hot_writes.items()},
            **{name: control(f, room) for name, f in tables.items()},
        },
        begin=chores.start,
        cease=chores.stop,
    )
