"""Whatever goes wrong in a call becomes an error AWS's clients know."""

from __future__ import annotations

import logging

from pileus.errors import AwsError, Conflict, Unavailable
from pileus.wire.names import ServiceName
from pileus.wire.protocols.scalars import Missing

LOG = logging.getLogger("pileus.wire")
_VALIDATION = {
    "logs": "InvalidParameterException",
    "apigatewayv2": "BadRequestException",
    "apigateway": "BadRequestException",
    "cloudfront": "InvalidArgument",
    "events": "ValidationException",
    "sqs": "MissingParameter",
}
_UNREADABLE = {
    "apigatewayv2": "BadRequestException",
    "apigateway": "BadRequestException",
    "lambda": "InvalidRequestContentException",
    "cloudfront": "MalformedXML",
    "s3": "InvalidArgument",
}
_INTERNAL = {"s3": "InternalError", "dynamodb": "InternalServerError", "lambda": "ServiceException"}


def as_aws_error(
    error: Exception, service: ServiceName, operation: str, request_id: str, has_body: bool
) -> AwsError:
    """The AWS error of any exception. Surprises are logged with their traceback."""
    if isinstance(error, AwsError):
        return _in_words_of(error, service)
    if isinstance(error, Missing):
        return _missing(error, service, has_body)
    if isinstance(error, Unavailable | Conflict):
        return unavailable(error, service)
    LOG.error("%s %s failed (request %s)", service.name, operation, request_id, exc_info=error)
    code = _INTERNAL.get(service.name, "InternalFailure")
    return AwsError(code, f"An internal error occurred (request {request_id}).", 500)


def _in_words_of(error: AwsError, service: ServiceName) -> AwsError:
    """Codes that differ between families of services."""
    xml = service.protocol in ("query", "rest-xml")
    if error.code == "AccessDeniedException" and xml:
        error.code = "AccessDenied"
    elif error.code == "SerializationException":
        default = "MalformedInput" if service.protocol == "query" else error.code
        error.code = _UNREADABLE.get(service.name, default)
    elif error.code == "RequestEntityTooLargeException" and service.name == "s3":
        error.code, error.message = "MaxMessageLengthExceeded", "Your request was too large."
        error.status = 400
    return error


def _missing(error: Missing, service: ServiceName, has_body: bool) -> AwsError:
    if has_body and service.name in ("s3", "s3control"):
        return AwsError(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our"
            " published schema",
        )
    if service.name == "s3":
        if error.path == "policy":
            message = "Policies must be valid JSON and the first byte must be '{'"
            return AwsError("MalformedPolicy", message)
        if error.path[:1].islower() and "." not in error.path and error.path != "key":
            return AwsError("MissingRequestBodyError", "Request Body is empty")
    return AwsError(
        invalid_input(service.name, service.protocol),
        f"1 validation error detected: Value null at '{error.path}' failed to satisfy constraint:"
        " Member must not be null",
    )


def invalid_input(service: str, protocol: str) -> str:
    """The code of an error of input that its model refuses."""
    default = "ValidationError" if protocol == "query" else "ValidationException"
    return _VALIDATION.get(service, default)


def unavailable(error: Exception, service: ServiceName) -> AwsError:
    """A retryable answer; the hint tells the operator what to do. The request may have had its
    effect (SlowDown, which S3 has too, would say that it had none)."""
    hint = getattr(error, "hint", "")
    message = f"{error} {hint}".strip() or "Please try again."
    code = "ServiceUnavailable"
    if service.protocol not in ("query", "rest-xml"):
        code = "ServiceUnavailableException"
    return AwsError(code, message, 503, headers=(("retry-after", "1"),))


def not_offered(service: ServiceName, operation: str) -> AwsError:
    """An operation AWS has and Pileus has not: 501, which SDKs show and do not insist on."""
    return AwsError(
        "NotImplemented",
        f"{operation} is not offered by Pileus yet (service {service.name}).",
        501,
    )


def unknown_operation(service: ServiceName, asked: str) -> AwsError:
    """An operation AWS has not, in AWS's words."""
    asked = asked[:256]
    if service.protocol == "query":
        return AwsError(
            "InvalidAction",
            f"Could not find operation {asked} for version {service.version}",
        )
    if service.name == "s3" and asked.startswith("POST ") and asked.count("/") == 1:
        return AwsError(  # to a bucket, of no operation: a browser's form (recorded of AWS)
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold",
            412,
            fields={"Condition": "Bucket POST must be of the enclosure-type multipart/form-data"},
        )
    if service.name == "s3":
        return AwsError(
            "MethodNotAllowed", "The specified method is not allowed against this resource.", 405
        )
    if service.protocol.startswith("rest"):
        return AwsError(
            "UnknownOperationException", f"Unable to determine service/operation name: {asked}", 404
        )
    if service.name.startswith("dynamodb"):
        return AwsError("UnknownOperationException")
    return AwsError("UnknownOperationException", f"Unknown operation {asked} ({service.name})")
