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
from pileus.services.cloudformation.resources.kind import Kind, Properties

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
# By which property a template names a resource itself: there cannot be two of one name.
NAMED: Mapping[str, str] = {
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::CompositeAlarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::IAM::Group": "GroupName",
    "AWS::IAM::InstanceProfile": "InstanceProfileName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::User": "UserName",
    "AWS::KMS::Alias": "AliasName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SSM::Parameter": "Name",
    "Pileus::Service": "Name",
}


def kind_of(type_: str) -> Kind | None:
    """What makes resources of this type; None: nobody does."""
    return KINDS.get(custom.TYPE if type_.startswith(CUSTOM) else type_)


def own_name(type_: str, properties: Properties) -> str:
    """What the template names the resource; empty where it leaves that to CloudFormation."""
    return str(properties.get(NAMED.get(type_, ""), ""))
