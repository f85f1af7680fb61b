"""Errors in Parameter Store's words (Systems Manager API reference, "Errors" of each operation)."""

from __future__ import annotations

from pileus.errors import AwsError


def error(code: str, message: str = "") -> AwsError:
    return AwsError(code, message, 400)


def invalid(message: str) -> AwsError:
    return error("ValidationException", message)


def not_found(name: str) -> AwsError:
    return error("ParameterNotFound", f"Parameter {name} not found.")


def no_version(name: str, selector: str) -> AwsError:
    return error(
        "ParameterVersionNotFound",
        f"Systems Manager could not find version {selector} of {name}. Verify the version and try"
        " again.",
    )


def exists() -> AwsError:
    return error(
        "ParameterAlreadyExists",
        "The parameter already exists. To overwrite this value, set the overwrite option in the"
        " request to true.",
    )


def not_offered(what: str) -> AwsError:
    return invalid(f"{what} is not offered by Pileus.")
