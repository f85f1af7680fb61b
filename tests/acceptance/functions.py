"""Functions to try things with: a role, a zip, one call."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from typing import Any

from lab.policies import TRUST
from tests.conftest import Cloud
from tests.waiting import wait

LOGGING = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


def zipped(text: str) -> bytes:
    """A deployment package of one module, ``app``."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("app.py", text)
    return out.getvalue()


def make_role(cloud: Cloud, *statements: dict[str, Any]) -> str:
    """The ARN of a new role for functions: logs, and what ``statements`` allow."""
    iam = cloud.client("iam")
    name = f"role-{uuid.uuid4().hex[:8]}"
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.attach_role_policy(RoleName=name, PolicyArn=LOGGING)
    if statements:
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(document))
    return str(made["Role"]["Arn"])


def make_function(cloud: Cloud, role: str, code: str, name: str = "", **settings: Any) -> str:
    """The name of a new function, ready to be invoked."""
    name = name or f"f-{uuid.uuid4().hex[:8]}"
    client = cloud.client("lambda")
    wish = {"Timeout": 50, "MemorySize": 256, **settings}
    client.create_function(
        FunctionName=name, Runtime="python3.11", Role=role, Handler="app.handler",
        Code={"ZipFile": zipped(code)}, **wish,
    )  # fmt: skip
    wait(client, "function_active_v2", FunctionName=name)
    return name


def invoke(cloud: Cloud, name: str, event: Any = None) -> tuple[Any, str]:
    """(answer, FunctionError or "")."""
    answer = cloud.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
    return json.load(answer["Payload"]), answer.get("FunctionError", "")
