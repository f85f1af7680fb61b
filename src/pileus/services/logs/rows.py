"""State rows of log groups and streams.

``logs`` / account/region / name → group ``{id, name, created, retention, tags, class}``.
``logstreams`` / group id / stream name → stream ``{id, name, created}``. ``id`` is a random number
that names the events in the telemetry store, so that a group made again under an old name starts
empty and a deleted one needs only its one row removed: the sweep collects the rest.
"""

from __future__ import annotations

import re
from typing import Any

from pileus.engine import Clock
from pileus.errors import AwsError
from pileus.services.owned import place_of
from pileus.state import keys

NAME_CHARS_MAX = 512
GROUP_NAME = re.compile(r"[.\-_/#A-Za-z0-9]+")
IDENTIFIER = re.compile(r"[\w#+=/:,.@-]*", re.ASCII)
STREAM_NAME = re.compile(r"[^:*]+")


def group_key(account: str, region: str, name: str) -> bytes:
    return keys.key("logs", place_of(account, region), name)


def stream_key(group_id: int, name: str) -> bytes:
    return keys.key("logstreams", str(group_id), name)


def span(table: str, partition: str, prefix: str, after: str) -> tuple[bytes, bytes]:
    """The key range of names that start with ``prefix`` and come after ``after`` ('' = all)."""
    whole = keys.partition_prefix(table, partition) + prefix.encode()
    start = whole if not after else keys.key(table, partition, after) + b"\x00"
    return start, keys.after_prefix(whole)


def new_id(clock: Clock) -> int:
    """63 random bits: what SQLite holds in one integer."""
    return int.from_bytes(clock.random_bytes(8), "big") >> 1


def group_name(params: dict[str, Any], required: bool = True) -> str:
    """``logGroupName``, or the name within ``logGroupIdentifier`` (a name or an ARN, without the
    ``:*`` that ``arn`` ends in and ``logGroupArn`` does not)."""
    name = params.get("logGroupName") or ""
    identifier = params.get("logGroupIdentifier") or ""
    if name and identifier:
        raise AwsError(
            "ValidationException",
            "LogGroup name and LogGroup ARN are mutually exclusive parameters.",
        )
    check_identifier(identifier)
    name = name or name_of_arn(identifier)
    if required and not name:
        raise invalid("At least one of logGroupName or logGroupIdentifier must be specified.")
    return name


def check_identifier(identifier: str) -> None:
    if not IDENTIFIER.fullmatch(identifier):
        raise invalid(
            "1 validation error detected: Value at 'logGroupIdentifier' failed to satisfy"
            " constraint: Member must satisfy regular expression pattern: [\\w#+=/:,.@-]*"
        )


def name_of_arn(identifier: str) -> str:
    """The group's name in ``arn:aws:logs:region:account:log-group:NAME[:*]``, or ``identifier``."""
    if not identifier.startswith("arn:"):
        return identifier
    parts = identifier.split(":", 6)
    if len(parts) < 7 or parts[2] != "logs" or parts[5] != "log-group":
        raise invalid(f"The specified ARN is invalid: {identifier}")
    return parts[6].removesuffix(":*").split(":")[0]


def _check_length(name: str) -> None:
    if len(name) > NAME_CHARS_MAX:
        raise invalid(
            "Invalid LogGroup or LogStream, both must have length less than or equal to"
            f" {NAME_CHARS_MAX}."
        )


def check_group_name(name: str) -> None:
    _check_length(name)
    if not GROUP_NAME.fullmatch(name):
        raise invalid(
            f"1 validation error detected: Value '{name}' at 'logGroupName' failed to satisfy"
            " constraint: Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+"
        )


def check_stream_name(name: str) -> None:
    _check_length(name)
    if not STREAM_NAME.fullmatch(name):
        raise invalid(
            f"1 validation error detected: Value '{name}' at 'logStreamName' failed to satisfy"
            " constraint: Member must satisfy regular expression pattern: [^:*]*"
        )


def limit_of(params: dict[str, Any], name: str, default: int, maximum: int) -> int:
    """A paging limit within 1..maximum; ``InvalidParameterException`` otherwise."""
    value = params.get(name)
    if value is None:
        return default
    if not 1 <= value <= maximum:
        bound = "greater than or equal to 1" if value < 1 else f"less than or equal to {maximum}"
        raise invalid(
            f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy"
            f" constraint: Member must have value {bound}"
        )
    return int(value)


def invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterException", message)


def no_group() -> AwsError:
    return AwsError("ResourceNotFoundException", "The specified log group does not exist.")


def no_stream() -> AwsError:
    return AwsError("ResourceNotFoundException", "The specified log stream does not exist.")


def group_arn(account: str, region: str, name: str) -> str:
    return f"arn:aws:logs:{region}:{account}:log-group:{name}"
