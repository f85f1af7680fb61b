"""Filter policies, by attributes and by body."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pileus.errors import AwsError
from tests.beds import Run
from tests.services.sns.conftest import FUNCTION, SnsAlone

ATTRIBUTES = {
    "store": {"DataType": "String", "StringValue": "one"},
    "price": {"DataType": "Number", "StringValue": "300.0"},
    "from": {"DataType": "String", "StringValue": "10.0.0.7"},
    "tags": {"DataType": "String.Array", "StringValue": '["a", "b", 7]'},
    "raw": {"DataType": "Binary", "BinaryValue": b"one"},
}
BODY = {"store": "two", "order": {"price": 12.5}}


@pytest.mark.parametrize(
    ("policy", "scope", "heard"),
    [
        ({}, "MessageAttributes", True),
        ({"store": ["one", "other"]}, "MessageAttributes", True),
        ({"store": ["two"]}, "MessageAttributes", False),
        ({"store": ["one"], "price": [299]}, "MessageAttributes", False),
        ({"price": [300]}, "MessageAttributes", True),
        ({"price": [{"numeric": [">", 299, "<=", 300]}]}, "MessageAttributes", True),
        ({"price": ["300"]}, "MessageAttributes", False),
        ({"tags": ["b"]}, "MessageAttributes", True),
        ({"tags": [7]}, "MessageAttributes", True),
        ({"tags": ["c"]}, "MessageAttributes", False),
        ({"raw": ["one"]}, "MessageAttributes", False),
        ({"gone": [{"exists": False}]}, "MessageAttributes", True),
        ({"store": [{"anything-but": "one"}]}, "MessageAttributes", False),
        ({"raw": [{"exists": True}]}, "MessageAttributes", False),
        ({"store": [{"prefix": "on"}]}, "MessageAttributes", True),
        ({"price": [300.0]}, "MessageAttributes", True),
        ({"from": [{"cidr": "10.0.0.0/24"}]}, "MessageAttributes", True),
        ({"$or": [{"store": ["x"]}, {"price": [300]}]}, "MessageAttributes", True),
        ({"store": ["two"]}, "MessageBody", True),
        ({"store": ["one"]}, "MessageBody", False),
        ({"order": {"price": [{"numeric": ["<", 13]}]}}, "MessageBody", True),
        ({"order": {"price": [{"numeric": ["<", 12]}]}}, "MessageBody", False),
    ],
)
def test_who_hears(run: Run[SnsAlone], policy: Any, scope: str, heard: bool) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        wish = {"FilterPolicy": json.dumps(policy), "FilterPolicyScope": scope}
        told = {"TopicArn": topic, "Protocol": "lambda", "Endpoint": FUNCTION}
        await sns("Subscribe", **told, Attributes=wish)
        text = json.dumps(BODY)
        await sns("Publish", TopicArn=topic, Message=text, MessageAttributes=ATTRIBUTES)
        await sns.deliver()
        assert len(sns.invoked) == heard and sns.left() == 0

    run(body)


def test_a_body_that_is_no_object_passes_no_policy(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        wish = {"FilterPolicy": '{"a": [{"exists": false}]}', "FilterPolicyScope": "MessageBody"}
        told = {"TopicArn": topic, "Protocol": "lambda", "Endpoint": FUNCTION}
        await sns("Subscribe", **told, Attributes=wish)
        entries = [{"Id": str(n), "Message": m} for n, m in enumerate(("no json", "[1]", "{}"))]
        await sns("PublishBatch", TopicArn=topic, PublishBatchRequestEntries=entries)
        await sns.deliver()
        assert [e["Records"][0]["Sns"]["Message"] for _, e, _ in sns.invoked] == ["{}"]

    run(body)


def test_long_bodies_are_filtered_too(run: Run[SnsAlone]) -> None:
    """Those are read beside the loop, before the entry is made."""

    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        for n in range(3):
            wish = {"FilterPolicy": json.dumps({"n": [n]}), "FilterPolicyScope": "MessageBody"}
            told = {"TopicArn": topic, "Protocol": "lambda", "Endpoint": f"{FUNCTION}{n}"}
            await sns("Subscribe", **told, Attributes=wish)
        text = json.dumps({"n": [0, 2], "pad": "x" * 100_000})
        await sns("Publish", TopicArn=topic, Message=text)
        await sns.deliver()
        assert {function for function, _, _ in sns.invoked} == {f"{FUNCTION}0", f"{FUNCTION}2"}

    run(body)


def test_a_policy_is_changed_and_taken_away(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        told = {"TopicArn": topic, "Protocol": "lambda", "Endpoint": FUNCTION}
        arn = (await sns("Subscribe", **told))["SubscriptionArn"]
        heard = []
        for policy in ('{"store": ["x"]}', '{"store": ["one"]}', '{"store": ["x"]}', ""):
            wish = {"AttributeName": "FilterPolicy", "AttributeValue": policy}
            await sns("SetSubscriptionAttributes", SubscriptionArn=arn, **wish)
            await sns("Publish", TopicArn=topic, Message="m", MessageAttributes=ATTRIBUTES)
            await sns.deliver()
            heard.append(len(sns.invoked))
        assert heard == [0, 1, 1, 2]

    run(body)


def nested(first: int, second: int) -> str:
    """As many values three deep, and two deep."""
    deep = {"key_b": {"key_c": [str(n) for n in range(first)]}}
    return json.dumps({"key_a": deep, "key_d": {"key_e": [str(n) for n in range(second)]}})


@pytest.mark.parametrize(
    ("policy", "scope"),
    [
        (json.dumps({str(n): ["a"] for n in range(5)}), "MessageAttributes"),
        (json.dumps({"a": {str(n): ["a"] for n in range(7)}, "b": ["a"]}), "MessageBody"),
        (json.dumps({"a": [str(n) for n in range(150)]}), "MessageAttributes"),
        (nested(5, 5), "MessageBody"),  # 5 x 3 x 5 x 2 = 150
        (json.dumps({"a": [10**9, -1e9]}), "MessageAttributes"),
        (json.dumps({"$or": [{"a": ["1"] * 99}, {"b": ["2"] * 51}]}), "MessageAttributes"),
    ],
    ids=["keys", "nested keys", "values", "nested values", "numbers", "alternatives"],
)
def test_the_largest_policies(run: Run[SnsAlone], policy: str, scope: str) -> None:
    async def body(sns: SnsAlone) -> None:
        told = {"TopicArn": await sns.topic(), "Protocol": "lambda", "Endpoint": FUNCTION}
        wish = {"FilterPolicy": policy, "FilterPolicyScope": scope}
        arn = (await sns("Subscribe", **told, Attributes=wish))["SubscriptionArn"]
        found = (await sns("GetSubscriptionAttributes", SubscriptionArn=arn))["Attributes"]
        assert wish.items() <= found.items()

    run(body)


BODY_SCOPE = {"FilterPolicyScope": "MessageBody"}


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"FilterPolicy": "x"}, "failed to parse JSON"),
        ({"FilterPolicy": "[]"}, "not an object"),
        ({"FilterPolicy": '{"a": "b"}'}, '"a" must be an object or an array'),
        ({"FilterPolicy": '{"a": {"b": ["c"]}}'}, "does not support nested"),
        ({"FilterPolicy": '{"$or": [{"a": {"b": ["c"]}}, {"d": ["e"]}]}'}, "support nested"),
        ({"FilterPolicy": json.dumps({str(n): ["a"] for n in range(6)})}, "more than 5 keys"),
        ({"FilterPolicy": json.dumps({"a": ["a"] * 151})}, "too complex"),
        ({"FilterPolicy": nested(13, 2), **BODY_SCOPE}, "too complex"),  # 13 x 3 x 2 x 2 = 156
        (
            {"FilterPolicy": json.dumps({"$or": [{"a": ["1"] * 100}, {"b": ["2"] * 51}]})},
            "too complex",
        ),
        ({"FilterPolicy": '{"a": [1000000001]}'}, "between -1.0E9"),
        ({"FilterPolicy": '{"a": [{"numeric": ["<", -1e10]}]}'}, "between -1.0E9"),
        ({"FilterPolicy": json.dumps({"a": ["b" * 256 * 1024]})}, "larger than 256 KB"),
        ({"FilterPolicyScope": "MessageSubject"}, "Invalid value"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_policies_that_are_refused(run: Run[SnsAlone], wish: dict[str, str], words: str) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        told = {"TopicArn": topic, "Protocol": "lambda", "Endpoint": FUNCTION}
        with pytest.raises(AwsError, match=f"^Invalid parameter: FilterPolicy.*{words}") as refused:
            await sns("Subscribe", **told, Attributes=wish)
        assert refused.value.code == "InvalidParameter"
        before = {k: v for k, v in wish.items() if len(wish) == 2 and k == "FilterPolicyScope"}
        arn = (await sns("Subscribe", **told, Attributes=before))["SubscriptionArn"]
        (name,) = wish.keys() - before.keys()
        change = {"AttributeName": name, "AttributeValue": wish[name]}
        with pytest.raises(AwsError, match=f"^Invalid parameter: FilterPolicy.*{words}"):
            await sns("SetSubscriptionAttributes", SubscriptionArn=arn, **change)

    run(body)


def test_a_scope_is_not_narrowed_under_a_nested_policy(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        told = {"TopicArn": await sns.topic(), "Protocol": "lambda", "Endpoint": FUNCTION}
        arn = (await sns("Subscribe", **told, Attributes={"FilterPolicy": "{}"}))["SubscriptionArn"]
        found = (await sns("GetSubscriptionAttributes", SubscriptionArn=arn))["Attributes"]
        assert found["FilterPolicyScope"] == "MessageAttributes"

        async def change(name: str, value: str) -> None:
            wish = {"AttributeName": name, "AttributeValue": value}
            await sns("SetSubscriptionAttributes", SubscriptionArn=arn, **wish)

        await change("FilterPolicyScope", "MessageBody")
        await change("FilterPolicy", '{"a": {"b": ["c"]}}')
        for narrow in ("MessageAttributes", ""):
            with pytest.raises(AwsError, match="does not support nested"):
                await change("FilterPolicyScope", narrow)

    run(body)
