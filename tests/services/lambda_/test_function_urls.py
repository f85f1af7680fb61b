"""Function URLs and streamed answers as a user meets them: HTTP clients, boto3, the AWS SDK for
Node.js, templates. What a function waits for is an object that the test puts when it has read what
came before: order, not time."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from lab.policies import TRUST
from tests.runtime.harness import SOURCE
from tests.services.cloudformation.test_stacks import create, outputs, settle
from tests.services.cloudfront.test_cloudfront import config
from tests.services.lambda_.test_boto3 import eventually, messages, zipped
from tests.waiting import wait

NODE = """
const {once} = require('node:events');
const {S3Client, HeadObjectCommand, PutObjectCommand} = require('@aws-sdk/client-s3');
const s3 = new S3Client({forcePathStyle: true});
const put = async (Bucket, Key) => {
  for (;;) {
    try { return await s3.send(new HeadObjectCommand({Bucket, Key})); }
    catch (error) { if (error.name !== 'NotFound') throw error; }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};
exports.handler = awslambda.streamifyResponse(async (event, out) => {
  const asked = event.body ? JSON.parse(event.body) : event;
  console.log('began', asked.key);
  if (asked.metadata) out = awslambda.HttpResponseStream.from(out, asked.metadata);
  if (asked.flood) {
    for (let i = 0; i < asked.flood; i++) {
      if (out.write(Buffer.alloc(65536))) continue;
      const stalled = new PutObjectCommand({Bucket: asked.bucket, Key: asked.key, Body: ''});
      const late = setTimeout(() => s3.send(stalled), 1000);
      await once(out, 'drain');
      clearTimeout(late);
    }
    console.log('ended', asked.key);
    out.end();
    return;
  }
  out.write('first,');
  await put(asked.bucket, asked.key);
  if (asked.fail) throw new RangeError('as asked');
  out.write('last');
  console.log('ended', asked.key);
  out.end();
});
"""
PYTHON = """
def handler(event, context):
    return {"statusCode": 200, "body": event["requestContext"].get("authorizer", {})}
"""
READER = """
import {LambdaClient, InvokeWithResponseStreamCommand} from '@aws-sdk/client-lambda';
import {S3Client, PutObjectCommand} from '@aws-sdk/client-s3';
const [FunctionName, Bucket, Key] = process.argv.slice(2);
const asked = {FunctionName, Payload: JSON.stringify({bucket: Bucket, key: Key}), LogType: 'Tail'};
const answer = await new LambdaClient({}).send(new InvokeWithResponseStreamCommand(asked));
const parts = [];
let complete;
for await (const event of answer.EventStream) {
  if (event.PayloadChunk) {
    parts.push(new TextDecoder().decode(event.PayloadChunk.Payload));
    if (parts.length === 1) {
      const put = new PutObjectCommand({Bucket, Key, Body: ''});
      await new S3Client({forcePathStyle: true}).send(put);
    }
  } else complete = event.InvokeComplete;
}
const tail = Buffer.from(complete.LogResult, 'base64').toString();
const version = answer.ExecutedVersion;
console.log(JSON.stringify({parts, version, report: tail.includes('REPORT')}));
"""


def unique(word: str) -> str:
    return f"{word}-{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="module")
def role(cloud: Any) -> str:
    iam, name = cloud.client("iam"), unique("streams")
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
    for policy in ("service-role/AWSLambdaBasicExecutionRole", "AmazonS3FullAccess"):
        iam.attach_role_policy(RoleName=name, PolicyArn=f"arn:aws:iam::aws:policy/{policy}")
    return str(made["Role"]["Arn"])


@pytest.fixture(scope="module")
def bucket(cloud: Any) -> str:
    name = unique("gate")
    cloud.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="module")
def streaming(cloud: Any, role: str) -> str:
    """A Node.js function that answers ``first,``, waits for an object, and goes on."""
    name = unique("streaming")
    cloud.client("lambda").create_function(
        FunctionName=name, Runtime="nodejs20.x", Role=role, Handler="app.handler", Timeout=300,
        MemorySize=256, Code={"ZipFile": zipped(NODE, "app.js")},
    )  # fmt: skip
    return name


@pytest.fixture(scope="module")
def telling(cloud: Any, role: str) -> str:
    """A Python function that tells who called."""
    name = unique("telling")
    cloud.client("lambda").create_function(
        FunctionName=name, Runtime="python3.12", Role=role, Handler="app.handler", Timeout=60,
        Code={"ZipFile": zipped(PYTHON)},
    )  # fmt: skip
    return name


def allow_all(cloud: Any, name: str) -> None:
    """The two statements of a public address."""
    told: list[dict[str, Any]] = [
        {"Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
        {"Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True},
    ]
    for number, statement in enumerate(told):
        cloud.client("lambda").add_permission(
            FunctionName=name, StatementId=f"all{number}", Principal="*", **statement
        )


def send(
    cloud: Any, url: str, body: bytes = b"", headers: dict[str, str] | None = None, port: int = 0
) -> http.client.HTTPResponse:
    """Ask the address; its name need not be resolved here."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", port or cloud.port, timeout=300)
    told = {"Host": parts.netloc, "Content-Type": "application/json", **(headers or {})}
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    connection.request("POST" if body else "GET", target, body or None, told)
    return connection.getresponse()


def signed(url: str, body: bytes, keys: dict[str, str], service: str = "lambda") -> dict[str, str]:
    told = {"Content-Type": "application/json"}
    request = AWSRequest("POST" if body else "GET", url, told, data=body or None)
    credentials = Credentials(keys["AccessKeyId"], keys["SecretAccessKey"])
    SigV4Auth(credentials, service, "us-east-1").add_auth(request)
    return {k: v for k, v in request.headers.items() if k.lower() != "host"}


@pytest.fixture(scope="module")
def address(cloud: Any, streaming: str) -> str:
    made = cloud.client("lambda").create_function_url_config(
        FunctionName=streaming, AuthType="NONE", InvokeMode="RESPONSE_STREAM"
    )
    allow_all(cloud, streaming)
    return str(made["FunctionUrl"])


def test_a_client_reads_before_the_function_ends(
    cloud: Any, streaming: str, bucket: str, address: str
) -> None:
    key = uuid.uuid4().hex
    told = {"statusCode": 207, "headers": {"content-type": "text/x"}, "cookies": ["a=1", "b=2"]}
    asked = {"bucket": bucket, "key": key, "metadata": told}
    answer = send(cloud, address, json.dumps(asked).encode())
    assert (answer.status, answer.getheader("content-type")) == (207, "text/x")
    assert answer.headers.get_all("set-cookie") == ["a=1", "b=2"]
    assert answer.read(6) == b"first,"
    cloud.client("s3").put_object(Bucket=bucket, Key=key)  # without it the function waits on
    assert answer.read() == b"last"
    group = f"/aws/lambda/{streaming}"
    eventually(lambda: any("ended " + key in m for m in messages(cloud, group, key)))


def test_a_function_that_fails_amid_its_answer_cuts_the_connection(
    cloud: Any, bucket: str, address: str
) -> None:
    key = uuid.uuid4().hex
    asked = {"bucket": bucket, "key": key, "fail": True}
    answer = send(cloud, address, json.dumps(asked).encode())
    assert answer.status == 200 and answer.getheader("content-type") == "application/octet-stream"
    assert answer.read(6) == b"first,"
    cloud.client("s3").put_object(Bucket=bucket, Key=key)
    with pytest.raises(http.client.IncompleteRead):
        answer.read()


def leave(cloud: Any, url: str, function: str, bucket: str, port: int = 0) -> None:
    """Go when the function waits for somebody to read: it must end all the same."""
    key = uuid.uuid4().hex
    asked = {"bucket": bucket, "key": key, "flood": 1024}
    answer = send(cloud, url, json.dumps(asked).encode(), port=port)
    wait(cloud.client("s3"), "object_exists", Bucket=bucket, Key=key)
    answer.close()
    group = f"/aws/lambda/{function}"
    eventually(lambda: any("ended " + key in m for m in messages(cloud, group, key)))


def test_a_client_that_leaves_does_not_end_the_function(
    cloud: Any, streaming: str, bucket: str, address: str
) -> None:
    leave(cloud, address, streaming, bucket)


def test_a_client_that_does_not_read_makes_the_function_wait(
    cloud: Any, bucket: str, address: str
) -> None:
    key = uuid.uuid4().hex
    asked = {"bucket": bucket, "key": key, "flood": 1024}
    answer = send(cloud, address, json.dumps(asked).encode())
    s3 = cloud.client("s3")
    wait(s3, "object_exists", Bucket=bucket, Key=key)  # a write of its was not taken
    assert len(answer.read()) == 1024 * 65536


def test_a_distribution_hands_parts_on(
    cloud: Any, streaming: str, bucket: str, address: str
) -> None:
    """Where nothing is to be cached. A viewer who leaves does not end the function either."""
    wish: dict[str, Any] = config(unique("urls"))
    (origin,) = wish["Origins"]["Items"]
    del origin["S3OriginConfig"]
    origin["DomainName"] = f"{address[7:].partition('.')[0]}.lambda-url.us-east-1.on.aws"
    ports = {"HTTPPort": 80, "HTTPSPort": 443}
    origin["CustomOriginConfig"] = {**ports, "OriginProtocolPolicy": "http-only"}
    methods = ["HEAD", "DELETE", "POST", "GET", "OPTIONS", "PUT", "PATCH"]
    wish["DefaultCacheBehavior"]["AllowedMethods"] = {"Quantity": 7, "Items": methods}
    made = cloud.client("cloudfront").create_distribution(DistributionConfig=wish)["Distribution"]
    url = f"http://{made['DomainName']}:{cloud.edge_port}/"
    key = uuid.uuid4().hex
    asked = json.dumps({"bucket": bucket, "key": key}).encode()
    answer = send(cloud, url, asked, port=cloud.edge_port)
    assert answer.read(6) == b"first,"
    cloud.client("s3").put_object(Bucket=bucket, Key=key)
    assert answer.read() == b"last"
    leave(cloud, url, streaming, bucket, cloud.edge_port)


def test_boto3_reads_events_as_they_come(cloud: Any, streaming: str, bucket: str) -> None:
    key = uuid.uuid4().hex
    asked = {"bucket": bucket, "key": key}
    ask: Callable[..., Any] = cloud.client("lambda").invoke_with_response_stream
    answer = ask(FunctionName=streaming, Payload=json.dumps(asked), LogType="Tail")
    events = iter(answer["EventStream"])
    assert next(events) == {"PayloadChunk": {"Payload": b"first,"}}
    cloud.client("s3").put_object(Bucket=bucket, Key=key)
    assert next(events) == {"PayloadChunk": {"Payload": b"last"}}
    (complete,) = events
    assert complete["InvokeComplete"]["LogResult"] and "ErrorCode" not in complete["InvokeComplete"]
    failed = ask(FunctionName=streaming, Payload=json.dumps(asked | {"fail": True}))
    _, complete = failed["EventStream"]
    assert complete["InvokeComplete"]["ErrorCode"] == "Unhandled"
    assert json.loads(complete["InvokeComplete"]["ErrorDetails"])["errorType"] == "RangeError"


def test_the_node_sdk_reads_events_as_they_come(
    cloud: Any, streaming: str, bucket: str, tmp_path: Any
) -> None:
    modules = SOURCE / "pileus/runtime/node/node_modules"
    if shutil.which("node") is None or not (modules / "@aws-sdk").is_dir():
        pytest.skip("no Node.js, or its packages are not installed: make setup")
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "read.mjs").write_text(READER)
    key = uuid.uuid4().hex
    done = subprocess.run(
        ["node", "read.mjs", streaming, bucket, key], cwd=tmp_path, capture_output=True, text=True,
        env={**cloud.env, "PATH": "/usr/bin:/bin"}, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told == {"parts": ["first,", "last"], "version": "$LATEST", "report": True}


def test_a_public_address_needs_both_permissions(cloud: Any, telling: str) -> None:
    client = cloud.client("lambda")
    client.create_alias(FunctionName=telling, Name="open", FunctionVersion="$LATEST")
    made = client.create_function_url_config(
        FunctionName=telling, Qualifier="open", AuthType="NONE"
    )
    url, target = made["FunctionUrl"], {"FunctionName": telling, "Qualifier": "open"}
    client.add_permission(
        **target, StatementId="a", Action="lambda:InvokeFunctionUrl", Principal="*",
        FunctionUrlAuthType="NONE",
    )  # fmt: skip
    refused = send(cloud, url)
    assert refused.status == 403 and json.load(refused)["Message"].startswith("Forbidden.")
    client.add_permission(
        **target, StatementId="b", Action="lambda:InvokeFunction", Principal="*",
        InvokedViaFunctionUrl=True,
    )  # fmt: skip
    assert eventually(lambda: send(cloud, url).status == 200)


def test_a_signed_address_is_judged_by_identity_and_policy(cloud: Any, telling: str) -> None:
    iam, client, name = cloud.client("iam"), cloud.client("lambda"), unique("caller")
    made = client.create_function_url_config(FunctionName=telling, AuthType="AWS_IAM")
    url, body = made["FunctionUrl"] + "a%20b?x=1", b"{}"
    user = iam.create_user(UserName=name)["User"]
    keys = iam.create_access_key(UserName=name)["AccessKey"]

    def may(auth_type: str, *actions: str) -> None:
        condition = {"StringEquals": {"lambda:FunctionUrlAuthType": auth_type}}
        statement = {"Effect": "Allow", "Action": actions, "Resource": made["FunctionArn"],
                     "Condition": condition}  # fmt: skip
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)

    def ask(sent: bytes = body, **told: str) -> http.client.HTTPResponse:
        return send(cloud, url, sent, signed(url, body, {**keys, **told}))

    assert send(cloud, url).status == 403  # unsigned
    assert ask().status == 403  # a stranger to every policy
    may("AWS_IAM", "lambda:InvokeFunctionUrl")
    assert ask().status == 403  # half of it
    may("AWS_IAM", "lambda:InvokeFunctionUrl", "lambda:InvokeFunction")
    answer = eventually(lambda: (got := ask()).status == 200 and got)
    told = json.load(answer)["iam"]
    assert (told["userArn"], told["userId"]) == (user["Arn"], user["UserId"])
    assert (told["accessKey"], told["accountId"]) == (keys["AccessKeyId"], user["Arn"][13:25])
    assert ask(b'{"other": 1}').status == 403  # another body than was signed
    assert ask(SecretAccessKey="wrong").status == 403
    may("NONE", "lambda:InvokeFunctionUrl", "lambda:InvokeFunction")
    assert eventually(lambda: ask().status == 403)
    iam.delete_user_policy(UserName=name, PolicyName="p")
    for number, action in enumerate(("lambda:InvokeFunctionUrl", "lambda:InvokeFunction")):
        more = {"FunctionUrlAuthType": "AWS_IAM"} if not number else {}
        client.add_permission(
            FunctionName=telling, StatementId=f"u{number}", Action=action, Principal=user["Arn"],
            **more,
        )  # fmt: skip
    assert eventually(lambda: ask().status == 200)  # the function's policy says so alone


SAM = """
Transform: AWS::Serverless-2016-10-31
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: nodejs20.x
      Handler: index.handler
      MemorySize: 256
      InlineCode: |
        exports.handler = awslambda.streamifyResponse(async (event, out) => {
          out = awslambda.HttpResponseStream.from(out, {statusCode: 203});
          out.end('streamed');
        });
      FunctionUrlConfig: {AuthType: NONE, InvokeMode: %s, Cors: {AllowOrigins: ['https://a']}}
Outputs:
  Url: {Value: {'Fn::GetAtt': [FUrl, FunctionUrl]}}
  Name: {Value: {Ref: F}}
"""


def test_a_template_makes_a_streaming_address(cloud: Any) -> None:
    cfn, client, name = cloud.client("cloudformation"), cloud.client("lambda"), unique("urls")
    able = {"Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]}
    create(cfn, name, SAM % "RESPONSE_STREAM", **able)
    told = outputs(cfn, name)
    answer = send(cloud, told["Url"])
    assert (answer.status, answer.read()) == (203, b"streamed")
    policy = json.loads(client.get_policy(FunctionName=told["Name"])["Policy"])
    conditions = {s["Action"]: s["Condition"] for s in policy["Statement"]}
    assert conditions == {  # nobody may call but through the address
        "lambda:InvokeFunctionUrl": {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}},
        "lambda:InvokeFunction": {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}},
    }
    assert client.get_function_url_config(FunctionName=told["Name"])["Cors"]
    plain = SAM.replace(", InvokeMode: %s, Cors: {AllowOrigins: ['https://a']}", "")
    cfn.update_stack(StackName=name, TemplateBody=plain, **able)
    settle(cfn, name, "update")
    made = client.get_function_url_config(FunctionName=told["Name"])
    assert made["InvokeMode"] == "BUFFERED" and "Cors" not in made
    assert made["FunctionUrl"] == told["Url"]
    cfn.delete_stack(StackName=name)
    settle(cfn, name, "delete")
