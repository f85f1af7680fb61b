"""Refusals and answers of Lambda as AWS gives them, seen through boto3."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.services.lambda_.test_boto3 import role, zipped

__all__ = ["role"]


@pytest.fixture(scope="module")
def functions(cloud: Any) -> Any:
    return cloud.client("lambda")


@pytest.fixture
def name(functions: Any, role: str) -> Iterator[str]:
    name = f"words-{uuid.uuid4().hex[:8]}"
    functions.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Role=role,
        Handler="app.handler",
        Code={"ZipFile": zipped()},
        Environment={"Variables": {}},
    )
    yield name
    functions.delete_function(FunctionName=name)


def told(ask: Callable[..., Any], **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        ask(**params)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_descriptions_and_aliases(functions: Any, name: str) -> None:
    first = functions.publish_version(FunctionName=name, Description="one")
    again = functions.publish_version(FunctionName=name, Description="two")
    assert (again["Version"], again["Description"]) == ("1", "one") == (first["Version"], "one")
    functions.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    asked = functions.get_function_configuration(FunctionName=name, Qualifier="live")
    assert asked["FunctionArn"].endswith(f":{name}:live") and asked["Version"] == "1"
    assert asked["Environment"] == {"Variables": {}}
    missing = told(functions.update_alias, FunctionName=name, Name="gone", Description="x")
    assert missing[0] == "ResourceNotFoundException" and missing[1].startswith("Alias not found: ")


def test_json_logs_have_levels(functions: Any, name: str) -> None:
    changed = functions.update_function_configuration(
        FunctionName=name, LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "WARN"}
    )
    levels = {"ApplicationLogLevel": "INFO", "SystemLogLevel": "WARN"}
    assert changed["LoggingConfig"] == {
        "LogFormat": "JSON", "LogGroup": f"/aws/lambda/{name}", **levels
    }  # fmt: skip


def test_provisioned_on_a_version_or_its_alias(functions: Any, name: str) -> None:
    functions.publish_version(FunctionName=name)
    functions.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    put = functions.put_provisioned_concurrency_config
    key = "ProvisionedConcurrentExecutions"
    assert told(put, FunctionName=name, Qualifier="gone", **{key: 1})[1].startswith(
        "Cannot find alias arn: "
    )
    started = put(FunctionName=name, Qualifier="1", **{key: 1})
    assert started["AvailableProvisionedConcurrentExecutions"] == 0
    assert told(put, FunctionName=name, Qualifier="live", **{key: 1}) == (
        "ResourceConflictException",
        "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned"
        " version",
    )


def test_permissions(functions: Any, name: str) -> None:
    functions.publish_version(FunctionName=name)
    alias = functions.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    grant = {"Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    add, remove = functions.add_permission, functions.remove_permission
    assert told(add, FunctionName=name, StatementId="a", Qualifier="$LATEST", **grant)[1] == (
        "We currently do not support adding policies for $LATEST."
    )
    assert told(remove, FunctionName=name, StatementId="a")[1] == (
        "No policy is associated with the given resource."
    )
    assert told(remove, FunctionName="nobody-has-it", StatementId="a")[1].startswith(
        "No policy found for: "
    )
    on_alias = {"FunctionName": name, "Qualifier": "live", "StatementId": "a", **grant}
    assert told(add, RevisionId="wrong", **on_alias)[0] == "PreconditionFailedException"
    add(RevisionId=alias["RevisionId"], **on_alias)


def test_tags_and_reservations_are_of_functions(functions: Any, name: str) -> None:
    arn = functions.get_function_configuration(FunctionName=name)["FunctionArn"]
    assert told(functions.tag_resource, Resource=f"{arn}:$LATEST", Tags={"a": "b"})[1] == (
        "Tags on function aliases and versions are not supported. Please specify a function ARN."
    )
    reserve = functions.put_function_concurrency
    assert told(reserve, FunctionName=f"{arn}:1", ReservedConcurrentExecutions=1)[1].startswith(
        "This operation is permitted on Lambda functions only."
    )


def test_addresses_are_listed_page_by_page(functions: Any, name: str) -> None:
    functions.publish_version(FunctionName=name)
    functions.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    made = functions.create_function_url_config(FunctionName=name, AuthType="NONE")
    functions.create_function_url_config(FunctionName=name, Qualifier="live", AuthType="NONE")
    assert "InvokeMode" not in made
    first = functions.list_function_url_configs(FunctionName=name, MaxItems=1)
    rest = functions.list_function_url_configs(FunctionName=name, Marker=first["NextMarker"])
    found = first["FunctionUrlConfigs"] + rest["FunctionUrlConfigs"]
    assert [one["FunctionArn"].rpartition(":")[2] for one in found] == [name, "live"]
    assert told(functions.create_function_url_config, FunctionName="nobody", AuthType="NONE") == (
        "ResourceNotFoundException",
        "Function does not exist",
    )


def test_event_settings(functions: Any, name: str) -> None:
    put = functions.put_function_event_invoke_config
    assert told(put, FunctionName=name)[1] == (
        "You must specify at least one of error handling or destination setting."
    )
    assert told(put, FunctionName="nobody", MaximumRetryAttempts=1)[1] == (
        "The function doesn't exist."
    )
    arn = functions.get_function_configuration(FunctionName=name)["FunctionArn"]
    itself = {"OnSuccess": {"Destination": arn}}
    assert told(put, FunctionName=name, DestinationConfig=itself)[1] == (
        "You can't specify the function as a destination for itself."
    )
    assert told(put, FunctionName=name, MaximumRetryAttempts=3)[0] == "ValidationException"


def test_layers(functions: Any, name: str) -> None:
    layer = f"words-{uuid.uuid4().hex[:8]}"
    made = functions.publish_layer_version(LayerName=layer, Content={"ZipFile": zipped()})
    arn = made["LayerVersionArn"]
    assert told(
        functions.update_function_configuration, FunctionName=name, Layers=[arn, arn]
    )[1].endswith(f"{arn} and {arn} are versions of the same layer.")  # fmt: skip
    assert told(functions.get_layer_version, LayerName=layer, VersionNumber=0)[1] == (
        "Layer Version Cannot be less than 1"
    )
    assert told(functions.get_layer_version_policy, LayerName=layer, VersionNumber=2)[1] == (
        f"Layer version {arn[:-1]}2 does not exist."
    )


def test_a_few_refusals_tell_no_type(functions: Any, name: str) -> None:
    functions.publish_version(FunctionName=name)
    asked = {"FunctionName": name, "Name": "both", "FunctionVersion": "$LATEST"}
    weights = {"AdditionalVersionWeights": {"1": 0.5}}
    for more, type_ in (
        ({"RoutingConfig": weights}, None),
        ({"RoutingConfig": {"AdditionalVersionWeights": {"7": 0.5}}}, "User"),
    ):
        with pytest.raises(ClientError) as caught:
            functions.create_alias(**asked, **more)
        assert caught.value.response.get("Type") == type_
