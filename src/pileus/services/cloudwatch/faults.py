"""CloudWatch's errors in its own words."""

from __future__ import annotations

from pileus.errors import AwsError


def invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterValue", message)


def combination(message: str) -> AwsError:
    return AwsError("InvalidParameterCombination", message)


def missing(name: str) -> AwsError:
    return AwsError("MissingParameter", f"The parameter {name} is required.")


def validation(message: str) -> AwsError:
    return AwsError("ValidationError", message)


def not_found(message: str = "") -> AwsError:
    return AwsError("ResourceNotFound", message, 404)


def bad_token() -> AwsError:
    return AwsError("InvalidNextToken", "The next token specified is invalid.")
