"""Names of AWS's managed policies as the SAM translator asks for them (``Policies:
AWSLambdaExecute``)."""

from __future__ import annotations

AWS = "arn:aws:iam::aws:policy/"
SERVICE_ROLES = (
    "AWSLambdaBasicExecutionRole",
    "AWSLambdaDynamoDBExecutionRole",
    "AWSLambdaKinesisExecutionRole",
    "AWSLambdaRole",
    "AWSLambdaSQSQueueExecutionRole",
    "AWSLambdaVPCAccessExecutionRole",
    "AmazonAPIGatewayPushToCloudWatchLogs",
)
PLAIN = (
    "AWSLambda_FullAccess",
    "AWSLambda_ReadOnlyAccess",
    "AWSLambdaExecute",
    "AWSXrayWriteOnlyAccess",
    "AWSXRayDaemonWriteAccess",
    "AdministratorAccess",
    "AmazonDynamoDBFullAccess",
    "AmazonDynamoDBReadOnlyAccess",
    "AmazonS3FullAccess",
    "AmazonS3ReadOnlyAccess",
    "AmazonSNSFullAccess",
    "AmazonSQSFullAccess",
    "CloudWatchLogsFullAccess",
)


class ManagedPolicies:
    """What the translator calls a policy loader."""

    def load(self) -> dict[str, str]:
        named = {name: f"{AWS}service-role/{name}" for name in SERVICE_ROLES}
        return named | {name: f"{AWS}{name}" for name in PLAIN}
