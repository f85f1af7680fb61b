"""Errors in KMS's words (KMS API reference, "Errors" of each operation)."""

from __future__ import annotations

from pileus.errors import AwsError


def not_found(message: str) -> AwsError:
    return AwsError("NotFoundException", message)


def no_key(arn: str) -> AwsError:
    return not_found(f"Key '{arn}' does not exist")


def no_alias(arn: str) -> AwsError:
    return not_found(f"Alias {arn} is not found.")


def invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)


def lacking(member: str) -> AwsError:
    """A member KMS asks for though its model does not call it required."""
    return invalid(
        f"1 validation error detected: Value null at '{member}' failed to satisfy constraint:"
        " Member must not be null"
    )


def disabled(arn: str) -> AwsError:
    return AwsError("DisabledException", f"{arn} is disabled.")


def invalid_state(message: str) -> AwsError:
    return AwsError("KMSInvalidStateException", message)


def invalid_ciphertext() -> AwsError:
    """KMS says no more than this of a ciphertext it cannot open."""
    return AwsError("InvalidCiphertextException")


def incorrect_key() -> AwsError:
    return AwsError(
        "IncorrectKeyException",
        "The key ID in the request does not identify a CMK that can perform this operation.",
    )


def unsupported(message: str) -> AwsError:
    return AwsError("UnsupportedOperationException", message)


def managed(arn: str) -> AwsError:
    """What belongs to AWS's side of the contract cannot be changed by the account."""
    return AwsError(
        "AccessDeniedException", f"{arn} is managed by the service: it cannot be changed", 400
    )
