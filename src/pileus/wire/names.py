"""How AWS's services are told apart on the wire.

A copy of a few facts of botocore's models, so that routing needs no model loaded (a test keeps it
equal to them).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServiceName:
    """``name``: botocore's. ``signing``: the service in a credential scope. ``version``: the API
    version query requests carry."""

    name: str
    protocol: str
    signing: str
    version: str
    target: str = ""


SERVICES: dict[str, ServiceName] = {
    s.name: s
    for s in (
        ServiceName("dynamodb", "json", "dynamodb", "2012-08-10", "DynamoDB_20120810"),
        ServiceName(
            "dynamodbstreams", "json", "dynamodb", "2012-08-10", "DynamoDBStreams_20120810"
        ),
        ServiceName("s3", "rest-xml", "s3", "2006-03-01"),
        ServiceName("s3control", "rest-xml", "s3", "2018-08-20"),
        ServiceName("lambda", "rest-json", "lambda", "2015-03-31"),
        ServiceName("apigatewayv2", "rest-json", "apigateway", "2018-11-29"),
        ServiceName("apigateway", "rest-json", "apigateway", "2015-07-09"),
        ServiceName("cloudfront", "rest-xml", "cloudfront", "2020-05-31"),
        ServiceName("iam", "query", "iam", "2010-05-08"),
        ServiceName("sts", "query", "sts", "2011-06-15"),
        ServiceName("logs", "json", "logs", "2014-03-28", "Logs_20140328"),
        ServiceName(
            "cloudwatch",
            "smithy-rpc-v2-cbor",
            "monitoring",
            "2010-08-01",
            "GraniteServiceVersion20100801",
        ),
        ServiceName("cloudformation", "query", "cloudformation", "2010-05-15"),
        ServiceName("events", "json", "events", "2015-10-07", "AWSEvents"),
        ServiceName("scheduler", "rest-json", "scheduler", "2021-06-30"),
        ServiceName("sqs", "json", "sqs", "2012-11-05", "AmazonSQS"),
        ServiceName("sns", "query", "sns", "2010-03-31"),
        ServiceName("kinesis", "json", "kinesis", "2013-12-02", "Kinesis_20131202"),
        ServiceName("ses", "query", "ses", "2010-12-01"),
        ServiceName("sesv2", "rest-json", "ses", "2019-09-27"),
        ServiceName("secretsmanager", "json", "secretsmanager", "2017-10-17", "secretsmanager"),
        ServiceName("ssm", "json", "ssm", "2014-11-06", "AmazonSSM"),
        ServiceName("kms", "json", "kms", "2014-11-01", "TrentService"),
        ServiceName("stepfunctions", "json", "states", "2016-11-23", "AWSStepFunctions"),
    )
}
BY_TARGET = {s.target: s for s in SERVICES.values() if s.target}
# Where two services share a signing name, the first one listed; the path decides the rest.
BY_SIGNING: dict[str, ServiceName] = {}
for _service in reversed(SERVICES.values()):
    BY_SIGNING[_service.signing] = _service
BY_VERSION = {
    s.version: s
    for s in SERVICES.values()
    if s.name in ("iam", "sts", "cloudwatch", "cloudformation", "sqs", "sns", "ses")
}
del _service
