"""Topics, their subscriptions and policies in stacks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from tests.conftest import Cloud
from tests.services.cloudformation.test_stacks import create, outputs, settle

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:"


def template(name: str, retries: int | None, inline: list[str], policy: bool) -> str:
    """``retries``: of the webhook's delivery policy, None: none of its own; ``inline``: names of
    functions that the topic itself subscribes."""
    hook: dict[str, Any] = {"TopicArn": {"Ref": "Topic"}, "Protocol": "http"}
    hook["Endpoint"] = "http://127.0.0.1:9/hook"
    if retries is not None:
        hook["DeliveryPolicy"] = {"healthyRetryPolicy": {"numRetries": retries}}
        hook |= {"FilterPolicy": {"a": {"b": ["c"]}}, "FilterPolicyScope": "MessageBody"}
    else:
        hook["FilterPolicy"] = {"a": ["b"]}
    topic = {"DisplayName": name} if name else {}
    listeners = [{"Protocol": "lambda", "Endpoint": FUNCTION + one} for one in inline]
    tags = [{"Key": "team", "Value": name or "none"}]
    deny = {"Effect": "Deny", "Principal": "*", "Action": "sns:Publish"}
    statement = {**deny, "Resource": {"Ref": "Topic"}}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    resources: dict[str, Any] = {
        "Topic": {
            "Type": "AWS::SNS::Topic",
            "Properties": {**topic, "Subscription": listeners, "Tags": tags},
        },
        "Hook": {"Type": "AWS::SNS::Subscription", "Properties": hook},
    }
    if policy:
        told = {"PolicyDocument": document, "Topics": [{"Ref": "Topic"}]}
        resources["Policy"] = {"Type": "AWS::SNS::TopicPolicy", "Properties": told}
    told = {n: {"Value": {"Ref": n}} for n in ("Topic", "Hook")}
    named = {"Value": {"Fn::GetAtt": ["Topic", "TopicName"]}}
    return json.dumps({"Resources": resources, "Outputs": {**told, "Name": named}})


def test_a_stack_makes_changes_and_deletes_a_topic(cloud: Cloud) -> None:
    cfn, sns = cloud.client("cloudformation"), cloud.client("sns")
    create(cfn, "topical", template("News", 7, ["one", "two"], policy=True))
    made = outputs(cfn, "topical")
    topic, hook = made["Topic"], made["Hook"]
    assert topic.endswith(f":{made['Name']}") and hook.startswith(f"{topic}:")

    def told() -> tuple[str, dict[str, str], set[str], str]:
        attributes = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
        found = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
        functions = {s["Endpoint"].rpartition(":")[2] for s in found if s["Protocol"] == "lambda"}
        tags = {t["Key"]: t["Value"] for t in sns.list_tags_for_resource(ResourceArn=topic)["Tags"]}
        (statement,) = json.loads(attributes["Policy"])["Statement"]
        return attributes["DisplayName"], tags, functions, statement["Effect"]

    def retries() -> int:
        found = sns.get_subscription_attributes(SubscriptionArn=hook)["Attributes"]
        return int(json.loads(found["EffectiveDeliveryPolicy"])["healthyRetryPolicy"]["numRetries"])

    name, tags, functions, effect = told()
    assert (name, tags["team"], functions, effect) == ("News", "News", {"one", "two"}, "Deny")
    assert retries() == 7
    changed = template("", None, ["two", "three"], policy=False)
    cfn.update_stack(StackName="topical", TemplateBody=changed)
    settle(cfn, "topical", "update")
    assert outputs(cfn, "topical") == made, "nothing was replaced"
    name, tags, functions, effect = told()
    assert (name, tags["team"], functions, effect) == ("", "none", {"two", "three"}, "Allow")
    assert retries() == 3
    cfn.update_stack(StackName="topical", TemplateBody=template("News", 5, [], policy=True))
    settle(cfn, "topical", "update")
    assert outputs(cfn, "topical") == made and retries() == 5 and told()[2:] == (set(), "Deny")
    found = sns.get_subscription_attributes(SubscriptionArn=hook)["Attributes"]
    assert json.loads(found["FilterPolicy"]) == {"a": {"b": ["c"]}}
    assert found["FilterPolicyScope"] == "MessageBody"
    cfn.delete_stack(StackName="topical")
    settle(cfn, "topical", "delete")
    assert topic not in [t["TopicArn"] for t in sns.list_topics()["Topics"]]


def test_a_property_that_is_not_offered_fails_by_name(cloud: Cloud) -> None:
    cfn = cloud.client("cloudformation")
    properties = {"KmsMasterKeyId": "alias/aws/sns"}
    body = {"Resources": {"T": {"Type": "AWS::SNS::Topic", "Properties": properties}}}
    cfn.create_stack(StackName="untopical", TemplateBody=json.dumps(body), OnFailure="DO_NOTHING")
    with pytest.raises(WaiterError):
        settle(cfn, "untopical", "create")
    events = cfn.describe_stack_events(StackName="untopical")["StackEvents"]
    reasons = " ".join(e.get("ResourceStatusReason", "") for e in events)
    assert "KmsMasterKeyId is not offered by Pileus" in reasons
    cfn.delete_stack(StackName="untopical")
    settle(cfn, "untopical", "delete")


def test_a_topic_whose_subscription_fails_is_not_left_behind(cloud: Cloud) -> None:
    cfn = cloud.client("cloudformation")
    listener = {"Protocol": "carrier-pigeon", "Endpoint": "loft"}
    properties = {"TopicName": "half-made", "Subscription": [listener]}
    body = {"Resources": {"T": {"Type": "AWS::SNS::Topic", "Properties": properties}}}
    cfn.create_stack(StackName="halftopic", TemplateBody=json.dumps(body))
    with pytest.raises(WaiterError):
        settle(cfn, "halftopic", "create")
    arns = [t["TopicArn"] for t in cloud.client("sns").list_topics()["Topics"]]
    assert not [arn for arn in arns if arn.endswith(":half-made")]
    cfn.delete_stack(StackName="halftopic")
    settle(cfn, "halftopic", "delete")
