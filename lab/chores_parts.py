"""What ``lab.chores`` uses: the function, the tables, the service, and how they are asked."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import urllib.request
import zipfile
from collections.abc import Callable
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError

from lab.history.asking import patiently
from lab.ledger import Door
from lab.policies import TRUST
from lab.tables import keyed

CLIENTS = Callable[[str], Any]
TOLD = Callable[[str, str, Any], Any]
MADE = {
    *("EntityAlreadyExists", "ResourceInUseException", "ResourceConflictException"),
    *("ResourceAlreadyExistsException", "ServiceAlreadyExists", "ConflictException"),
}
ONE_TRY = Config(retries={"total_max_attempts": 1}, connect_timeout=1, read_timeout=4)
ALLOWED = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"}],
}
NOTES = """
import os
import boto3
from botocore.config import Config

config = Config(retries={"total_max_attempts": 8, "mode": "standard"},
                connect_timeout=2, read_timeout=15)
client = boto3.client("dynamodb", config=config)

def tokens(event):
    for record in event.get("Records", ()):
        if "s3" in record:
            yield record["s3"]["object"]["key"]
        else:
            yield record["dynamodb"]["Keys"]["PK"]["S"]
    if "token" in event:
        yield event["token"]

def handler(event, context):
    for token in tokens(event):
        asked = {"TableName": os.environ["EFFECTS"], "Key": {"PK": {"S": token}},
                 "ExpressionAttributeValues": {":one": {"N": "1"}}}
        try:
            client.update_item(UpdateExpression="ADD effect :one, seen :one",
                               ConditionExpression="attribute_not_exists(effect)", **asked)
        except client.exceptions.ConditionalCheckFailedException:
            client.update_item(UpdateExpression="ADD seen :one", **asked)
"""
ANSWERS = """
import http.server, os, signal, sys

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def effects(name: str) -> str:
    """The table of effects."""
    return f"{name}-effects"


def source(name: str) -> str:
    """The table with the stream."""
    return f"{name}-source"


def zipped(text: str) -> bytes:
    """A package of one module, ``app``."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("app.py", text)
    return out.getvalue()


def _sure(call: Callable[[], Any]) -> Any:
    """Make something, perhaps again: an answer may have been lost."""

    def tried() -> Any:
        try:
            return call()
        except ClientError as error:
            if error.response["Error"]["Code"] in MADE:
                return None
            raise

    return patiently(tried)


def make(clients: CLIENTS, name: str, short: bool) -> None:
    """Everything but the service. ``short``: with a lifecycle rule."""
    _make_tables(clients("dynamodb"), name)
    iam, functions = clients("iam"), clients("lambda")
    trusted, allowed = json.dumps(TRUST), json.dumps(ALLOWED)
    _sure(lambda: iam.create_role(RoleName=name, AssumeRolePolicyDocument=trusted))
    _sure(lambda: iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=allowed))
    role = _sure(lambda: iam.get_role(RoleName=name))["Role"]["Arn"]
    wish: dict[str, Any] = {"FunctionName": name, "Handler": "app.handler", "Role": role}
    wish |= {"Runtime": "python3.11", "Code": {"ZipFile": zipped(NOTES)}, "Timeout": 60}
    wish |= {"MemorySize": 256, "Environment": {"Variables": {"EFFECTS": effects(name)}}}
    _sure(lambda: functions.create_function(**wish))
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    _connect(clients, name)
    logs, s3 = clients("logs"), clients("s3")
    _sure(lambda: logs.create_log_group(logGroupName=f"/faults/{name}"))
    if short:
        rule = {"ID": "s", "Status": "Enabled", "Filter": {"Prefix": "short/"}}
        rules = {"Rules": [rule | {"Expiration": {"Days": 1}}]}
        asked = {"Bucket": name, "LifecycleConfiguration": rules}
        _sure(lambda: s3.put_bucket_lifecycle_configuration(**asked))


def _make_tables(dynamodb: Any, name: str) -> None:
    wish: dict[str, Any] = {
        **keyed(PK="S"),
    }
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    _sure(lambda: dynamodb.create_table(TableName=effects(name), **wish))
    _sure(lambda: dynamodb.create_table(TableName=source(name), StreamSpecification=stream, **wish))
    for table in (effects(name), source(name)):
        dynamodb.get_waiter("table_exists").wait(TableName=table)
    ends = {"Enabled": True, "AttributeName": "ends"}
    asked = {"TableName": source(name), "TimeToLiveSpecification": ends}
    patiently(lambda: dynamodb.update_time_to_live(**asked))


def _connect(clients: CLIENTS, name: str) -> None:
    """The function is told by the stream and by the bucket."""
    functions, s3 = clients("lambda"), clients("s3")
    arn = functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    stream = clients("dynamodb").describe_table(TableName=source(name))["Table"]["LatestStreamArn"]
    inserted = {"Filters": [{"Pattern": json.dumps({"eventName": ["INSERT"]})}]}
    mapping = {"EventSourceArn": stream, "FunctionName": name, "FilterCriteria": inserted}
    _sure(lambda: functions.create_event_source_mapping(StartingPosition="TRIM_HORIZON", **mapping))
    may = {"Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    bucket = f"arn:aws:s3:::{name}"
    _sure(
        lambda: functions.add_permission(
            FunctionName=name, StatementId="s3", SourceArn=bucket, **may
        )
    )
    prefix = {"Key": {"FilterRules": [{"Name": "prefix", "Value": "events/"}]}}
    told = {"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"], "Filter": prefix}
    notified = {"LambdaFunctionConfigurations": [told]}
    asked = {"Bucket": name, "NotificationConfiguration": notified}
    _sure(lambda: s3.put_bucket_notification_configuration(**asked))


def make_service(told: TOLD, name: str) -> None:
    """Two copies that answer, with a route at the edge."""
    code = base64.b64encode(zipped(ANSWERS)).decode()
    wish: dict[str, Any] = {"Name": name, "Command": ["python3", "app.py"], "Copies": 2}
    wish |= {"Code": {"ZipFile": code}, "Route": f"/{name}/*", "HealthCheck": {"Path": "/"}}
    _sure(lambda: told("POST", "/_pileus/services", wish))


def remove(clients: CLIENTS, told: TOLD, name: str) -> None:
    """What would go on working."""
    functions = clients("lambda")
    found = patiently(lambda: functions.list_event_source_mappings(FunctionName=name))
    for mapping in found["EventSourceMappings"]:
        patiently(lambda m=mapping: functions.delete_event_source_mapping(UUID=m["UUID"]))  # type: ignore[misc]
    asked = {"Bucket": name, "NotificationConfiguration": {}}
    patiently(lambda: clients("s3").put_bucket_notification_configuration(**asked))
    patiently(lambda: functions.delete_function(FunctionName=name))
    patiently(lambda: told("DELETE", f"/_pileus/services/{name}", None))


def once(door: Door, service: str) -> Any:
    """A client that tries once."""
    return door.client(service, ONE_TRY)


def scan(dynamodb: Any, table: str) -> list[dict[str, Any]]:
    """All items, as a strong scan tells them."""
    pages = dynamodb.get_paginator("scan")
    asked = {"TableName": table, "ConsistentRead": True}
    found = patiently(lambda: list(pages.paginate(**asked)))
    return [item for page in found for item in page["Items"]]


def keys(s3: Any, bucket: str, prefix: str) -> set[str]:
    """The names below a prefix."""
    pages = s3.get_paginator("list_objects_v2")
    found = patiently(lambda: list(pages.paginate(Bucket=bucket, Prefix=prefix)))
    return {entry["Key"] for page in found for entry in page.get("Contents", ())}


def fetched(address: str) -> bytes:
    """What a GET answers; ``HTTPClientError`` where it is not a 200 in time."""
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return bytes(answer.read())
    except OSError as error:
        raise HTTPClientError(error=error) from error


class Upload:
    """An object in parts of ``sizes``."""

    def __init__(self, key: str, sizes: list[int]) -> None:
        self.key = key
        self._parts = [os.urandom(size) for size in sizes]
        self._tags: dict[int, str] = {}
        self._id = ""

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(b"".join(self._parts)).digest()

    def begin(self, s3: Any, bucket: str) -> None:
        self._id = s3.create_multipart_upload(Bucket=bucket, Key=self.key)["UploadId"]

    def put(self, s3: Any, bucket: str, part: int) -> None:
        """Put a part, perhaps again."""
        told = s3.upload_part(
            Bucket=bucket, Key=self.key, UploadId=self._id,
            PartNumber=part + 1, Body=self._parts[part],
        )  # fmt: skip
        self._tags[part] = told["ETag"]

    def complete(self, s3: Any, bucket: str) -> None:
        """End it; once more where the answer was lost and it has ended."""
        named = [{"PartNumber": p + 1, "ETag": tag} for p, tag in sorted(self._tags.items())]
        asked = {"Bucket": bucket, "Key": self.key, "UploadId": self._id}
        try:
            s3.complete_multipart_upload(**asked, MultipartUpload={"Parts": named})
        except s3.exceptions.NoSuchUpload:
            s3.head_object(Bucket=bucket, Key=self.key)
