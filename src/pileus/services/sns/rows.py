"""State rows of topics, subscriptions and messages that are on their way.

``sns`` / account/region / ``topic/NAME`` → topic, ``subscription/NAME/ID`` → subscription, under
its topic's account and region; ``ended/NAME/ID`` → one that its endpoint may restore for a while.
``snsmessage`` / ID → message, ID / ``left`` → how many deliveries
of it are not over yet: with the last one both go. ``snssigning`` → the cloud's key, wrapped, and
its certificate.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from pileus.services.sns import faults
from pileus.services.sns.names import SubscriptionName, TopicName
from pileus.state import keys
from pileus.state.draft import Draft
from pileus.state.store import Store

TABLE, MESSAGES = "sns", "snsmessage"
SIGNING_KEY = keys.key("snssigning", "cluster", "key")
SUBSCRIPTIONS_MAX = 1000  # of one topic: each message writes an item for every one
ROWS_MAX = 1_000_000
Topic = dict[str, Any]
Subscription = dict[str, Any]
Reader = Store | Draft


def topic_key(name: TopicName) -> bytes:
    return keys.key(TABLE, name.place, f"topic/{name.name}")


def subscription_key(name: SubscriptionName) -> bytes:
    return keys.key(TABLE, name.topic.place, f"subscription/{name.topic.name}/{name.id}")


def ended_key(name: SubscriptionName) -> bytes:
    return keys.key(TABLE, name.topic.place, f"ended/{name.topic.name}/{name.id}")


def message_key(message_id: str) -> bytes:
    return keys.key(MESSAGES, message_id)


def left_key(message_id: str) -> bytes:
    return keys.key(MESSAGES, message_id, "left")


def need_topic(reader: Reader, name: TopicName) -> Topic:
    found: Topic | None = reader.get_json(topic_key(name))
    if found is None:
        raise faults.no_topic()
    return found


def need_subscription(reader: Reader, name: SubscriptionName) -> Subscription:
    found: Subscription | None = reader.get_json(subscription_key(name))
    if found is None:
        raise faults.no_subscription()
    return found


def topics(store: Store, place: str) -> list[Topic]:
    """Of one account and region, in order of their names."""
    start = keys.partition_prefix(TABLE, place) + b"topic/"
    return [orjson.loads(r.value) for r in store.range(start, keys.after_prefix(start), ROWS_MAX)]


def subscriptions_of(reader: Reader, name: TopicName) -> list[Subscription]:
    """All of a topic's, those that wait for their confirmation too."""
    return _of_topic(reader, name, "subscription", SUBSCRIPTIONS_MAX + 1)


def ended_of(reader: Reader, name: TopicName) -> list[Subscription]:
    """A topic's that ended, as far as they are kept (some whose time is up among them)."""
    return _of_topic(reader, name, "ended", ROWS_MAX)


def _of_topic(reader: Reader, name: TopicName, kind: str, limit: int) -> list[Subscription]:
    start = keys.partition_prefix(TABLE, name.place) + f"{kind}/{name.name}/".encode()
    return [orjson.loads(r.value) for r in reader.range(start, keys.after_prefix(start), limit)]


def subscriptions_owned(store: Store, account: str, region: str) -> Iterator[Subscription]:
    """An account's own in a region, to whosever topics."""
    prefix = keys.table_prefix(TABLE)
    for row in store.range(prefix, keys.after_prefix(prefix), ROWS_MAX):
        if keys.split(row.key)[2].startswith(b"subscription/"):
            found: Subscription = orjson.loads(row.value)
            if found["owner"] == account and TopicName.of(found["topic"]).region == region:
                yield found
