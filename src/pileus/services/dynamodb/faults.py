"""The errors this service answers, worded as the service words them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pileus.errors import AwsError


def invalid(message: str) -> AwsError:
    """ValidationException."""
    return AwsError("ValidationException", message)


def bad_parameter(message: str) -> AwsError:
    """ValidationException with the opening most parameter checks share."""
    return invalid("One or more parameter values were invalid: " + message)


@contextmanager
def detected() -> Iterator[None]:
    """A ValidationException within is told as one the request's own validation detected."""
    try:
        yield
    except AwsError as error:
        if error.code != "ValidationException":
            raise
        raise invalid(f"1 validation error detected: {error.message}") from None


def unserializable(message: str = "") -> AwsError:
    """SerializationException: the body does not have the operation's shape."""
    return AwsError("SerializationException", message)


def not_found(message: str = "Requested resource not found") -> AwsError:
    """ResourceNotFoundException, in the words of the item operations."""
    return AwsError("ResourceNotFoundException", message)


def table_not_found(name: str) -> AwsError:
    """ResourceNotFoundException, in the words of the table operations."""
    return not_found(f"Requested resource not found: Table: {name} not found")


def in_use(message: str) -> AwsError:
    return AwsError("ResourceInUseException", message)


def limit_exceeded(message: str) -> AwsError:
    return AwsError("LimitExceededException", message)


def condition_failed(item: dict[str, Any] | None = None) -> AwsError:
    """ConditionalCheckFailedException; ``item`` is shown when the caller asked for it."""
    fields = {"Item": item} if item else {}
    return AwsError(
        "ConditionalCheckFailedException", "The conditional request failed", fields=fields
    )
