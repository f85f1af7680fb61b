"""Delivery policies: which part holds, how fast and as what messages are posted."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from pileus.errors import AwsError
from pileus.hub import Done, Later
from pileus.services.call import ANONYMOUS
from tests.beds import Run
from tests.services.sns.conftest import FUNCTION, SnsAlone

TEXT = "text/plain; charset=UTF-8"


def rate(per_second: Any) -> dict[str, Any]:
    return {"throttlePolicy": {"maxReceivesPerSecond": per_second}}


def kind(content_type: Any) -> dict[str, Any]:
    return {"requestPolicy": {"headerContentType": content_type}}


async def set_topic(sns: SnsAlone, topic: str, **http: Any) -> dict[str, Any]:
    """Set a topic's policy; answers the one that is in effect."""
    told = {"AttributeName": "DeliveryPolicy", "AttributeValue": json.dumps({"http": http})}
    await sns("SetTopicAttributes", TopicArn=topic, **told)
    found = (await sns("GetTopicAttributes", TopicArn=topic))["Attributes"]
    return dict(json.loads(found["EffectiveDeliveryPolicy"])["http"])


async def shown(sns: SnsAlone, arn: str) -> dict[str, Any]:
    found = (await sns("GetSubscriptionAttributes", SubscriptionArn=arn))["Attributes"]
    return dict(json.loads(found["EffectiveDeliveryPolicy"]))


def test_the_parts_of_subscription_and_topic(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        policy = json.dumps({"healthyRetryPolicy": {"numRetries": 5}, **kind("application/json")})
        arn = await sns.webhook(topic, DeliveryPolicy=policy)
        found = await shown(sns, arn)
        assert found["healthyRetryPolicy"]["numRetries"] == 5
        assert found["healthyRetryPolicy"]["minDelayTarget"] == 20
        assert found["throttlePolicy"] is None
        assert found["requestPolicy"] == {"headerContentType": "application/json"}
        told = {
            "defaultHealthyRetryPolicy": {"numRetries": 7},
            "defaultThrottlePolicy": {"maxReceivesPerSecond": 9},
        }
        whole = await set_topic(sns, topic, **told)
        assert whole["disableSubscriptionOverrides"] is False
        assert whole["defaultHealthyRetryPolicy"]["numRetries"] == 7
        assert whole["defaultRequestPolicy"] == {"headerContentType": TEXT}
        found = await shown(sns, arn)
        assert found["healthyRetryPolicy"]["numRetries"] == 5
        assert found["throttlePolicy"] == {"maxReceivesPerSecond": 9}
        whole = await set_topic(sns, topic, **told, disableSubscriptionOverrides=True)
        assert whole["disableSubscriptionOverrides"] is True
        found = await shown(sns, arn)
        assert found["healthyRetryPolicy"]["numRetries"] == 7
        assert found["requestPolicy"] == {"headerContentType": TEXT}

    run(body)


def test_what_is_in_effect_may_be_told_back(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        arn = await sns.webhook(topic)
        whole = await set_topic(sns, topic)
        assert await set_topic(sns, topic, **whole) == whole
        found = {**await shown(sns, arn), "sicklyRetryPolicy": None, "guaranteed": False}
        change = {"AttributeName": "DeliveryPolicy", "AttributeValue": json.dumps(found)}
        await sns("SetSubscriptionAttributes", SubscriptionArn=arn, **change)
        assert (await shown(sns, arn)).items() <= found.items()

    run(body)


async def attempt(sns: SnsAlone) -> list[Done | Later]:
    """One attempt of each delivery that waits; what became of it is not written down."""
    return [await sns.deliveries.handle(item) for item in sns.deliveries.queue._peek()]


def test_an_endpoint_gets_so_many_a_second(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        await sns.webhook(topic, DeliveryPolicy=json.dumps(rate(2)))
        for n in range(4):
            await sns("Publish", TopicArn=topic, Message=str(n))
        first, *later = await attempt(sns)
        assert isinstance(first, Done) and len(sns.heard) == 1
        put_off = [v for v in later if isinstance(v, Later)]
        assert [v.due_ms - sns.clock.ms for v in put_off] == [500, 1000, 1500]
        item = sns.deliveries.queue._peek()[-1]
        held = replace(item, body=put_off[-1].body)
        assert isinstance(await sns.deliveries.handle(held), Done), "this was its turn"

    run(body)


def test_functions_are_not_held_back(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        await set_topic(sns, topic, defaultThrottlePolicy={"maxReceivesPerSecond": 1})
        await sns("Subscribe", TopicArn=topic, Protocol="lambda", Endpoint=FUNCTION)
        for n in range(3):
            await sns("Publish", TopicArn=topic, Message=str(n))
        assert [type(verdict) for verdict in await attempt(sns)] == [Done] * 3

    run(body)


def test_a_retry_has_its_turn_too(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        retry = {"numRetries": 2, "numNoDelayRetries": 2}
        policy = {"healthyRetryPolicy": retry, **rate(1)}
        await sns.webhook(topic, DeliveryPolicy=json.dumps(policy))
        sns.statuses[:] = [503, 503, 503]
        await sns("Publish", TopicArn=topic, Message="m")
        (item,) = sns.deliveries.queue._peek()
        put_off = []
        for _ in range(4):
            verdict = await sns.deliveries.handle(item)
            assert isinstance(verdict, Later)
            put_off.append((len(sns.heard), verdict.due_ms - sns.clock.ms))
            item = replace(item, body=verdict.body)
        assert put_off == [(1, 0), (1, 1000), (2, 0), (2, 2000)]
        assert isinstance(await sns.deliveries.handle(item), Done) and len(sns.heard) == 3

    run(body)


@pytest.mark.parametrize(
    ("content_type", "raw", "sent"),
    [
        ("application/json", "false", "application/json"),
        ("application/xml", "false", TEXT),  # what is posted is SNS's JSON
        ("application/xml", "true", "application/xml"),
        ("text/csv; charset=latin1", "true", "text/csv; charset=latin1"),
    ],
)
def test_what_is_posted_has_a_content_type(
    run: Run[SnsAlone], content_type: str, raw: str, sent: str
) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        policy = json.dumps(kind(content_type))
        arn = await sns.webhook(topic, RawMessageDelivery=raw, DeliveryPolicy=policy)
        attributes = {"a": {"DataType": "String", "StringValue": "b"}}
        told = {"Subject": "S", "MessageAttributes": attributes}
        await sns("Publish", TopicArn=topic, Message="m", **told)
        await sns.deliver()
        await sns("Unsubscribe", caller=ANONYMOUS, SubscriptionArn=arn)
        await sns.deliver()
        (headers, text), (last, goodbye) = sns.heard
        assert headers["content-type"] == sent
        assert headers.get("x-amz-sns-rawdelivery", "false") == raw
        assert text == "m" if raw == "true" else json.loads(text)["Message"] == "m"
        assert json.loads(goodbye)["Type"] == "UnsubscribeConfirmation", "this is never raw"
        assert "x-amz-sns-rawdelivery" not in last

    run(body)


LONG = {"minDelayTarget": 40, "maxDelayTarget": 40, "numRetries": 91}


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("[]", "must be an object"),
        ({"healthyRetryPolicy": LONG}, "sum of all pauses"),
        ({"healthyRetryPolicy": {"numRetries": 101}}, "between 0 and 100"),
        ({"healthyRetryPolicy": {"minDelayTarget": 30}}, "must not be less"),
        ({"healthyRetryPolicy": {"minDelay": 30}}, "not known"),
        (rate(0), "1 or more"),
        (rate("2"), "1 or more"),
        (kind("image/png"), "headerContentType"),
        (kind("text/plain\r\nx: y"), "headerContentType"),
        ({"requestPolicy": {"other": 1}}, "other is not offered"),
        ({"sicklyRetryPolicy": {"numRetries": 1}}, "sicklyRetryPolicy is not offered"),
        ({"http": {}}, "http is not offered"),
    ],
)
def test_what_is_no_policy(run: Run[SnsAlone], policy: Any, words: str) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        text = policy if isinstance(policy, str) else json.dumps(policy)
        told = {"TopicArn": topic, "Protocol": "http", "Endpoint": sns.url}
        with pytest.raises(AwsError, match=f"^Invalid parameter: DeliveryPolicy: .*{words}"):
            await sns("Subscribe", **told, Attributes={"DeliveryPolicy": text})

    run(body)
