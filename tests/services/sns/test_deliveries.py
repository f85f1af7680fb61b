"""Messages: durable before the answer, delivered at least once, given up after a known while."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from pileus.errors import AwsError
from pileus.services.call import ANONYMOUS
from pileus.services.sns.retries import FUNCTION as FUNCTIONS
from pileus.services.sns.retries import HTTP, Retries
from tests.beds import Run
from tests.services.sns.conftest import FUNCTION, SnsAlone, opened


def test_a_message_reaches_a_function_and_an_endpoint(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        of_function = await sns("Subscribe", TopicArn=topic, Protocol="lambda", Endpoint=FUNCTION)
        of_hook = await sns.webhook(topic)
        attributes = {
            "tone": {"DataType": "String", "StringValue": "dry"},
            "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
        }
        told = await sns(
            "Publish", TopicArn=topic, Message="hé", Subject="S", MessageAttributes=attributes
        )
        await sns.deliver()
        ((function, event, how),) = sns.invoked
        (record,) = event["Records"]
        assert (function, record["EventSource"]) == (FUNCTION, "aws:sns")
        assert record["EventSubscriptionArn"] == of_function["SubscriptionArn"]
        assert record["Sns"]["MessageId"] == told["MessageId"]
        assert record["Sns"]["MessageAttributes"]["raw"] == {"Type": "Binary", "Value": "AP8="}
        assert how["principal"].name == "sns.amazonaws.com"
        assert how["context"]["aws:SourceArn"] == topic
        ((headers, text),) = sns.heard
        posted = json.loads(text)
        assert (posted["Type"], posted["Message"], posted["Subject"]) == ("Notification", "hé", "S")
        assert posted["MessageAttributes"]["tone"] == {"Type": "String", "Value": "dry"}
        assert headers["x-amz-sns-message-type"] == "Notification"
        assert headers["x-amz-sns-message-id"] == told["MessageId"] == posted["MessageId"]
        assert headers["x-amz-sns-topic-arn"] == topic
        assert headers["x-amz-sns-subscription-arn"] == of_hook
        assert sns.left() == 0

    run(body)


def test_what_was_answered_is_delivered_after_a_crash(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as sns:
            topic = await sns.topic()
            await sns("Subscribe", TopicArn=topic, Protocol="lambda", Endpoint=FUNCTION)
            told = await sns("Publish", TopicArn=topic, Message="m")
            assert sns.invoked == []
        async with opened(tmp_path, sns.clock) as again:
            await again.deliver()
            ((_, event, _how),) = again.invoked
            assert event["Records"][0]["Sns"]["MessageId"] == told["MessageId"]
            assert again.left() == 0

    asyncio.run(body())


def test_one_event_for_all_attempts(run: Run[SnsAlone]) -> None:
    """A delivery that is made again, as after a crash behind it, has the same invocation's id."""

    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        await sns("Subscribe", TopicArn=topic, Protocol="lambda", Endpoint=FUNCTION)
        await sns("Publish", TopicArn=topic, Message="m")
        (item,) = sns.deliveries.queue._peek()
        for _ in range(2):
            await sns.deliveries.handle(item)
        first, second = (how["invocation_id"] for _, _, how in sns.invoked)
        assert first == second and len(first) == 16

    run(body)


def test_an_endpoint_that_fails_is_tried_again_by_its_policy(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        await sns.webhook(topic)
        sns.statuses[:] = [503, 429, 500]
        await sns("Publish", TopicArn=topic, Message="m")
        for attempts in (1, 2, 3, 4):
            await sns.deliver()
            assert len(sns.heard) == attempts
            await sns.deliver()
            assert len(sns.heard) == attempts, "not before its pause is over"
            sns.clock.ms += 20_000
        assert sns.left() == 0
        sns.heard.clear()
        sns.statuses[:] = [503] * 9
        await sns("Publish", TopicArn=topic, Message="m")
        for _ in range(9):
            await sns.deliver()
            sns.clock.ms += 20_000
        assert len(sns.heard) == 4 and sns.left() == 0, "given up after three retries"

    run(body)


def test_a_refusal_is_final_and_holds_nobody_up(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        await sns.webhook(topic)
        await sns("Subscribe", TopicArn=topic, Protocol="lambda", Endpoint=FUNCTION)
        sns.statuses[:] = [404]
        sns.refusal = AwsError("AccessDeniedException", "no", 403)
        await sns("Publish", TopicArn=topic, Message="m")
        await sns.deliver()
        assert len(sns.heard) == 1 and sns.left() == 0
        sns.refusal = AwsError("ServiceException", "away", 500)
        await sns("Publish", TopicArn=topic, Message="m")
        await sns.deliver()
        assert len(sns.heard) == 2 and sns.left() == 3, "the function's is put off"
        sns.refusal = None
        await sns.deliver()
        assert len(sns.invoked) == 1 and sns.left() == 0

    run(body)


def test_who_left_hears_no_more(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        arn = await sns.webhook(topic)
        await sns("Publish", TopicArn=topic, Message="m")
        await sns("Unsubscribe", caller=ANONYMOUS, SubscriptionArn=arn)
        await sns.deliver()
        ((headers, text),) = sns.heard
        assert headers["x-amz-sns-message-type"] == "UnsubscribeConfirmation"
        assert headers["x-amz-sns-subscription-arn"] == arn
        assert arn in json.loads(text)["Message"] and sns.left() == 0
        await sns("Unsubscribe", caller=ANONYMOUS, SubscriptionArn=arn)
        await sns("Publish", TopicArn=topic, Message="m")
        assert sns.left() == 0
        with pytest.raises(AwsError, match="Subscription does not exist"):
            await sns("GetSubscriptionAttributes", SubscriptionArn=arn)

    run(body)


def test_who_left_comes_back_by_what_he_was_told(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        arn = await sns.webhook(topic, FilterPolicy='{"a": [{"exists": false}]}')

        async def counted() -> tuple[str, str]:
            found = (await sns("GetTopicAttributes", TopicArn=topic))["Attributes"]
            return found["SubscriptionsConfirmed"], found["SubscriptionsDeleted"]

        for _ in range(2):
            await sns("Unsubscribe", caller=ANONYMOUS, SubscriptionArn=arn)
            assert await counted() == ("0", "1")
            await sns.deliver()
            told = json.loads(sns.heard[-1][1])
            assert told["Token"] in told["SubscribeURL"]
            for _ in range(2):
                said = await sns("ConfirmSubscription", TopicArn=topic, Token=told["Token"])
                assert said["SubscriptionArn"] == arn
            assert await counted() == ("1", "0")
        found = (await sns("GetSubscriptionAttributes", SubscriptionArn=arn))["Attributes"]
        assert found["FilterPolicy"] == '{"a": [{"exists": false}]}'
        await sns("Publish", TopicArn=topic, Message="m")
        await sns.deliver()
        assert json.loads(sns.heard[-1][1])["Message"] == "m"

    run(body)


def test_who_left_may_not_come_back_late_or_twice(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        arn = await sns.webhook(topic)
        await sns("Unsubscribe", caller=ANONYMOUS, SubscriptionArn=arn)
        await sns.deliver()
        first = json.loads(sns.heard[-1][1])["Token"]
        sns.clock.ms += 2 * 86_400_000 + 1
        with pytest.raises(AwsError, match="Invalid parameter: Token"):
            await sns("ConfirmSubscription", TopicArn=topic, Token=first)
        other = await sns.webhook(topic)  # the same endpoint, asked anew
        assert other != arn
        sns.clock.ms -= 86_400_000
        with pytest.raises(AwsError, match="Invalid parameter: Token"):
            await sns("ConfirmSubscription", TopicArn=topic, Token=first)

    run(body)


def test_what_its_owner_ends_is_ended(run: Run[SnsAlone]) -> None:
    """The endpoint is not told, and has nothing to come back by."""

    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        arn = await sns.webhook(topic)
        await sns("Unsubscribe", SubscriptionArn=arn)
        await sns.deliver()
        found = (await sns("GetTopicAttributes", TopicArn=topic))["Attributes"]
        assert (found["SubscriptionsConfirmed"], found["SubscriptionsDeleted"]) == ("0", "0")
        assert sns.heard == [] and sns.left() == 0

    run(body)


def test_an_endpoint_that_never_confirmed_is_told_nothing(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        told = {"TopicArn": topic, "Protocol": "http", "Endpoint": sns.url}
        arn = (await sns("Subscribe", **told, ReturnSubscriptionArn=True))["SubscriptionArn"]
        await sns("Unsubscribe", caller=ANONYMOUS, SubscriptionArn=arn)
        await sns.deliver()
        assert sns.heard == [] and sns.left() == 0

    run(body)


def test_raw_delivery_and_a_text_for_each_protocol(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        await sns.webhook(topic, RawMessageDelivery="true")
        await sns("Subscribe", TopicArn=topic, Protocol="lambda", Endpoint=FUNCTION)
        texts = json.dumps({"default": "d", "http": "for http", "sms": 7})
        await sns("Publish", TopicArn=topic, Message=texts, MessageStructure="json")
        await sns.deliver()
        ((headers, text),) = sns.heard
        assert text == "for http" and headers["x-amz-sns-rawdelivery"] == "true"
        assert sns.invoked[0][1]["Records"][0]["Sns"]["Message"] == "d"

    run(body)


def test_nobody_hears_before_he_said_yes(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        told = {"TopicArn": topic, "Protocol": "http", "Endpoint": sns.url}
        assert (await sns("Subscribe", **told))["SubscriptionArn"] == "pending confirmation"
        arn = (await sns("Subscribe", **told, ReturnSubscriptionArn=True))["SubscriptionArn"]
        await sns("Publish", TopicArn=topic, Message="m")
        await sns.deliver()
        assert len(sns.heard) == 2, "asked twice, and told nothing"
        headers, text = sns.heard[-1]
        asked = json.loads(text)
        assert asked["Type"] == headers["x-amz-sns-message-type"] == "SubscriptionConfirmation"
        assert asked["Token"] in asked["SubscribeURL"]
        found = await sns("ListSubscriptionsByTopic", TopicArn=topic)
        assert [s["SubscriptionArn"] for s in found["Subscriptions"]] == ["PendingConfirmation"]
        with pytest.raises(AwsError, match="Invalid parameter: Token"):
            await sns("ConfirmSubscription", TopicArn=topic, Token="0" * 128)
        sns.clock.ms += 2 * 86_400_000 + 1
        with pytest.raises(AwsError, match="Invalid parameter: Token"):
            await sns("ConfirmSubscription", TopicArn=topic, Token=asked["Token"])
        await sns("Subscribe", **told)
        await sns.deliver()
        token = json.loads(sns.heard[-1][1])["Token"]
        for _ in range(2):
            said = await sns("ConfirmSubscription", TopicArn=topic, Token=token)
            assert said["SubscriptionArn"] == arn
        assert (await sns("Subscribe", **told))["SubscriptionArn"] == arn

    run(body)


def test_a_batch_is_taken_but_for_what_is_wrong(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        await sns("Subscribe", TopicArn=topic, Protocol="lambda", Endpoint=FUNCTION)
        entries: list[dict[str, Any]] = [
            {"Id": "a", "Message": "one"},
            {"Id": "b", "Message": ""},
            {"Id": "c", "Message": "three"},
        ]
        told = await sns("PublishBatch", TopicArn=topic, PublishBatchRequestEntries=entries)
        assert [s["Id"] for s in told["Successful"]] == ["a", "c"]
        assert [(f["Id"], f["Code"]) for f in told["Failed"]] == [("b", "InvalidParameter")]
        await sns.deliver()
        said = {event["Records"][0]["Sns"]["Message"] for _, event, _ in sns.invoked}
        assert said == {"one", "three"}
        for wrong, code in (
            ([], "EmptyBatchRequest"),
            ([{"Id": str(n), "Message": "m"} for n in range(11)], "TooManyEntriesInBatchRequest"),
            ([{"Id": "a", "Message": "m"}] * 2, "BatchEntryIdsNotDistinct"),
            ([{"Id": n, "Message": "m" * 140_000} for n in "ab"], "BatchRequestTooLong"),
        ):
            with pytest.raises(AwsError) as refused:
                await sns("PublishBatch", TopicArn=topic, PublishBatchRequestEntries=wrong)
            assert refused.value.code == code

    run(body)


@pytest.mark.parametrize(
    ("policy", "pauses"),
    [
        (HTTP, [20, 20, 20, None]),
        (Retries(1, 60, 6, 1, 2, 1, "linear"), [0, 1, 1, 1, 60, 60, None]),
        (Retries(1, 100, 3, 0, 0, 0, "geometric"), [1, 10, 100, None]),
        (Retries(5, 5, 0), [None]),
    ],
)
def test_pauses_follow_the_phases_of_a_policy(policy: Retries, pauses: list[float | None]) -> None:
    found = [policy.pause_s(failed) for failed in range(1, len(pauses) + 1)]
    assert found == [p if p is None else pytest.approx(p) for p in pauses]


def test_functions_are_tried_for_23_days() -> None:
    found = [FUNCTIONS.pause_s(failed) for failed in range(1, 20)]
    assert found[:5] == [0, 0, 0, 1, 1] and found[5] == 1 and found[14:] == [20] * 5
    assert sorted(found[5:15]) == found[5:15]
    assert FUNCTIONS.pause_s(100_015) == 20 and FUNCTIONS.pause_s(100_016) is None
