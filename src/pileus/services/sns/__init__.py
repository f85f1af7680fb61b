"""SNS: topics, who hears of them, and messages that reach them (DESIGN.md says how)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pileus.services.call import Call, Parts
from pileus.services.service import Service
from pileus.services.sns import policies, publish, settings, subscriptions, tags, topics
from pileus.services.sns.access import AccessRules
from pileus.services.sns.deliveries import Deliveries
from pileus.services.sns.room import Room
from pileus.services.sns.signing import PREFIX, Signing, rewrapped

__all__ = ["PREFIX", "build", "door", "rewrapped"]

OPERATIONS: dict[str, Callable[[Room, Call], Any]] = {
    "CreateTopic": topics.create_topic,
    "DeleteTopic": topics.delete_topic,
    "ListTopics": topics.list_topics,
    "GetTopicAttributes": topics.get_topic_attributes,
    "SetTopicAttributes": topics.set_topic_attributes,
    "AddPermission": policies.add_permission,
    "RemovePermission": policies.remove_permission,
    "TagResource": tags.tag_resource,
    "UntagResource": tags.untag_resource,
    "ListTagsForResource": tags.list_tags,
    "Subscribe": subscriptions.subscribe,
    "ConfirmSubscription": subscriptions.confirm_subscription,
    "Unsubscribe": subscriptions.unsubscribe,
    "ListSubscriptions": subscriptions.list_subscriptions,
    "ListSubscriptionsByTopic": subscriptions.list_subscriptions_by_topic,
    "GetSubscriptionAttributes": settings.get_subscription_attributes,
    "SetSubscriptionAttributes": settings.set_subscription_attributes,
    "Publish": publish.publish,
    "PublishBatch": publish.publish_batch,
}


def door(parts: Parts) -> Signing:
    """Where the certificate of messages' signatures is; its ``serve`` is mounted for ``PREFIX``."""
    return Signing(parts)


def build(parts: Parts) -> Service:
    """The service. One process of the cloud makes the deliveries."""
    deliveries = Deliveries(parts)
    room = Room(parts.store, parts.clock, deliveries.queue.ring)

    async def begin() -> None:
        deliveries.queue.start()

    operations = {name: partial(function, room) for name, function in OPERATIONS.items()}
    return Service("sns", operations, AccessRules(room), begin=begin, cease=deliveries.queue.stop)
