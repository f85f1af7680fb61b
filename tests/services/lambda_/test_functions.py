"""Functions, versions, aliases: made, read, changed, deleted."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import struct
import tempfile
import zipfile
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pileus.errors import AwsError
from pileus.services.call import FileBody
from tests.services.lambda_.conftest import ACCOUNT, ROLE, zipped

ARN = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f"


def test_create_get_list_delete(run: Any) -> None:
    async def body(cloud: Any) -> None:
        made = await cloud.made(Tags={"team": "a"}, Environment={"Variables": {"X": "1"}})
        assert made["FunctionArn"] == ARN
        # As on AWS the answer is of the moment before the function is ready, of another revision.
        assert (made["State"], made["StateReasonCode"]) == ("Pending", "Creating")
        assert "LastUpdateStatus" not in made
        assert made["Version"] == "$LATEST" and made["MemorySize"] == 128 and made["Timeout"] == 3
        got = await cloud("GetFunction", FunctionName=ARN)
        assert got["Tags"] == {"team": "a"}
        now = {"State": "Active", "LastUpdateStatus": "Successful"}
        before = {n: v for n, v in made.items() if not n.startswith("StateReason")}
        now["RevisionId"] = got["Configuration"]["RevisionId"]
        assert got["Configuration"] == before | now != before
        version = made["RuntimeVersionConfig"]["RuntimeVersionArn"]
        assert re.fullmatch(r"arn:aws:lambda:us-east-1::runtime:[0-9a-f]{64}", version)
        assert got["Code"]["Location"].startswith("http://")
        await cloud.made("g")
        page = await cloud("ListFunctions", MaxItems=1)
        assert [f["FunctionName"] for f in page["Functions"]] == ["f"]
        assert not {"State", "LastUpdateStatus", "RuntimeVersionConfig"} & set(page["Functions"][0])
        rest = await cloud("ListFunctions", Marker=page["NextMarker"])
        assert [f["FunctionName"] for f in rest["Functions"]] == ["g"]
        await cloud("DeleteFunction", FunctionName="f")
        with pytest.raises(AwsError, match=f"Function not found: {ARN}") as caught:
            await cloud("GetFunction", FunctionName="f")
        assert (caught.value.code, caught.value.status) == ("ResourceNotFoundException", 404)
        assert cloud.runtime.forgotten == [ARN]

    run(body)


def test_blobs_are_referenced_while_used(run: Any) -> None:
    def references(cloud: Any, digest: str) -> int:
        return len(cloud.store.partition("blobrefs", digest))

    async def body(cloud: Any) -> None:
        await cloud.made(Publish=True)
        first = cloud.runtime, zipped(app__py="def handler(e, c): return e")
        digest = await cloud.blobs.put(first[1])
        assert references(cloud, digest) == 2  # $LATEST and version 1
        await cloud("UpdateFunctionCode", FunctionName="f", ZipFile=zipped(app__py="x = 1"))
        assert references(cloud, digest) == 1
        layer = await cloud(
            "PublishLayerVersion", LayerName="l", Content={"ZipFile": zipped(lib__py="y = 1")}
        )
        held = await cloud.blobs.put(zipped(lib__py="y = 1"))
        await cloud(
            "UpdateFunctionConfiguration", FunctionName="f", Layers=[layer["LayerVersionArn"]]
        )
        await cloud("DeleteLayerVersion", LayerName="l", VersionNumber=1)
        assert references(cloud, held) == 1  # the function keeps it
        await cloud("DeleteFunction", FunctionName="f")
        assert references(cloud, digest) == references(cloud, held) == 0

    run(body)


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"Role": f"arn:aws:iam::{ACCOUNT}:role/none"}, "InvalidParameterValueException",
         "The role defined for the function cannot be assumed by Lambda."),
        ({"Role": "nonsense"}, "ValidationException", "at 'role' failed"),
        ({"Role": "arn:aws:iam::999999999999:role/x"}, "AccessDeniedException",
         "Cross-account pass role is not allowed."),
        ({"Timeout": 901}, "InvalidParameterValueException", "less than or equal to 900"),
        ({"MemorySize": 64}, "InvalidParameterValueException", "greater than or equal to 128"),
        ({"Runtime": "cobol1"}, "InvalidParameterValueException", "enum value set"),
        ({"Runtime": "java17"}, "InvalidParameterValueException", "java17 is not built"),
        ({"FunctionName": "a b"}, "ValidationException", "at 'functionName' failed"),
        ({"FunctionName": "a" * 65}, "InvalidParameterValueException", "less than or equal to 64"),
        ({"Handler": "a b"}, "ValidationException", "at 'handler' failed"),
        ({"Environment": {"Variables": {"A": "x" * 4096}}}, "InvalidParameterValueException",
         "exceeded the 4KB limit"),
        ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, "InvalidParameterValueException",
         "reserved keys"),
        ({"Code": {"ZipFile": b"not a zip"}}, "InvalidParameterValueException",
         "Could not unzip uploaded file."),
        ({"Code": {}}, "InvalidParameterValueException", "provide a source"),
        ({"Code": {"S3Bucket": "b", "S3Key": "none"}}, "InvalidParameterValueException",
         "S3 Error Code: NoSuchKey"),
        ({"VpcConfig": {"SubnetIds": ["s"]}}, "InvalidParameterValueException", "not built"),
        ({"PackageType": "Image"}, "InvalidParameterValueException", "not built"),
    ],
)  # fmt: skip
def test_create_refuses(run: Any, change: dict[str, Any], code: str, text: str) -> None:
    async def body(cloud: Any) -> None:
        with pytest.raises(AwsError) as caught:
            await cloud.made(**change)
        assert caught.value.code == code
        assert text in caught.value.message
        assert (await cloud("ListFunctions"))["Functions"] == []

    run(body)


def hostile(name: str, size: int | None = None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, "x")
    data = bytearray(out.getvalue())
    if size is not None:  # what the central directory claims
        at = data.index(b"PK\x01\x02")
        struct.pack_into("<I", data, at + 24, size)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (hostile("../../etc/passwd"), "outside its root"),
        (hostile("/etc/passwd"), "outside its root"),
        (hostile("a/../../b"), "outside its root"),
        (hostile("big", 300 * 1024 * 1024), "Unzipped size must be smaller than 262144000"),
    ],
)
def test_hostile_zips_are_refused(run: Any, data: bytes, text: str) -> None:
    async def body(cloud: Any) -> None:
        with pytest.raises(AwsError, match=text):
            await cloud.made(Code={"ZipFile": data})

    run(body)


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 100):
        yield data[at : at + 100]


def opened_file(data: bytes) -> FileBody:
    with tempfile.TemporaryFile() as file:
        file.write(b"before" + data)
        file.flush()
        return FileBody(os.dup(file.fileno()), 6, len(data))


@pytest.mark.parametrize("handed", [bytes, pieces, opened_file])
def test_code_from_a_bucket(run: Any, handed: Any) -> None:
    async def body(cloud: Any) -> None:
        data = zipped(app__py="x = 2")
        cloud.objects["b", "k"], cloud.handed = data, handed
        made = await cloud.made(Code={"S3Bucket": "b", "S3Key": "k"})
        assert made["CodeSize"] == len(data)
        digest = base64.b64decode(made["CodeSha256"]).hex()
        assert digest == hashlib.sha256(data).hexdigest()
        assert b"".join([chunk async for chunk in cloud.blobs.read(digest)]) == data

    run(body)


def test_updates_check_the_revision(run: Any) -> None:
    async def body(cloud: Any) -> None:
        await cloud.made()
        made = await cloud("GetFunctionConfiguration", FunctionName="f")
        changed = await cloud(
            "UpdateFunctionConfiguration", FunctionName="f", Timeout=10,
            RevisionId=made["RevisionId"],
        )  # fmt: skip
        assert changed["Timeout"] == 10 and changed["Handler"] == "app.handler"
        assert (changed["State"], changed["LastUpdateStatus"]) == ("Active", "InProgress")
        now = await cloud("GetFunctionConfiguration", FunctionName="f")
        assert len({t["RevisionId"] for t in (made, changed, now)}) == 3
        for operation, more in (
            ("UpdateFunctionConfiguration", {"Timeout": 5}),
            ("UpdateFunctionCode", {"ZipFile": zipped(a__py="")}),
            ("PublishVersion", {}),
        ):
            with pytest.raises(AwsError) as caught:
                await cloud(operation, FunctionName="f", RevisionId=made["RevisionId"], **more)
            assert caught.value.status == 412
        dry = await cloud(
            "UpdateFunctionCode", FunctionName="f", ZipFile=zipped(a__py=""), DryRun=True
        )
        now = await cloud("GetFunctionConfiguration", FunctionName="f")
        assert now["CodeSha256"] == made["CodeSha256"] != dry["CodeSha256"]

    run(body)


def test_versions_are_frozen_and_aliases_route(run: Any) -> None:
    async def body(cloud: Any) -> None:
        await cloud.made()
        one = await cloud("PublishVersion", FunctionName="f", Description="first")
        assert one["Version"] == "1" and one["FunctionArn"] == f"{ARN}:1"
        latest = await cloud("GetFunctionConfiguration", FunctionName="f")
        assert (one["State"], one["RevisionId"] != latest["RevisionId"]) == ("Active", True)
        again = await cloud("PublishVersion", FunctionName="f", Description="first")
        assert again["Version"] == "1"
        await cloud("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
        assert (await cloud("PublishVersion", FunctionName="f"))["Version"] == "2"
        frozen = await cloud("GetFunctionConfiguration", FunctionName="f", Qualifier="1")
        assert frozen["Timeout"] == 3 and frozen["Description"] == "first"
        listed = await cloud("ListVersionsByFunction", FunctionName="f")
        assert [v["Version"] for v in listed["Versions"]] == ["$LATEST", "1", "2"]
        alias = await cloud(
            "CreateAlias", FunctionName="f", Name="live", FunctionVersion="1",
            RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}},
        )  # fmt: skip
        assert alias["AliasArn"] == f"{ARN}:live"
        seen = set()
        for _ in range(60):
            seen.add((await cloud("Invoke", FunctionName=f"{ARN}:live"))["ExecutedVersion"])
        assert seen == {"1", "2"}
        with pytest.raises(AwsError, match="used by alias live"):
            await cloud("DeleteFunction", FunctionName="f", Qualifier="2")
        await cloud(
            "UpdateAlias", FunctionName="f", Name="live", FunctionVersion="2",
            RoutingConfig={"AdditionalVersionWeights": {}},
        )  # fmt: skip
        assert (await cloud("Invoke", FunctionName="f", Qualifier="live"))["ExecutedVersion"] == "2"
        await cloud("DeleteFunction", FunctionName="f", Qualifier="1")
        await cloud("DeleteAlias", FunctionName="f", Name="live")
        with pytest.raises(AwsError, match="Function not found"):
            await cloud("Invoke", FunctionName="f", Qualifier="live")

    run(body)


def test_retired_runtimes_are_taken_and_told(run: Any) -> None:
    async def body(cloud: Any) -> None:
        made = await cloud.made(Runtime="nodejs14.x", Handler="index.handler")
        assert made["Runtime"] == "nodejs14.x"
        assert "retired" in made["RuntimeVersionConfig"]["Error"]["Message"]

    run(body)


def test_access_names_the_role_and_the_policy(run: Any) -> None:
    async def body(cloud: Any) -> None:
        wanted = cloud.access("CreateFunction", FunctionName="f", Role=ROLE, Code={})
        assert [(a.action, a.resource) for a in wanted] == [
            ("lambda:CreateFunction", ARN), ("iam:PassRole", ROLE),
        ]  # fmt: skip
        assert wanted[1].context == {"iam:PassedToService": "lambda.amazonaws.com"}
        await cloud.made()
        await cloud(
            "AddPermission", FunctionName="f", StatementId="api", Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com", SourceArn="arn:aws:execute-api:x",
            SourceAccount=ACCOUNT,
        )  # fmt: skip
        (invoke,) = cloud.access("Invoke", FunctionName="f")
        assert invoke.action == "lambda:InvokeFunction" and invoke.resource == ARN
        assert invoke.resource_policy is not None
        (statement,) = invoke.resource_policy["Statement"]
        assert statement["Principal"] == {"Service": "apigateway.amazonaws.com"}
        assert statement["Condition"] == {
            "StringEquals": {"AWS:SourceAccount": ACCOUNT},
            "ArnLike": {"AWS:SourceArn": "arn:aws:execute-api:x"},
        }
        with pytest.raises(AwsError, match="already exists"):
            await cloud(
                "AddPermission", FunctionName="f", StatementId="api", Principal="*",
                Action="lambda:InvokeFunction",
            )  # fmt: skip
        await cloud("RemovePermission", FunctionName="f", StatementId="api")
        assert cloud.access("Invoke", FunctionName="f")[0].resource_policy is None

    run(body)


def test_layers_have_versions(run: Any) -> None:
    async def body(cloud: Any) -> None:
        for text in ("1", "2"):
            made = await cloud(
                "PublishLayerVersion", LayerName="l", Content={"ZipFile": zipped(a__py=text)},
                CompatibleRuntimes=["python3.11"],
            )  # fmt: skip
        assert made["Version"] == 2
        assert made["LayerVersionArn"] == f"arn:aws:lambda:us-east-1:{ACCOUNT}:layer:l:2"
        listed = await cloud("ListLayerVersions", LayerName="l")
        assert [v["Version"] for v in listed["LayerVersions"]] == [2, 1]
        assert (await cloud("ListLayers", CompatibleRuntime="nodejs22.x"))["Layers"] == []
        (only,) = (await cloud("ListLayers"))["Layers"]
        assert only["LatestMatchingVersion"]["Version"] == 2
        got = await cloud("GetLayerVersionByArn", Arn=made["LayerVersionArn"])
        assert got["Content"]["CodeSha256"] == made["Content"]["CodeSha256"]
        function = await cloud.made(Layers=[made["LayerVersionArn"]])
        assert function["Layers"][0]["Arn"] == made["LayerVersionArn"]
        await cloud("Invoke", FunctionName="f")
        assert len(cloud.runtime.invoked[0][0].layers) == 1
        with pytest.raises(AwsError, match="does not exist"):
            await cloud.made("h", Layers=[made["LayerVersionArn"].replace(":2", ":9")])

    run(body)


def test_what_changes_the_revision(run: Any) -> None:
    async def body(cloud: Any) -> None:
        await cloud.made()
        seen = []
        for operation, more in (
            ("GetFunctionConfiguration", {}),
            ("PublishVersion", {}),
            ("TagResource", {"Resource": ARN, "Tags": {"a": "b"}}),
            ("UntagResource", {"Resource": ARN, "TagKeys": ["a"]}),
        ):
            await cloud(operation, **(more or {"FunctionName": "f"}))
            told = await cloud("GetFunctionConfiguration", FunctionName="f")
            seen.append(told["RevisionId"])
        assert len(set(seen)) == 4

    run(body)


def test_what_is_told_empty(run: Any) -> None:
    async def body(cloud: Any) -> None:
        content = {"Content": {"ZipFile": zipped(lib__py="y = 1")}}
        bare = await cloud("PublishLayerVersion", LayerName="l", **content)
        assert not {"CompatibleRuntimes", "CompatibleArchitectures"} & set(bare)
        told = await cloud("PublishLayerVersion", LayerName="l", CompatibleRuntimes=[], **content)
        assert told["CompatibleRuntimes"] == [] and "CompatibleArchitectures" not in told
        await cloud("ListLayers", CompatibleRuntime="python3.12")
        await cloud.made()
        config = await cloud(
            "PutFunctionEventInvokeConfig",
            FunctionName="f",
            DestinationConfig={"OnSuccess": {}},
        )
        assert config["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
        with pytest.raises(AwsError, match="Function does not exist"):
            await cloud("ListFunctionUrlConfigs", FunctionName="never")

    run(body)
