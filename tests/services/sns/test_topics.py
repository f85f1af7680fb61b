"""Topics, subscriptions and their attributes; what is refused, and in which words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pileus.errors import AwsError
from pileus.services.call import ANONYMOUS, Call, Principal
from tests.beds import Run
from tests.services.sns.conftest import FUNCTION, REGION, ROOT, SnsAlone

TOPIC = f"arn:aws:sns:{REGION}:{ROOT.account}:news"


def test_a_topic_is_made_once(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        tags = [{"Key": "team", "Value": "a"}]
        told = {"Name": "news", "Attributes": {"DisplayName": "News"}, "Tags": tags}
        assert (await sns("CreateTopic", **told))["TopicArn"] == TOPIC
        assert (await sns("CreateTopic", **told))["TopicArn"] == TOPIC
        assert (await sns("CreateTopic", Name="news"))["TopicArn"] == TOPIC
        with pytest.raises(AwsError, match="already exists with different attributes"):
            await sns("CreateTopic", Name="news", Attributes={"DisplayName": "Other"})
        with pytest.raises(AwsError, match="already exists with different tags"):
            await sns("CreateTopic", Name="news", Tags=[{"Key": "team", "Value": "b"}])
        assert (await sns("ListTagsForResource", ResourceArn=TOPIC))["Tags"] == tags
        await sns("TagResource", ResourceArn=TOPIC, Tags=[{"Key": "x", "Value": ""}])
        await sns("UntagResource", ResourceArn=TOPIC, TagKeys=["team"])
        told = await sns("ListTagsForResource", ResourceArn=TOPIC)
        assert told["Tags"] == [{"Key": "x", "Value": ""}]

    run(body)


def test_lists_come_in_pages(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        made = sorted([await sns.topic(f"t{n}") for n in range(101)])
        first = await sns("ListTopics")
        rest = await sns("ListTopics", NextToken=first["NextToken"])
        assert [t["TopicArn"] for t in first["Topics"] + rest["Topics"]] == made
        assert len(first["Topics"]) == 100 and rest["NextToken"] is None

    run(body)


def test_attributes_are_kept_and_told(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        retry = {"minDelayTarget": 1, "maxDelayTarget": 2, "numRetries": 5}
        policy = json.dumps({"http": {"defaultHealthyRetryPolicy": retry}})
        for name, value in (("DisplayName", "News"), ("DeliveryPolicy", policy)):
            told = {"TopicArn": topic, "AttributeName": name, "AttributeValue": value}
            await sns("SetTopicAttributes", **told)
        await sns("Subscribe", TopicArn=topic, Protocol="lambda", Endpoint=FUNCTION)
        await sns("Subscribe", TopicArn=topic, Protocol="http", Endpoint=sns.url)
        found = (await sns("GetTopicAttributes", TopicArn=topic))["Attributes"]
        assert (found["DisplayName"], found["DeliveryPolicy"]) == ("News", policy)
        assert (found["SubscriptionsConfirmed"], found["SubscriptionsPending"]) == ("1", "1")
        holds = json.loads(found["EffectiveDeliveryPolicy"])["http"]["defaultHealthyRetryPolicy"]
        assert retry.items() <= holds.items()
        assert json.loads(found["Policy"])["Statement"][0]["Resource"] == topic

    run(body)


def test_a_subscriptions_delivery_policy_goes_before_its_topics(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        policy = json.dumps({"healthyRetryPolicy": {"numRetries": 1, "numNoDelayRetries": 1}})
        arn = await sns.webhook(topic, DeliveryPolicy=policy)
        sns.statuses[:] = [500, 500, 500]
        await sns("Publish", TopicArn=topic, Message="m")
        for _ in range(3):
            await sns.deliver()
        assert len(sns.heard) == 2 and sns.left() == 0, "one retry, at once"
        told = {"SubscriptionArn": arn, "AttributeName": "RawMessageDelivery"}
        await sns("SetSubscriptionAttributes", **told, AttributeValue="true")
        found = (await sns("GetSubscriptionAttributes", SubscriptionArn=arn))["Attributes"]
        assert (found["RawMessageDelivery"], found["DeliveryPolicy"]) == ("true", policy)
        assert (found["PendingConfirmation"], found["Protocol"]) == ("false", "http")

    run(body)


def test_permissions_are_statements_of_the_policy(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        told = {"TopicArn": topic, "AWSAccountId": ["111122223333"], "ActionName": ["Publish"]}
        await sns("AddPermission", **told, Label="friend")
        with pytest.raises(AwsError, match="Statement already exists"):
            await sns("AddPermission", **told, Label="friend")
        found = (await sns("GetTopicAttributes", TopicArn=topic))["Attributes"]
        statement = json.loads(found["Policy"])["Statement"][-1]
        assert statement["Principal"] == {"AWS": "arn:aws:iam::111122223333:root"}
        assert (statement["Sid"], statement["Action"]) == ("friend", "SNS:Publish")
        await sns("RemovePermission", TopicArn=topic, Label="friend")
        found = (await sns("GetTopicAttributes", TopicArn=topic))["Attributes"]
        assert len(json.loads(found["Policy"])["Statement"]) == 1

    run(body)


def test_a_deleted_topic_takes_its_subscriptions_along(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        other = await sns.topic("news-2")
        for arn in (topic, other):
            await sns("Subscribe", TopicArn=arn, Protocol="lambda", Endpoint=FUNCTION)
        for _ in range(2):
            await sns("DeleteTopic", TopicArn=topic)
        left = (await sns("ListSubscriptions"))["Subscriptions"]
        assert [s["TopicArn"] for s in left] == [other]
        for operation in ("Publish", "GetTopicAttributes", "ListSubscriptionsByTopic"):
            with pytest.raises(AwsError) as refused:
                await sns(operation, TopicArn=topic, Message="m")
            assert (refused.value.code, refused.value.status) == ("NotFound", 404)
            assert refused.value.message == "Topic does not exist"

    run(body)


@pytest.mark.parametrize(
    ("caller", "flag", "authenticated", "stays"),
    [
        (ANONYMOUS, {}, "false", False),
        (ROOT, {}, "true", False),
        (ROOT, {"AuthenticateOnUnsubscribe": "false"}, "true", False),
        (ROOT, {"AuthenticateOnUnsubscribe": "true"}, "true", True),
    ],
    ids=("unsigned", "signed", "told no", "guarded"),
)
def test_leaving_takes_a_signature_where_that_was_said(
    run: Run[SnsAlone], caller: Principal, flag: dict[str, str], authenticated: str, stays: bool
) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        await sns("Subscribe", TopicArn=topic, Protocol="http", Endpoint=sns.url)
        await sns.deliver()
        told = {"TopicArn": topic, "Token": json.loads(sns.heard[-1][1])["Token"]}
        arn = (await sns("ConfirmSubscription", caller=caller, **told, **flag))["SubscriptionArn"]
        found = (await sns("GetSubscriptionAttributes", SubscriptionArn=arn))["Attributes"]
        assert found["ConfirmationWasAuthenticated"] == authenticated
        leaving = Call("sns", "Unsubscribe", ANONYMOUS, REGION, {"SubscriptionArn": arn})
        if stays:
            with pytest.raises(AwsError) as refused:
                sns.service.access(leaving)
            assert refused.value.code == "AuthorizationError"
        else:
            assert sns.service.access(leaving) == []

    run(body)


HOOK = {"Protocol": "https", "Endpoint": "https://example.com/h"}


@pytest.mark.parametrize(
    ("operation", "params", "words"),
    [
        ("CreateTopic", {"Name": "a b"}, "Topic Name"),
        ("CreateTopic", {"Name": "n" * 257}, "Topic Name"),
        ("CreateTopic", {"Name": "a.fifo"}, "Topic Name"),
        ("CreateTopic", {"Name": "a", "Attributes": {"FifoTopic": "true"}}, "Topic Name"),
        (
            "CreateTopic",
            {"Name": "a.fifo", "Attributes": {"FifoTopic": "true"}},
            "a FIFO topic is not offered",
        ),
        ("CreateTopic", {"Name": "a", "Attributes": {"KmsMasterKeyId": "k"}}, "KmsMasterKeyId is"),
        ("SetTopicAttributes", {"AttributeName": "Policy", "AttributeValue": "{}"}, "Policy Error"),
        ("SetTopicAttributes", {"AttributeName": "TracingConfig"}, "TracingConfig is not"),
        (
            "SetTopicAttributes",
            {"AttributeName": "SignatureVersion", "AttributeValue": "3"},
            "1 or",
        ),
        ("Publish", {"Message": ""}, "Empty message"),
        ("Publish", {"Message": "m" * (256 * 1024 + 1)}, "Message too long"),
        ("Publish", {"Message": "é" * (128 * 1024 + 1)}, "Message too long"),
        ("Publish", {"Message": "m", "Subject": "a\nb"}, "Subject"),
        ("Publish", {"Message": "m", "Subject": "s" * 101}, "Subject"),
        ("Publish", {"Message": "m", "MessageStructure": "json"}, "failed to parse"),
        ("Publish", {"Message": "{}", "MessageStructure": "json"}, "No default entry"),
        ("Publish", {"Message": "m", "PhoneNumber": "+1"}, "SMS is not offered"),
        ("Publish", {"Message": "m", "TopicArn": None}, "TopicArn or TargetArn"),
        ("Publish", {"Message": "m", "TopicArn": "news"}, "TopicArn"),
        ("Subscribe", {"Protocol": "sqs", "Endpoint": "e"}, "sqs is not offered"),
        ("Subscribe", {"Protocol": "email", "Endpoint": "a@b.c"}, "email is not offered"),
        ("Subscribe", {"Protocol": "pigeon", "Endpoint": "e"}, "does not support this protocol"),
        ("Subscribe", {"Protocol": "lambda", "Endpoint": "listen"}, "Lambda endpoint ARN"),
        ("Subscribe", {"Protocol": "http", "Endpoint": "https://a/"}, "Endpoint must match"),
        ("Subscribe", {"Protocol": "http", "Endpoint": "http://a b/"}, "Endpoint Reason"),
        ("Subscribe", {**HOOK, "Attributes": {"RedrivePolicy": "{}"}}, "RedrivePolicy is not"),
        ("Subscribe", {**HOOK, "Attributes": {"DeliveryPolicy": "x"}}, "failed to parse JSON"),
        ("Unsubscribe", {"SubscriptionArn": TOPIC}, "SubscriptionId"),
    ],
)
def test_what_is_refused(
    run: Run[SnsAlone], operation: str, params: dict[str, Any], words: str
) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        with pytest.raises(AwsError) as refused:
            await sns(operation, **{"TopicArn": topic, **params})
        assert (refused.value.code, refused.value.status) == ("InvalidParameter", 400)
        assert refused.value.message.startswith("Invalid parameter: ")
        assert words in refused.value.message
        assert sns.left() == 0

    run(body)


@pytest.mark.parametrize(
    "attribute",
    [
        {"DataType": "Text", "StringValue": "a"},
        {"DataType": "String", "StringValue": ""},
        {"DataType": "Number", "StringValue": "many"},
        {"DataType": "Binary", "StringValue": "a"},
    ],
)
def test_attributes_that_are_none(run: Run[SnsAlone], attribute: dict[str, Any]) -> None:
    async def body(sns: SnsAlone) -> None:
        told = {"TopicArn": await sns.topic(), "Message": "m"}
        with pytest.raises(AwsError) as refused:
            await sns("Publish", **told, MessageAttributes={"a": attribute})
        assert refused.value.code == "ParameterValueInvalid"

    run(body)
