"""Topics as clients use them: boto3, with an endpoint and keys, against a running cloud."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from botocore.exceptions import ClientError

from tests.answering import Answering, listening
from tests.conftest import Cloud, new_cloud, new_cloud_up
from tests.services.alarms import make_alarm, outcomes, set_alarm
from tests.services.listening import WAIT_S, heard_by, let_call, make_listener
from tests.soak.kill import kill_all

ACCOUNT, OTHER = "000000000000", "111111111111"


class Endpoint:
    """An endpoint that listens on loopback. ``away``: it answers 503 to all but questions."""

    def __init__(self) -> None:
        self._posted: Queue[dict[str, Any]] = Queue()
        self.away = False
        self.place = ""

    def take(self, told: dict[str, Any]) -> bool:
        """Whether it is there for what is posted."""
        if self.away and told["Type"] == "Notification":
            return False
        self._posted.put(told)
        return True

    def next(self, kind: str) -> dict[str, Any]:
        """The next one of a kind that is posted; others are passed over."""
        deadline = time.monotonic() + WAIT_S
        while (left := deadline - time.monotonic()) > 0:
            try:
                told = self._posted.get(timeout=left)
            except Empty:
                break
            if told["Type"] == kind:
                return told
        raise AssertionError(f"no {kind} came")


@contextmanager
def _listening() -> Iterator[Endpoint]:
    endpoint = Endpoint()

    class Handler(Answering):
        def do_POST(self) -> None:
            taken = endpoint.take(json.loads(self.asked()))
            self.answer(status=200 if taken else 503)

    with listening(Handler) as port:
        endpoint.place = f"127.0.0.1:{port}"
        yield endpoint


@pytest.fixture(scope="module")
def heard() -> Iterator[tuple[Cloud, Endpoint]]:
    """A cloud of two accounts that may post to one endpoint of this machine."""
    with _listening() as endpoint:
        settings = f'egress_allow = "{endpoint.place}"\naccounts = "{OTHER}"\n'
        with new_cloud_up(settings) as made:
            yield made, endpoint


def test_an_alarm_reaches_a_function_and_a_confirmed_endpoint(
    heard: tuple[Cloud, Endpoint],
) -> None:
    cloud, endpoint = heard
    sns = cloud.client("sns")
    topic = sns.create_topic(Name="pager")["TopicArn"]
    function = make_listener(cloud, "pager")
    let_call(cloud, function, "sns.amazonaws.com", SourceArn=topic)
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function)
    url = f"http://{endpoint.place}/page"
    told = sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=url)
    assert told["SubscriptionArn"] == "pending confirmation"
    asked = endpoint.next("SubscriptionConfirmation")
    with urlopen(asked["SubscribeURL"]) as answer:  # as any client, without keys
        assert b"<SubscriptionArn>arn:aws:sns:" in answer.read()
    make_alarm(cloud, "paged", AlarmActions=[topic])
    set_alarm(cloud, "paged", "ALARM")
    posted = endpoint.next("Notification")
    (event,) = heard_by(cloud, function)
    sent = event["Records"][0]["Sns"]
    for message in (posted, sent):
        assert message["TopicArn"] == topic
        assert message["Subject"] == 'ALARM: "paged" in us-east-1'
        assert json.loads(message["Message"])["NewStateValue"] == "ALARM"
    assert posted["MessageId"] == sent["MessageId"]
    with urlopen(posted["UnsubscribeURL"]):
        pass
    left = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert [s["Protocol"] for s in left] == ["lambda"]
    goodbye = endpoint.next("UnsubscribeConfirmation")
    with urlopen(goodbye["SigningCertURL"]) as answer:
        assert answer.read().startswith(b"-----BEGIN CERTIFICATE-----")
    with urlopen(goodbye["SubscribeURL"]):
        pass
    back = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert {s["Endpoint"] for s in back} == {function, url}
    with pytest.raises(HTTPError) as refused:  # nobody unsubscribes a function without keys
        urlopen(
            posted["UnsubscribeURL"].rpartition("%3A")[0] + "%3A" + left[0]["SubscriptionArn"][-36:]
        )
    assert refused.value.code == 403


def test_another_account_publishes_by_leave_of_the_topic(heard: tuple[Cloud, Endpoint]) -> None:
    cloud, endpoint = heard
    keys = json.loads((cloud.home / "credentials.json").read_text())["accounts"][OTHER]
    own = {"access_key": keys["access_key_id"], "secret_key": keys["secret_access_key"]}
    mine, theirs = cloud.client("sns"), cloud.client("sns", **own)
    topic = mine.create_topic(Name="shared")["TopicArn"]
    with pytest.raises(theirs.exceptions.AuthorizationErrorException):
        theirs.publish(TopicArn=topic, Message="m")
    told = {"Label": "friend", "AWSAccountId": [OTHER], "ActionName": ["Publish"]}
    mine.add_permission(TopicArn=topic, **told)
    assert theirs.publish(TopicArn=topic, Message="m")["MessageId"]
    with pytest.raises(theirs.exceptions.AuthorizationErrorException):
        theirs.subscribe(TopicArn=topic, Protocol="http", Endpoint=f"http://{endpoint.place}/")
    mine.remove_permission(TopicArn=topic, Label="friend")
    with pytest.raises(theirs.exceptions.AuthorizationErrorException):
        theirs.publish(TopicArn=topic, Message="m")


def test_what_was_answered_comes_though_all_are_killed(tmp_path: Path) -> None:
    """kill -9 of every process after the answers and before a delivery has arrived."""
    with _listening() as endpoint:
        (tmp_path / "pileus.toml").write_text(f'egress_allow = "{endpoint.place}"\n')
        cloud = new_cloud(tmp_path).up()
        try:
            sns = cloud.client("sns")
            topic = sns.create_topic(Name="kept")["TopicArn"]
            often = {"minDelayTarget": 1, "maxDelayTarget": 1, "numRetries": 100}
            sns.subscribe(
                TopicArn=topic,
                Protocol="http",
                Endpoint=f"http://{endpoint.place}/",
                Attributes={"DeliveryPolicy": json.dumps({"healthyRetryPolicy": often})},
            )
            asked = endpoint.next("SubscriptionConfirmation")
            sns.confirm_subscription(TopicArn=topic, Token=asked["Token"])
            endpoint.away = True
            sent = [sns.publish(TopicArn=topic, Message=str(n))["MessageId"] for n in range(20)]
            kill_all(cloud)
            endpoint.away = False
            cloud.up()
            found = set[str]()
            while found < set(sent):
                found.add(endpoint.next("Notification")["MessageId"])
            assert found == set(sent)
        finally:
            cloud.down()


def test_errors_have_the_codes_sdks_know(cloud: Cloud) -> None:
    sns = cloud.client("sns")
    gone = f"arn:aws:sns:us-east-1:{ACCOUNT}:gone"
    with pytest.raises(sns.exceptions.NotFoundException, match="Topic does not exist"):
        sns.publish(TopicArn=gone, Message="m")
    with pytest.raises(sns.exceptions.InvalidParameterException, match="Invalid parameter"):
        sns.create_topic(Name="not a name")
    with pytest.raises(sns.exceptions.InvalidParameterException, match="TopicArn"):
        sns.delete_topic(TopicArn="")
    with pytest.raises(sns.exceptions.ResourceNotFoundException):
        sns.list_tags_for_resource(ResourceArn=gone)
    with pytest.raises(sns.exceptions.ClientError, match="NotImplemented"):
        sns.check_if_phone_number_is_opted_out(phoneNumber="+1")


def _user(cloud: Cloud, name: str, action: str, resource: str) -> Any:
    iam = cloud.client("iam")
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy)
    own = {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}
    return cloud.client("sns", **own)


def test_rights_are_asked_for(cloud: Cloud) -> None:
    sns = cloud.client("sns")
    mine, other = (sns.create_topic(Name=n)["TopicArn"] for n in ("boto-mine", "boto-other"))
    writer = _user(cloud, "topic-writer", "sns:Publish", mine)
    assert writer.publish(TopicArn=mine, Message="m")["MessageId"]
    batch = [{"Id": "a", "Message": "m"}]
    assert writer.publish_batch(TopicArn=mine, PublishBatchRequestEntries=batch)["Successful"]
    for ask in (
        lambda: writer.publish(TopicArn=other, Message="m"),
        lambda: writer.publish(TargetArn=other, Message="m"),
        lambda: writer.publish_batch(TopicArn=other, PublishBatchRequestEntries=batch),
        lambda: writer.list_topics(),
        lambda: writer.get_topic_attributes(TopicArn=mine),
        lambda: writer.delete_topic(TopicArn=mine),
    ):
        with pytest.raises(writer.exceptions.AuthorizationErrorException, match="not authorized"):
            ask()
    deny = {"Effect": "Deny", "Principal": "*", "Action": "SNS:Publish", "Resource": mine}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    sns.set_topic_attributes(TopicArn=mine, AttributeName="Policy", AttributeValue=policy)
    with pytest.raises(writer.exceptions.AuthorizationErrorException, match="explicit deny"):
        writer.publish(TopicArn=mine, Message="m")


def test_a_policy_without_services_keeps_alarms_out(cloud: Cloud) -> None:
    """The default policy lets the account's alarms publish; one that does not name them does not,
    and the alarm's history says so."""
    sns = cloud.client("sns")
    topic = sns.create_topic(Name="boto-closed")["TopicArn"]
    make_alarm(cloud, "boto-closed", AlarmActions=[topic], OKActions=[topic])
    set_alarm(cloud, "boto-closed", "ALARM")
    assert outcomes(cloud, "boto-closed", 1) == [f"Successfully executed action {topic}"]
    allow = {
        "Effect": "Allow",
        "Principal": {"AWS": ACCOUNT},
        "Action": "SNS:Publish",
        "Resource": topic,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
    set_alarm(cloud, "boto-closed", "OK")
    assert f"Failed to execute action {topic}" in outcomes(cloud, "boto-closed", 2)


def said(call: Any, **params: Any) -> tuple[str, str]:
    """(code, message) of an error."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    told = caught.value.response["Error"]
    return told["Code"], told["Message"]


def test_refusals_as_recorded_of_aws(cloud: Cloud) -> None:
    sns, name = cloud.client("sns"), f"recorded-{uuid.uuid4().hex[:8]}"
    arn = sns.create_topic(Name=name, Tags=[{"Key": "a", "Value": "1"}])["TopicArn"]
    elements = "Invalid parameter: {} Reason: An ARN must have at least 6 elements, not {}"
    for told, count in (("any", 1), ("any:1", 2), ("", 1)):
        refused = said(sns.publish, TopicArn=told, Message="m")
        assert refused == ("InvalidParameter", elements.format("TopicArn", count))
    device = arn.replace(name, "endpoint/GCM/app/1")
    assert "No endpoint found" in said(sns.publish, TargetArn=device, Message="m")[1]
    assert said(sns.unsubscribe, SubscriptionArn="a:b")[1] == elements.format("SubscriptionArn", 2)
    assert said(sns.unsubscribe, SubscriptionArn=arn)[1] == "Invalid parameter: SubscriptionId"
    elsewhere = arn.replace(":us-east-1:", ":eu-west-3:")
    refused = said(sns.get_topic_attributes, TopicArn=elsewhere)
    assert refused == ("InvalidParameter", "Invalid parameter: TopicArn")
    never = f"{arn}-never"
    asked = {"TopicArn": never, "Protocol": "carrier-pigeon", "Endpoint": "e"}
    assert said(sns.subscribe, **asked) == ("NotFound", "Topic does not exist")
    assert said(sns.confirm_subscription, TopicArn=arn, Token="x")[1] == "Invalid token"
    asked = {"TopicArn": never, "Token": "0" * 128}
    assert said(sns.confirm_subscription, **asked)[1] == "Invalid parameter: Token"
    entry = {"Id": "a.b", "Message": "m"}
    told = said(sns.publish_batch, TopicArn=arn, PublishBatchRequestEntries=[entry])
    assert told[0] == "InvalidBatchEntryId" and told[1].endswith("impermissible character: a.b")
    entry["Id"] = "a" * 81
    told = said(sns.publish_batch, TopicArn=arn, PublishBatchRequestEntries=[entry])
    assert told[1].endswith(f"is too long: {'a' * 81}")
    assert said(sns.create_topic, Name=f"{name}.fifo")[1] == "Invalid parameter: Topic Name"
    fifo = {"FifoTopic": "true"}
    assert said(sns.create_topic, Name=name, Attributes=fifo)[1] == "Invalid parameter: Topic Name"
    assert "not offered" in said(sns.create_topic, Name=f"{name}.fifo", Attributes=fifo)[1]
    account = arn.split(":")[4]
    asked = {"TopicArn": arn, "Label": "l", "AWSAccountId": [account]}
    assert "out of service scope!" in said(sns.add_permission, **asked, ActionName=["Dance"])[1]
    sns.add_permission(**asked, ActionName=["Publish"])
    attributes = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    added = json.loads(attributes["Policy"])["Statement"][-1]
    assert added["Action"] == "SNS:Publish"
    assert added["Principal"] == {"AWS": f"arn:aws:iam::{account}:root"}
    effective = json.loads(attributes["EffectiveDeliveryPolicy"])["http"]
    assert "defaultHealthyRetryPolicy" in effective and None not in effective.values()


def test_some_of_its_tags_name_the_same_topic(cloud: Cloud) -> None:
    sns, name = cloud.client("sns"), f"tagged-{uuid.uuid4().hex[:8]}"
    tags = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
    arn = sns.create_topic(Name=name, Tags=tags)["TopicArn"]
    for some in (tags, tags[:1], []):
        assert sns.create_topic(Name=name, Tags=some)["TopicArn"] == arn
    other = [{"Key": "a", "Value": "2"}]
    assert "already exists with different tags" in said(sns.create_topic, Name=name, Tags=other)[1]
    told = said(sns.create_topic, Name=name, Tags=[tags[0], tags[0]])[1]
    assert told == "Invalid parameter: Duplicated keys are not allowed."
