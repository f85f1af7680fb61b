"""What an alarm does: call a function, post to a webhook, publish to a topic.

Each action is an item of a durable queue, put by the entry that changed the state; it is tried
three times and its outcome stands in the alarm's history, whatever it was.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-actions-Lambda.html
"""

from __future__ import annotations

import uuid
from typing import Any

import orjson

from pileus import hub
from pileus.errors import AwsError, Unavailable
from pileus.services.call import Parts, Principal
from pileus.services.cloudwatch import rows, states
from pileus.services.cloudwatch.rows import Alarm
from pileus.services.owned import parted
from pileus.state.draft import Draft

ATTEMPTS = 3
PAUSES_MS = (1000, 10_000)
TIMEOUT_S = 10.0
SERVICE = "lambda.alarms.cloudwatch.amazonaws.com"


class Actions:
    """The queue of actions and what works it off."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.queue = hub.Queue(
            parts.store, parts.clock, states.QUEUE, self.handle, owner=parts.owner, parallel=8
        )

    async def handle(self, item: hub.Item) -> hub.Done | hub.Later:
        body = item.body
        alarm: Alarm | None = self._parts.store.get_json(
            rows.alarm_key(body["place"], body["alarm"])
        )
        if alarm is None:
            return hub.Done()  # deleted meanwhile
        trouble, final = "", False
        try:
            await self._act(alarm, body)
        except AwsError as error:
            trouble, final = f"{error.code}: {error.message}", error.status < 500
            final = final and error.status != 429
        except (Unavailable, TimeoutError, OSError) as error:
            trouble = str(error) or "no answer in time"
        attempts = body["attempts"] + 1
        if trouble and not final and attempts < ATTEMPTS:
            due_ms = self._parts.clock.now_ms() + PAUSES_MS[attempts - 1]
            return hub.Later(due_ms, {**body, "attempts": attempts})
        return hub.Done(lambda draft: self._note(draft, alarm, body["action"], trouble))

    def _note(self, draft: Draft, alarm: Alarm, action: str, trouble: str) -> None:
        done = "Failed" if trouble else "Successfully"
        summary = f"{done} {'to execute' if trouble else 'executed'} action {action}"
        data = {"actionState": "Failed" if trouble else "Succeeded", "notificationResource": action}
        if trouble:
            data["error"] = trouble
        rows.note(draft, alarm, self._parts.clock.now_ms(), "Action", summary, data)

    async def _act(self, alarm: Alarm, body: dict[str, Any]) -> None:
        action = body["action"]
        if action.startswith(("https://", "http://")):
            await self._post(action, _event(alarm, body))
            return
        service = action.split(":")[2]
        if service == "lambda":
            await self._invoke(alarm, action, _event(alarm, body))
        elif service == "sns":
            await self._publish(alarm, action, body)
        else:
            raise AwsError(
                "NotImplemented",
                f"Actions of {service} are not offered: a function's ARN, a topic's, or a"
                " webhook's https address are.",
            )

    async def _invoke(self, alarm: Alarm, function: str, event: dict[str, Any]) -> None:
        account, region = parted(alarm["place"])
        await self._parts.dispatch(
            "lambda",
            "Invoke",
            {
                "FunctionName": function,
                "InvocationType": "Event",
                "Payload": orjson.dumps(event),
            },
            principal=Principal("service", account, SERVICE, SERVICE),
            region=region,
            context={"aws:SourceArn": alarm["AlarmArn"], "aws:SourceAccount": account},
        )

    async def _publish(self, alarm: Alarm, topic: str, body: dict[str, Any]) -> None:
        account, region = parted(alarm["place"])
        name = "cloudwatch.amazonaws.com"
        state = body["state"]["StateValue"]
        await self._parts.dispatch(
            "sns",
            "Publish",
            {
                "TopicArn": topic,
                "Subject": f'{state}: "{alarm["AlarmName"]}" in {region}'[:100],
                "Message": orjson.dumps(_message(alarm, body)).decode(),
            },
            principal=Principal("service", account, name, name),
            region=region,
            context={"aws:SourceArn": alarm["AlarmArn"], "aws:SourceAccount": account},
        )

    async def _post(self, url: str, event: dict[str, Any]) -> None:
        raw = orjson.dumps(event)
        headers = [("content-type", "application/json"), ("user-agent", "pileus-alarm")]
        answer = await self._parts.outbound.send(
            "POST", url, headers, raw, connect_s=TIMEOUT_S, read_s=TIMEOUT_S
        )
        answer.close()
        if not 200 <= answer.status < 300:
            raise Unavailable(f"the webhook answered {answer.status}", "look at its own log")


def _event(alarm: Alarm, body: dict[str, Any]) -> dict[str, Any]:
    """What a function is told (and a webhook)."""
    account, region = parted(alarm["place"])
    configuration: dict[str, Any] = {"description": alarm.get("AlarmDescription")}
    if alarm["kind"] == rows.COMPOSITE:
        configuration["alarmRule"] = alarm["AlarmRule"]
    else:
        configuration["metrics"] = _metrics(alarm)
    return {
        "source": "aws.cloudwatch",
        "alarmArn": alarm["AlarmArn"],
        "accountId": account,
        "time": states.stamp(body["state"]["at_ms"]),
        "region": region,
        "alarmData": {
            "alarmName": alarm["AlarmName"],
            "state": _state(body["state"]),
            "previousState": _state(body["previous"]),
            "configuration": {k: v for k, v in configuration.items() if v is not None},
        },
    }


def _state(told: dict[str, Any]) -> dict[str, Any]:
    state = {
        "value": told["StateValue"],
        "reason": told["StateReason"],
        "timestamp": states.stamp(told["at_ms"]),
    }
    return state | ({"reasonData": told["StateReasonData"]} if told["StateReasonData"] else {})


def _metrics(alarm: Alarm) -> list[dict[str, Any]]:
    if alarm.get("Metrics"):
        return [
            {
                "id": q["Id"],
                "returnData": q.get("ReturnData") is not False,
                **({"expression": q["Expression"]} if q.get("Expression") else {}),
            }
            for q in alarm["Metrics"]
        ]
    dimensions = {d["Name"]: d["Value"] for d in alarm.get("Dimensions") or ()}
    metric = {
        "namespace": alarm["Namespace"],
        "name": alarm["MetricName"],
        "dimensions": dimensions,
    }
    stat = alarm.get("Statistic") or alarm["ExtendedStatistic"]
    told = {"metric": metric, "period": alarm["Period"], "stat": stat}
    of_the_alarm = str(uuid.uuid5(uuid.NAMESPACE_URL, alarm["AlarmArn"]))
    return [{"id": of_the_alarm, "metricStat": told, "returnData": True}]


def _message(alarm: Alarm, body: dict[str, Any]) -> dict[str, Any]:
    """What subscribers of a topic get."""
    account, region = parted(alarm["place"])
    return {
        "AlarmName": alarm["AlarmName"],
        "AlarmDescription": alarm.get("AlarmDescription"),
        "AWSAccountId": account,
        "AlarmConfigurationUpdatedTimestamp": states.stamp(
            int(1000 * alarm["AlarmConfigurationUpdatedTimestamp"])
        ),
        "NewStateValue": body["state"]["StateValue"],
        "NewStateReason": body["state"]["StateReason"],
        "StateChangeTime": states.stamp(body["state"]["at_ms"]),
        "Region": region,
        "AlarmArn": alarm["AlarmArn"],
        "OldStateValue": body["previous"]["StateValue"],
        "OKActions": alarm.get("OKActions") or [],
        "AlarmActions": alarm.get("AlarmActions") or [],
        "InsufficientDataActions": alarm.get("InsufficientDataActions") or [],
        "Trigger": {
            "MetricName": alarm.get("MetricName"),
            "Namespace": alarm.get("Namespace"),
            "Period": alarm.get("Period"),
            "EvaluationPeriods": alarm.get("EvaluationPeriods"),
            "ComparisonOperator": alarm.get("ComparisonOperator"),
            "Threshold": alarm.get("Threshold"),
        },
    }
