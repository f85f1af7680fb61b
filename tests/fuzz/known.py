"""Random requests about things that are there: names, ids, enumerations and sizes that fit, so that
what is behind the parsers is reached too."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.fuzz import documents
from tests.fuzz.sent import Sent
from tests.wire.test_codecs import Maker

WORDS = ("a", "b", "name", "x-1", "Default", "a/b", "*", "1", "true", "é", "")
CHANCE = 0.35


@dataclass
class Things:
    """What there is in a round: member name in lower case → values."""

    values: dict[str, list[str]] = field(default_factory=dict)

    def add(self, value: str, *members: str) -> None:
        for member in members:
            self.values.setdefault(member.lower(), []).append(value)


def things(name: str) -> Things:
    """Those whose names we choose."""
    made = Things()
    made.add(name, "TableName", "Bucket", "RoleName", "UserName", "GroupName", "StackName",
             "logGroupName", "FunctionName", "PolicyName", "InstanceProfileName")  # fmt: skip
    made.add("by-s", "IndexName")
    made.add("a", "Key", "logStreamName", "AttributeName", "KeyMarker", "Prefix")
    made.add(f"alias/{name}", "AliasName", "KeyId", "TargetKeyId")
    made.add(f"/{name}/a", "CopySource")
    iam = "arn:aws:iam::000000000000"
    for kind in ("role", "user", "policy"):
        made.add(f"{iam}:{kind}/{name}", f"{kind}Arn", "ResourceArn", "PrincipalArn", "Role")
    table = f"arn:aws:dynamodb:us-east-1:000000000000:table/{name}"
    made.add(table, "ResourceArn", "TableName", "TableArn")
    made.add(f"arn:aws:logs:us-east-1:000000000000:log-group:{name}", "resourceArn", "logGroupArn")
    for member in ("PolicyDocument", "Policy", "policyDocument"):
        made.add(json.dumps(documents.OWN), member)
    made.add(json.dumps(documents.TRUST), "AssumeRolePolicyDocument")
    made.add(json.dumps(documents.TEMPLATE), "TemplateBody")
    made.add("python3.11", "Runtime")
    return made


def beginnings(name: str) -> list[tuple[Sent, dict[str, tuple[str, ...]]]]:
    """Requests that make more of them, and which member of the answer (JSON) names what."""
    kind = {"content-type": "application/x-amz-json-1.1"}

    def told(service: str, target: str, params: dict[str, Any]) -> Sent:
        return Sent(target, service, "POST", "/", "", {**kind, "x-amz-target": target},
                    orjson.dumps(params))  # fmt: skip

    forms = documents.forms(
        "iam", "2010-05-08",
        ("CreateUser", {"UserName": name}), ("CreateGroup", {"GroupName": name}),
        ("CreateRole", {"RoleName": name, "AssumeRolePolicyDocument": json.dumps(documents.TRUST)}),
        ("CreatePolicy", {"PolicyName": name, "PolicyDocument": json.dumps(documents.OWN)}),
        ("CreateInstanceProfile", {"InstanceProfileName": name}),
    )  # fmt: skip
    made: list[tuple[Sent, dict[str, tuple[str, ...]]]] = [(form, {}) for form in forms]
    group = {"logGroupName": name}
    stream = {**group, "logStreamName": "a"}
    named = {"KeyId": ("KeyId", "TargetKeyId"), "Arn": ("KeyId", "SSEKMSKeyId")}
    api = orjson.dumps({"name": name, "protocolType": "HTTP"})
    json_kind = {"content-type": "application/json"}
    made += [
        (told("logs", "Logs_20140328.CreateLogGroup", group), {}),
        (told("logs", "Logs_20140328.CreateLogStream", stream), {}),
        (told("kms", "TrentService.CreateKey", {}), named),
        (
            Sent("CreateApi", "apigateway", "POST", "/v2/apis", "", json_kind, api),
            {"apiId": ("ApiId",)},
        ),
    ]
    return made


class Known(Maker):
    """Values of a shape; ``things`` for the members they are called after."""

    def __init__(self, rng: random.Random, there: Things) -> None:
        self.random = rng
        self.there = there.values

    def _structure(self, shape: Any, depth: int, plain: bool) -> Any:
        made = {}
        for name, member in shape.members.items():
            told = member.serialization
            wanted = name in shape.required_members or self.random.random() < CHANCE / (1 + depth)
            if told.get("eventstream") or (not wanted and not told.get("hostLabel")):
                continue
            if told.get("hostLabel"):
                made[name] = "000000000000"
            elif member.type_name == "string" and name.lower() in self.there:
                made[name] = self.random.choice(self.there[name.lower()])
            else:
                made[name] = self.value(member, depth + 1, plain or "location" in told)
        return made

    def _list(self, shape: Any, depth: int, plain: bool) -> Any:
        count = self.random.choice((0, 1, 1, 2)) if depth < 8 else 0
        return [self.value(shape.member, depth + 1, plain) for _ in range(count)]

    def _scalar(self, shape: Any, depth: int, plain: bool) -> Any:
        kind, rng = shape.type_name, self.random
        if kind == "string" and shape.enum:
            return rng.choice(shape.enum)
        if kind in ("integer", "long"):
            low = int(shape.metadata.get("min", 0))
            high = int(shape.metadata.get("max", low + 100))
            return rng.choice((low, min(low + 1, high), high, rng.randint(low, max(low, high))))
        if kind == "string" and rng.random() < 0.7:
            some = rng.choice(WORDS[:5] if plain else WORDS)
            return some.ljust(int(shape.metadata.get("min", 0)), "x")
        return super()._scalar(shape, depth, plain)
