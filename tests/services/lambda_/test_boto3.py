"""Lambda and its logs as a user meets them: boto3 with an endpoint and keys, real workers."""

from __future__ import annotations

import base64
import io
import json
import time
import urllib.error
import urllib.request
import uuid
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.policies import TRUST
from tests.waiting import wait

LOGGING = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
CODE = """
import os, json
def handler(event, context):
    print("seen", event)
    if event.get("fail"):
        raise ValueError("as asked")
    return {"event": event, "colour": os.environ.get("COLOUR"), "version": context.function_version}
"""


def zipped(text: str = CODE, name: str = "app.py") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, text)
    return out.getvalue()


def eventually(look: Callable[[], Any], seconds: float = 10) -> Any:
    """The first truthy answer of ``look``."""
    deadline = time.monotonic() + 4 * seconds  # the machine may be busy
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen")


@pytest.fixture(scope="module")
def role(cloud: Any) -> str:
    """A role that Lambda may assume and that may write logs."""
    iam = cloud.client("iam")
    name = f"lambda-{uuid.uuid4().hex[:8]}"
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.attach_role_policy(RoleName=name, PolicyArn=LOGGING)
    return str(made["Role"]["Arn"])


@pytest.fixture
def function(cloud: Any, role: str) -> str:
    name = f"f-{uuid.uuid4().hex[:8]}"
    client = cloud.client("lambda")
    client.create_function(
        FunctionName=name, Runtime="python3.11", Role=role, Handler="app.handler",
        Code={"ZipFile": zipped()}, Environment={"Variables": {"COLOUR": "blue"}}, Timeout=30,
    )  # fmt: skip
    wait(client, "function_active_v2", FunctionName=name)
    return name


def messages(cloud: Any, group: str, pattern: str = "") -> list[str]:
    logs = cloud.client("logs")
    try:
        found = logs.filter_log_events(logGroupName=group, filterPattern=pattern)
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [event["message"] for event in found["events"]]


def test_invoke_answers_tells_errors_and_logs(cloud: Any, function: str) -> None:
    client = cloud.client("lambda")
    answer = client.invoke(FunctionName=function, Payload=b'{"a": 1}', LogType="Tail")
    assert answer["StatusCode"] == 200 and answer["ExecutedVersion"] == "$LATEST"
    assert json.load(answer["Payload"]) == {
        "event": {"a": 1}, "colour": "blue", "version": "$LATEST",
    }  # fmt: skip
    assert b"seen {'a': 1}" in base64.b64decode(answer["LogResult"])
    failed = client.invoke(FunctionName=function, Payload=b'{"fail": true}')
    assert failed["FunctionError"] == "Unhandled"
    assert json.load(failed["Payload"])["errorType"] == "ValueError"
    group = f"/aws/lambda/{function}"
    lines = eventually(lambda: messages(cloud, group, "REPORT")[1:] and messages(cloud, group))
    assert any(line == "seen {'a': 1}\n" for line in lines)
    assert sum(line.startswith("REPORT RequestId: ") for line in lines) == 2
    streams = cloud.client("logs").describe_log_streams(
        logGroupName=group, orderBy="LastEventTime", descending=True
    )["logStreams"]
    assert streams[0]["lastEventTimestamp"] > 0


def test_response_stream(cloud: Any, function: str) -> None:
    client = cloud.client("lambda")
    big = {"x": "y" * 200_000}
    answer = client.invoke_with_response_stream(
        FunctionName=function, Payload=json.dumps(big), LogType="Tail"
    )
    assert answer["ExecutedVersion"] == "$LATEST"
    events = list(answer["EventStream"])
    text = b"".join(e["PayloadChunk"]["Payload"] for e in events if "PayloadChunk" in e)
    assert json.loads(text)["event"] == big
    assert b"REPORT" in base64.b64decode(events[-1]["InvokeComplete"]["LogResult"])
    failed = client.invoke_with_response_stream(FunctionName=function, Payload=b'{"fail": 1}')
    (only,) = failed["EventStream"]
    assert only["InvokeComplete"]["ErrorCode"] == "Unhandled"
    assert "as asked" in only["InvokeComplete"]["ErrorDetails"]


def test_an_event_runs_later(cloud: Any, function: str) -> None:
    answer = cloud.client("lambda").invoke(
        FunctionName=function, InvocationType="Event", Payload=b'{"later": 1}'
    )
    assert answer["StatusCode"] == 202
    eventually(lambda: messages(cloud, f"/aws/lambda/{function}", "later"))


def test_reserving_nothing_stops_a_function(cloud: Any, function: str) -> None:
    client = cloud.client("lambda")
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    with pytest.raises(client.exceptions.TooManyRequestsException) as caught:
        client.invoke(FunctionName=function, Payload=b"{}")
    assert caught.value.response["Reason"].startswith("ReservedFunctionConcurrent")
    client.delete_function_concurrency(FunctionName=function)
    assert client.invoke(FunctionName=function, Payload=b"{}")["StatusCode"] == 200


def test_updates_versions_and_aliases(cloud: Any, function: str) -> None:
    client = cloud.client("lambda")
    one = client.publish_version(FunctionName=function)
    client.create_alias(FunctionName=function, Name="live", FunctionVersion=one["Version"])
    client.update_function_code(
        FunctionName=function, ZipFile=zipped("def handler(e, c): return 'new'")
    )
    wait(client, "function_updated_v2", FunctionName=function)
    assert json.load(client.invoke(FunctionName=function)["Payload"]) == "new"
    live = client.invoke(FunctionName=function, Qualifier="live", Payload=b"{}")
    assert live["ExecutedVersion"] == "1"
    assert json.load(live["Payload"])["version"] == "1"
    found = client.get_function(FunctionName=function)
    with urllib.request.urlopen(found["Code"]["Location"], timeout=60) as answer:
        assert len(answer.read()) == found["Configuration"]["CodeSize"]
    versions = client.get_paginator("list_versions_by_function").paginate(FunctionName=function)
    assert [v["Version"] for page in versions for v in page["Versions"]] == ["$LATEST", "1"]


def test_layers_are_importable(cloud: Any, role: str) -> None:
    client = cloud.client("lambda")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("python/shared.py", "WORD = 'layered'")
    name = f"l-{uuid.uuid4().hex[:8]}"
    layer = client.publish_layer_version(
        LayerName=name, Content={"ZipFile": out.getvalue()}, CompatibleRuntimes=["python3.11"]
    )
    code = "import shared\ndef handler(e, c): return shared.WORD"
    client.create_function(
        FunctionName=name, Runtime="python3.11", Role=role, Handler="app.handler",
        Code={"ZipFile": zipped(code)}, Layers=[layer["LayerVersionArn"]], Timeout=30,
    )  # fmt: skip
    assert json.load(client.invoke(FunctionName=name)["Payload"]) == "layered"


def test_refusals_in_aws_words(cloud: Any, role: str, function: str) -> None:
    client = cloud.client("lambda")

    def refused(call: Callable[[], Any]) -> tuple[str, int, str]:
        with pytest.raises(ClientError) as caught:
            call()
        error, meta = caught.value.response["Error"], caught.value.response["ResponseMetadata"]
        return error["Code"], meta["HTTPStatusCode"], error["Message"]

    code, status, text = refused(lambda: client.invoke(FunctionName="none-such"))
    assert (code, status) == ("ResourceNotFoundException", 404)
    assert text.startswith("Function not found: arn:aws:lambda:")
    account = role.split(":")[4]
    code, status, text = refused(
        lambda: client.create_function(
            FunctionName="x",
            Runtime="python3.11",
            Handler="a.b",
            Code={"ZipFile": zipped()},
            Role=f"arn:aws:iam::{account}:role/none-such",
        )  # fmt: skip
    )
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert text == "The role defined for the function cannot be assumed by Lambda."
    code, status, _ = refused(lambda: client.invoke(FunctionName=function, Payload=b"{"))
    assert (code, status) == ("InvalidRequestContentException", 400)
    signing = f"arn:aws:lambda:us-east-1:{account}:code-signing-config:csc-{'0' * 17}"
    code, _, text = refused(
        lambda: client.list_functions_by_code_signing_config(CodeSigningConfigArn=signing)
    )
    assert "ListFunctionsByCodeSigningConfig" in text


def test_a_role_without_logs_permission_writes_nothing(cloud: Any) -> None:
    iam, client = cloud.client("iam"), cloud.client("lambda")
    name = f"silent-{uuid.uuid4().hex[:8]}"
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
    client.create_function(
        FunctionName=name, Runtime="python3.11", Role=made["Role"]["Arn"], Handler="app.handler",
        Code={"ZipFile": zipped()}, Timeout=30,
    )  # fmt: skip
    client.invoke(FunctionName=name, Payload=b"{}")
    time.sleep(1)
    assert messages(cloud, f"/aws/lambda/{name}") == []
    iam.attach_role_policy(RoleName=name, PolicyArn=LOGGING)
    client.invoke(FunctionName=name, Payload=b"{}")
    eventually(lambda: messages(cloud, f"/aws/lambda/{name}"))


def test_creating_needs_pass_role(cloud: Any, role: str) -> None:
    iam = cloud.client("iam")
    user = f"u-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=user)
    allow = {"Effect": "Allow", "Action": "lambda:*", "Resource": "*"}
    iam.put_user_policy(
        UserName=user, PolicyName="p",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}),
    )  # fmt: skip
    key = iam.create_access_key(UserName=user)["AccessKey"]
    client = cloud.client(
        "lambda", access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"]
    )
    with pytest.raises(ClientError, match="iam:PassRole"):
        client.create_function(
            FunctionName=user, Runtime="python3.11", Role=role, Handler="app.handler",
            Code={"ZipFile": zipped()},
        )  # fmt: skip


def test_a_function_url_is_open_once_the_policy_says_so(cloud: Any, function: str) -> None:
    client = cloud.client("lambda")
    made = client.create_function_url_config(FunctionName=function, AuthType="NONE")
    url_id = made["FunctionUrl"].removeprefix("http://").partition(".")[0]
    address = f"{cloud.endpoint}/_lambda/{url_id}/path?x=1"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(address, timeout=60)
    client.add_permission(
        FunctionName=function, StatementId="all", Action="lambda:InvokeFunctionUrl",
        Principal="*", FunctionUrlAuthType="NONE",
    )  # fmt: skip
    client.add_permission(
        FunctionName=function, StatementId="too", Action="lambda:InvokeFunction",
        Principal="*", InvokedViaFunctionUrl=True,
    )  # fmt: skip
    with urllib.request.urlopen(address, timeout=60) as answer:
        event = json.load(answer)["event"]
    assert event["rawPath"] == "/path" and event["queryStringParameters"] == {"x": "1"}
    host = {"Host": f"{url_id}.lambda-url.localhost:{cloud.port}"}
    asked = urllib.request.Request(f"{cloud.endpoint}/by-host", headers=host)
    with urllib.request.urlopen(asked, timeout=60) as answer:
        assert json.load(answer)["event"]["rawPath"] == "/by-host"
