"""Resource types: what CloudFormation can make, one module per service."""

from __future__ import annotations

from collections.abc import Mapping

from pileus.services.cloudformation.resources import (
    apigatewayv2,
    cdk,
    cloudfront,
    cloudwatch,
    custom,
    dynamodb,
    iam,
    kms,
    lambda_,
    logs,
    longrunning,
    s3,
    sns,
    ssm,
    waiting,
)
from pileus.services.cloudformation.resources.kind import Kind

KINDS: Mapping[str, Kind] = {
    **dynamodb.KINDS,
    **s3.KINDS,
    **iam.KINDS,
    **lambda_.KINDS,
    **apigatewayv2.KINDS,
    **cloudfront.KINDS,
    **cloudwatch.KINDS,
    **logs.KINDS,
    **longrunning.KINDS,
    **kms.KINDS,
    **cdk.KINDS,
    **sns.KINDS,
    **ssm.KINDS,
    **custom.KINDS,
    **waiting.KINDS,
}
CUSTOM = "Custom::"


def kind_of(type_: str) -> Kind | None:
    """What makes resources of this type; None: nobody does."""
    return KINDS.get(custom.TYPE if type_.startswith(CUSTOM) else type_)
