"""Keys AWS services make for an account: their aliases and what their policies say.

https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html ("AWS managed keys")
"""

from __future__ import annotations

from typing import Any

from pileus.policy.principals import root_arn

SERVICES = {
    "s3": ("s3", "Default key that protects my S3 objects when no other key is defined"),
    "dynamodb": (
        "dynamodb",
        "Default key that protects my DynamoDB data when no other key is defined",
    ),
    "lambda": (
        "lambda",
        "Default key that protects my Lambda functions when no other key is defined",
    ),
    "ssm": (
        "ssm",
        "Default key that protects my SSM parameters when no other key is defined",
    ),
}
PREFIX = "alias/aws/"


def names(tail: str) -> bool:
    """Whether an alias is that of a service's key."""
    return tail.startswith(PREFIX) and tail.removeprefix(PREFIX) in SERVICES


def description(name: str) -> str:
    return SERVICES[name.removeprefix(PREFIX)][1]


def policy(account: str, region: str, name: str) -> dict[str, Any]:
    """Whoever of the account comes through the service; for others, only to look at."""
    service = SERVICES[name.removeprefix(PREFIX)][0]
    through = {
        "kms:CallerAccount": account,
        "kms:ViaService": f"{service}.{region}.amazonaws.com",
    }
    return {
        "Version": "2012-10-17",
        "Id": f"auto-{service}-2",
        "Statement": [
            {
                "Sid": f"Allow access through {service} for all principals in the account",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": [
                    "kms:Encrypt",
                    "kms:Decrypt",
                    "kms:ReEncrypt*",
                    "kms:GenerateDataKey*",
                    "kms:CreateGrant",
                    "kms:DescribeKey",
                ],
                "Resource": "*",
                "Condition": {"StringEquals": through},
            },
            {
                "Sid": "Allow direct access to key metadata to the account",
                "Effect": "Allow",
                "Principal": {"AWS": root_arn(account)},
                "Action": ["kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"],
                "Resource": "*",
            },
        ],
    }
