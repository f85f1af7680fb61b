"""State rows of HTTP APIs, their identifiers, and the errors every operation shares.

Table ``apigw``: partition api id; sort ``api`` → ``{account, region, told}``, and ``KIND/ID`` →
the resource as AWS's API tells it (member names of the model). A ``deployment/ID`` row is
``{told, snapshot}``. Table ``apigwlist``: partition account/region; sort api id → nothing.
Table ``apigwdomain``: partition ``all``; sort domain name → ``{account, region, told, mappings}``.
"""

from __future__ import annotations

from typing import Any

from pileus.engine import Clock
from pileus.errors import AwsError
from pileus.services.owned import place_of
from pileus.state import keys

TABLE, LIST, DOMAINS = "apigw", "apigwlist", "apigwdomain"
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
LENGTHS = {
    "api": 10,
    "route": 7,
    "integration": 7,
    "authorizer": 6,
    "deployment": 6,
    "model": 6,
    "mapping": 6,
}
NOUNS = {
    "api": "API",
    "route": "Route",
    "integration": "Integration",
    "authorizer": "Authorizer",
    "deployment": "Deployment",
    "model": "Model",
    "stage": "stage",
    "domain": "domain name",
    "mapping": "API mapping",
}


def api_key(api_id: str) -> bytes:
    return keys.key(TABLE, api_id, "api")


def domain_key(name: str) -> bytes:
    return keys.key(DOMAINS, "all", name)


def domain_span() -> tuple[bytes, bytes]:
    prefix = keys.partition_prefix(DOMAINS, "all")
    return prefix, keys.after_prefix(prefix)


def part_key(api_id: str, kind: str, part_id: str) -> bytes:
    return keys.key(TABLE, api_id, f"{kind}/{part_id}")


def kind_span(api_id: str, kind: str) -> tuple[bytes, bytes]:
    """The key range of every resource of one kind within an API."""
    prefix = keys.partition_prefix(TABLE, api_id) + f"{kind}/".encode()
    return prefix, keys.after_prefix(prefix)


def api_span(api_id: str) -> tuple[bytes, bytes]:
    prefix = keys.partition_prefix(TABLE, api_id)
    return prefix, keys.after_prefix(prefix)


def list_key(account: str, region: str, api_id: str) -> bytes:
    return keys.key(LIST, place_of(account, region), api_id)


def new_id(clock: Clock, kind: str) -> str:
    """A random identifier of AWS's length for the kind; it starts with a letter."""
    raw = clock.random_bytes(LENGTHS[kind])
    return ALPHABET[raw[0] % 26] + "".join(ALPHABET[b % 36] for b in raw[1:])


def bad(message: str) -> AwsError:
    return AwsError("BadRequestException", message, 400)


def conflict(message: str) -> AwsError:
    return AwsError("ConflictException", message, 409)


def no_such(kind: str, name: str = "") -> AwsError:
    """``NotFoundException`` in AWS's words."""
    tail = f" {name}" if name else ""
    fields = {"ResourceType": NOUNS[kind]}
    text = f"Invalid {NOUNS[kind]} identifier specified{tail}"
    return AwsError("NotFoundException", text, 404, fields=fields)


def picked(params: dict[str, Any], *names: str) -> dict[str, Any]:
    """The members of ``params`` that are set."""
    return {name: params[name] for name in names if params.get(name) is not None}


def arn(region: str, *path: str) -> str:
    """An API Gateway management ARN: ``arn:aws:apigateway:REGION::/apis/ID``."""
    return f"arn:aws:apigateway:{region}::/{'/'.join(path)}"
