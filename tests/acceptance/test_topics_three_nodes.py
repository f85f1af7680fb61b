"""What topics and alarms acknowledged at one node is heard, though who delivers dies (H1, L2, S5).

Messages are published at one node, a function that subscribes writes down what it hears, a third
node is asked what that was; the node that does the work for all, deliveries among it, is killed.
"""

from __future__ import annotations

import threading
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lab.rig import RigNode, until
from tests.acceptance.functions import make_function, make_role
from tests.acceptance.nodes import ONCE, At, Cloud, make_table, seen_from
from tests.services.alarms import make_alarm

HEARD = "heardthree"
NOTING = f"""
import boto3, json
table = boto3.resource("dynamodb").Table("{HEARD}")
def handler(event, context):
    for record in event["Records"]:
        text = record["Sns"]["Message"]
        name = json.loads(text)["AlarmName"] if text.startswith("{{") else text
        table.put_item(Item={{"k": name, "id": record["Sns"]["MessageId"]}})
"""
ALARM = "three-nodes"


class Publisher:
    """Publishes at a node, one message after the other; ``acknowledged``: text → its id."""

    def __init__(self, sns: Any, topic: str) -> None:
        self.acknowledged: dict[str, str] = {}
        self._sns, self._topic = sns, topic
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._publish)
        self._thread.start()

    def _publish(self) -> None:
        number = 0
        while not self._stop.wait(0.05):
            text, number = f"m{number}", number + 1
            try:
                told = self._sns.publish(TopicArn=self._topic, Message=text)
            except (BotoCoreError, ClientError):
                continue
            self.acknowledged[text] = told["MessageId"]

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def test_what_a_topic_acknowledged_is_heard_though_who_delivers_dies(three_nodes: Cloud) -> None:
    cloud = three_nodes
    nodes = {node.name: node for node in cloud.rig.nodes[:3]}
    delivering = nodes.pop(until(lambda: _delivering(cloud), 20, "a node that delivers"))
    here, there = nodes.values()
    topic = _topic(cloud, here)
    watch = cloud.client("cloudwatch", here)
    publisher = Publisher(cloud.client("sns", here, ONCE), topic)
    try:
        until(lambda: len(publisher.acknowledged) > 20, 40, "messages before it")
        until(lambda: _heard(cloud, there), 60, "the first is heard")
        delivering.kill()
        before = len(publisher.acknowledged)
        until(lambda: len(publisher.acknowledged) > before + 20, 40, "messages after it")
        until(lambda: _raised(watch), 40, "the alarm is raised without it")
    finally:
        publisher.stop()
    wanted = publisher.acknowledged.keys() | {ALARM}
    until(lambda: _heard(cloud, there).keys() >= wanted, 120, "everything is heard", 0.5)
    heard = _heard(cloud, there)
    told = publisher.acknowledged
    assert {text: heard[text] for text in told} == told, "under the ids that were answered"


def _delivering(cloud: Cloud) -> str:
    seen = seen_from(cloud.rig.nodes[0])
    return next((name for name, told in seen.items() if "background" in told["roles"]), "")


def _topic(cloud: Cloud, node: RigNode) -> str:
    """A topic whose subscriber notes what it hears, and an alarm that tells it."""
    at = At(cloud, node)
    make_table(at.client("dynamodb"), HEARD)
    may = {"Effect": "Allow", "Action": "dynamodb:PutItem", "Resource": "*"}
    name = make_function(at, make_role(at, may), NOTING)  # type: ignore[arg-type]
    sns = at.client("sns")
    topic = str(sns.create_topic(Name="three-nodes")["TopicArn"])
    functions = at.client("lambda")
    functions.add_permission(
        FunctionName=name, StatementId="topic", Action="lambda:InvokeFunction",
        Principal="sns.amazonaws.com", SourceArn=topic,
    )  # fmt: skip
    arn = functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=arn)
    make_alarm(at, ALARM, AlarmActions=[topic])  # type: ignore[arg-type]
    return topic


def _raised(watch: Any) -> bool:
    try:
        watch.set_alarm_state(AlarmName=ALARM, StateValue="ALARM", StateReason="a drill")
    except (BotoCoreError, ClientError):
        return False
    return True


def _heard(cloud: Cloud, node: RigNode) -> dict[str, str]:
    """What the subscriber noted, as another node tells it: text → the message's id."""
    pages = cloud.client("dynamodb", node).get_paginator("scan")
    found = pages.paginate(TableName=HEARD, ConsistentRead=True)
    return {i["k"]["S"]: i["id"]["S"] for page in found for i in page["Items"]}
