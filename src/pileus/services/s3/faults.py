"""Errors in S3's words (S3 API reference, "Error responses")."""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError


def no_such_bucket(name: str) -> AwsError:
    return AwsError(
        "NoSuchBucket", "The specified bucket does not exist", 404, fields={"BucketName": name}
    )


def no_such_key(key: str, headers: tuple[tuple[str, str], ...] = ()) -> AwsError:
    return AwsError(
        "NoSuchKey", "The specified key does not exist.", 404, fields={"Key": key}, headers=headers
    )


def no_such_version(key: str, version: str) -> AwsError:
    return AwsError(
        "NoSuchVersion",
        "The specified version does not exist.",
        404,
        fields={"Key": key, "VersionId": version},
    )


def no_such_upload(upload_id: str) -> AwsError:
    return AwsError(
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have"
        " been aborted or completed.",
        404,
        fields={"UploadId": upload_id},
    )


def precondition_failed(condition: str) -> AwsError:
    return AwsError(
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
        412,
        fields={"Condition": condition},
    )


def invalid_argument(message: str, name: str = "", value: Any = "") -> AwsError:
    """``value`` None: not told."""
    fields = {"ArgumentName": name, "ArgumentValue": value} if name else {}
    return AwsError("InvalidArgument", message, 400, fields=fields)


def invalid_request(message: str) -> AwsError:
    return AwsError("InvalidRequest", message, 400)


def invalid_range(told: str, size: int) -> AwsError:
    return AwsError(
        "InvalidRange",
        "The requested range is not satisfiable",
        416,
        fields={"RangeRequested": told, "ActualObjectSize": size},
        headers=(("content-range", f"bytes */{size}"),),
    )


def malformed_xml() -> AwsError:
    return AwsError(
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
    )


def missing_body() -> AwsError:
    """Of a configuration that was not sent; one that was sent empty is malformed."""
    return AwsError("MissingRequestBodyError", "Request Body is empty")


def bad_digest(name: str) -> AwsError:
    return AwsError("BadDigest", f"The {name} you specified did not match the calculated checksum.")


def access_denied(message: str = "Access Denied") -> AwsError:
    return AwsError("AccessDenied", message, 403)


def not_built(header: str, more: str | None = None) -> AwsError:
    """A header that asks for something this service has not: refused by name, never ignored."""
    return AwsError(
        "NotImplemented",
        "A header you provided implies functionality that is not implemented",
        501,
        fields={"Header": header, "additionalMessage": more},
    )


def marker_in_the_way(method: str) -> AwsError:
    """What is asked for is a delete marker."""
    return AwsError(
        "MethodNotAllowed",
        "The specified method is not allowed against this resource.",
        405,
        fields={"Method": method, "ResourceType": "DeleteMarker"},
        headers=(("allow", "DELETE"), ("x-amz-delete-marker", "true")),
    )
