"""AWS::SNS::Topic, Subscription and TopicPolicy."""

from __future__ import annotations

import json
from typing import Any

from pileus.errors import AwsError
from pileus.services.cloudformation.resources.kind import (
    Made,
    Properties,
    Site,
    need,
    tag_list,
)

_OF_TOPIC = ("DisplayName", "DeliveryPolicy", "KmsMasterKeyId", "FifoTopic", "SignatureVersion")
_OF_SUBSCRIPTION = (
    *("RawMessageDelivery", "DeliveryPolicy", "FilterPolicy", "FilterPolicyScope"),
    *("RedrivePolicy", "SubscriptionRoleArn", "ReplayPolicy"),
)


def _attributes(wish: Properties, names: tuple[str, ...], beside: set[str]) -> dict[str, str]:
    """Those a template names, as the API has them: texts. The service itself refuses what it does
    not offer; a property that is neither is refused here."""
    for name in wish:
        if name not in names and name not in beside:
            raise AwsError("ValidationError", f"Encountered unsupported property {name}")
    return {name: _text(wish[name]) for name in names if name in wish}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value)


class Topic:
    replacing = frozenset({"TopicName", "FifoTopic"})
    beside = {"TopicName", "Subscription", "Tags"}

    async def create(self, site: Site, wish: Properties) -> Made:
        name = wish.get("TopicName") or site.name(256)
        attributes = _attributes(wish, _OF_TOPIC, self.beside)
        tags = tag_list(wish, site) or None
        told = await site.call(
            "sns", "CreateTopic", Name=name, Attributes=attributes or None, Tags=tags
        )
        arn = told["TopicArn"]
        site.begun = Made(arn)
        await self._subscribe(site, arn, wish, [])
        return Made(arn, {"TopicArn": arn, "TopicName": name})

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        arn = made.physical_id
        wanted = _attributes(wish, _OF_TOPIC, self.beside)
        for name, value in _changes(_attributes(old, _OF_TOPIC, self.beside), wanted).items():
            told = {"TopicArn": arn, "AttributeName": name, "AttributeValue": value}
            await site.call("sns", "SetTopicAttributes", **told)
        tags = tag_list(wish, site)
        kept = {t["Key"] for t in tags}
        found = (await site.call("sns", "ListTagsForResource", ResourceArn=arn))["Tags"]
        gone = [t["Key"] for t in found if t["Key"] not in kept]
        if gone:
            await site.call("sns", "UntagResource", ResourceArn=arn, TagKeys=gone)
        if tags:
            await site.call("sns", "TagResource", ResourceArn=arn, Tags=tags)
        await self._subscribe(site, arn, wish, old.get("Subscription") or [])
        return made

    async def _subscribe(self, site: Site, arn: str, wish: Properties, old: list[Any]) -> None:
        """The subscriptions a topic names itself; those it named before and no longer does end
        (an endpoint that never confirmed hears nothing anyway)."""
        wanted = [(s["Protocol"], s["Endpoint"]) for s in wish.get("Subscription") or ()]
        for protocol, endpoint in wanted:
            told = {"TopicArn": arn, "Protocol": protocol, "Endpoint": endpoint}
            await site.call("sns", "Subscribe", **told)
        gone = {(s["Protocol"], s["Endpoint"]) for s in old} - set(wanted)
        token: str | None = ""
        while gone and token is not None:
            page = await site.call(
                "sns", "ListSubscriptionsByTopic", TopicArn=arn, NextToken=token or None
            )
            for known in page["Subscriptions"]:
                confirmed = known["SubscriptionArn"].startswith("arn:")
                if confirmed and (known["Protocol"], known["Endpoint"]) in gone:
                    named = known["SubscriptionArn"]
                    await site.call("sns", "Unsubscribe", SubscriptionArn=named)
            token = page.get("NextToken")

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await site.gone("sns", "DeleteTopic", TopicArn=made.physical_id)


def _changes(old: dict[str, str], wish: dict[str, str]) -> dict[str, str]:
    """What is to be set; what a template no longer names goes back to its default."""
    changed = {name: value for name, value in wish.items() if old.get(name) != value}
    return changed | {name: "" for name in old if name not in wish}


class Subscription:
    replacing = frozenset({"TopicArn", "Protocol", "Endpoint"})
    beside = {"TopicArn", "Protocol", "Endpoint", "Region"}

    async def create(self, site: Site, wish: Properties) -> Made:
        topic, protocol = need(wish, "TopicArn", "Protocol")
        told = await site.call(
            "sns",
            "Subscribe",
            TopicArn=topic,
            Protocol=protocol,
            Endpoint=wish.get("Endpoint"),
            Attributes=_attributes(wish, _OF_SUBSCRIPTION, self.beside) or None,
            ReturnSubscriptionArn=True,
        )
        arn = told["SubscriptionArn"]
        return Made(arn, {"Arn": arn})

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        wanted = _attributes(wish, _OF_SUBSCRIPTION, self.beside)
        had = _attributes(old, _OF_SUBSCRIPTION, self.beside)
        changes = _changes(had, wanted)
        wider = changes.get("FilterPolicyScope") == "MessageBody"  # nested policies only there
        for name in sorted(changes, key=lambda n: (n == "FilterPolicyScope") != wider):
            told = {"AttributeName": name, "AttributeValue": changes[name]}
            arn = made.physical_id
            await site.call("sns", "SetSubscriptionAttributes", SubscriptionArn=arn, **told)
        return made

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await site.gone("sns", "Unsubscribe", SubscriptionArn=made.physical_id)


class TopicPolicy:
    replacing = frozenset[str]()

    async def create(self, site: Site, wish: Properties) -> Made:
        await self._put(site, wish)
        return Made(site.name(128), {})

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        await self._put(site, wish)
        await self._reset(site, [t for t in old["Topics"] if t not in wish["Topics"]])
        return made

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await self._reset(site, had["Topics"])

    async def _put(self, site: Site, wish: Properties) -> None:
        document, topics = need(wish, "PolicyDocument", "Topics")
        for topic in topics:
            told = {"AttributeName": "Policy", "AttributeValue": _text(document)}
            await site.call("sns", "SetTopicAttributes", TopicArn=topic, **told)

    async def _reset(self, site: Site, topics: list[str]) -> None:
        """Back to the policy of a new topic."""
        for topic in topics:
            told = {"AttributeName": "Policy", "AttributeValue": ""}
            await site.gone("sns", "SetTopicAttributes", TopicArn=topic, **told)


KINDS: dict[str, Any] = {
    "AWS::SNS::Topic": Topic(),
    "AWS::SNS::Subscription": Subscription(),
    "AWS::SNS::TopicPolicy": TopicPolicy(),
}
