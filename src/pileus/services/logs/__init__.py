"""CloudWatch Logs: groups and streams in the state, lines in the telemetry store."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pileus.services.background import Background
from pileus.services.call import Call, Parts
from pileus.services.logs import groups, put, read, retention, streams, tags, testing
from pileus.services.logs.access import access
from pileus.services.logs.across import Across
from pileus.services.logs.events import Events
from pileus.services.logs.room import Room
from pileus.services.service import Service
from pileus.telemetry.copies import Copies
from pileus.telemetry.everyone import Everyone

OPERATIONS: dict[str, Callable[[Room, Call], Any]] = {
    "CreateLogGroup": groups.create_log_group,
    "DeleteLogGroup": groups.delete_log_group,
    "DescribeLogGroups": groups.describe_log_groups,
    "ListLogGroups": groups.list_log_groups,
    "PutLogGroupDeletionProtection": groups.put_deletion_protection,
    "CreateLogStream": streams.create_log_stream,
    "DeleteLogStream": streams.delete_log_stream,
    "DescribeLogStreams": streams.describe_log_streams,
    "PutLogEvents": put.put_log_events,
    "GetLogEvents": read.get_log_events,
    "FilterLogEvents": read.filter_log_events,
    "TestMetricFilter": testing.test_metric_filter,
    "PutRetentionPolicy": retention.put_retention_policy,
    "DeleteRetentionPolicy": retention.delete_retention_policy,
    "TagResource": tags.tag,
    "TagLogGroup": tags.tag,
    "UntagResource": tags.untag,
    "UntagLogGroup": tags.untag,
    "ListTagsForResource": tags.list_tags,
    "ListTagsLogGroup": tags.list_tags,
}


def build(parts: Parts) -> Service:
    """The service; its sweep runs in the process that does the background work."""
    events = Events(parts.telemetry, parts.others.number)
    copies = parts.copies or Copies(parts.config.home)
    across = Across(events, Everyone(parts.others, copies))
    room = Room(parts.store, parts.clock, events, across, parts.dispatch)
    background = Background()

    async def start() -> None:
        if parts.background:
            background.begin(retention.sweep_forever(room), "logs-sweep")

    operations = {name: partial(function, room) for name, function in OPERATIONS.items()}
    return Service("logs", operations, access, start=start, stop=background.end)
