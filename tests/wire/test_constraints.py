"""Input that breaks its model's limits is refused in the words AWS uses."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.errors import AwsError
from pileus.wire.constraints import check_of
from tests.wire.door import MODELS


def refusal(operation: str, params: dict[str, Any], region: str = "us-east-1") -> str:
    shape = MODELS.service("lambda").operation_model(operation).input_shape
    check = check_of("lambda", shape, "ValidationException", region)
    assert check is not None
    try:
        check(params)
    except AwsError as error:
        assert (error.code, error.status) == ("ValidationException", 400)
        return error.message
    return ""


@pytest.mark.parametrize(
    ("operation", "params", "told"),
    [
        (
            "CreateFunction",
            {"Architectures": ["x86_64", "arm64"]},
            "1 validation error detected: Value '[x86_64, arm64]' at 'architectures' failed to"
            " satisfy constraint: Member must have length less than or equal to 1",
        ),
        (
            "CreateFunction",
            {"Architectures": ["X86"]},
            "1 validation error detected: Value '[X86]' at 'architectures' failed to satisfy"
            " constraint: Member must satisfy constraint: [Member must satisfy enum value set:"
            " [x86_64, arm64], Member must not be null]",
        ),
        (
            "CreateAlias",
            {"RoutingConfig": {"AdditionalVersionWeights": {"2": 2}}},
            "1 validation error detected: Value '{2=2.0}' at"
            " 'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map value must"
            " satisfy constraint: [Member must have value less than or equal to 1.0, Member must"
            " have value greater than or equal to 0.0, Member must not be null]",
        ),
        (
            "CreateAlias",
            {"RoutingConfig": {"AdditionalVersionWeights": {"$LATEST": 0.5}}},
            "1 validation error detected: Value '{$LATEST=0.5}' at"
            " 'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map keys must"
            " satisfy constraint: [Member must have length less than or equal to 1024, Member must"
            " have length greater than or equal to 1, Member must satisfy regular expression"
            " pattern: [0-9]+]",
        ),
        (
            "PutProvisionedConcurrencyConfig",
            {"FunctionName": "f", "Qualifier": "v!", "ProvisionedConcurrentExecutions": 0},
            "2 validation errors detected: Value '0' at 'provisionedConcurrentExecutions' failed to"
            " satisfy constraint: Member must have value greater than or equal to 1; Value 'v!' at"
            " 'qualifier' failed to satisfy constraint: Member must satisfy regular expression"
            " pattern: (|[a-zA-Z0-9$_-]+)",
        ),
        (
            "CreateEventSourceMapping",
            {"FilterCriteria": {"Filters": [{"Pattern": "{}"}, {"Pattern": "x" * 4097}]}},
            f"1 validation error detected: Value '{'x' * 4097}' at"
            " 'filterCriteria.filters.2.member.pattern' failed to satisfy constraint: Member must"
            " have length less than or equal to 4096",
        ),
    ],
)
def test_words(operation: str, params: dict[str, Any], told: str) -> None:
    assert refusal(operation, params) == told


def test_a_region_of_our_own_is_one() -> None:
    arn = "arn:aws:lambda:attic:000000000000:function:f"
    assert refusal("GetFunction", {"FunctionName": arn}, region="attic") == ""
    assert "at 'functionName'" in refusal("GetFunction", {"FunctionName": arn})


def test_what_a_service_judges_itself_is_left_to_it() -> None:
    assert refusal("CreateFunction", {"Runtime": "cobol1"}) == ""
    shape = MODELS.service("s3").operation_model("PutObject").input_shape
    assert check_of("s3", shape, "InvalidArgument", "us-east-1") is None
