"""State rows of CloudFront resources, their identifiers and shared errors.

Table ``cloudfront``: partition kind (``distribution``, ``identity``, …); sort id →
``{account, etag, modified, told, config, tags}``. Table ``cloudfrontinval``: partition
distribution id; sort id → ``{created, reference, paths}``; the row's version (its place in the
log) orders an invalidation against what the caches hold.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from pileus.engine import Clock
from pileus.errors import AwsError
from pileus.state import keys

TABLE, INVALIDATIONS = "cloudfront", "cloudfrontinval"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
ARN = re.compile(r"arn:aws:cloudfront::(\d{12}):([a-z\-]+)/([A-Za-z0-9\-]+)")


def key(kind: str, id_: str) -> bytes:
    return keys.key(TABLE, kind, id_)


def span(kind: str) -> tuple[bytes, bytes]:
    prefix = keys.partition_prefix(TABLE, kind)
    return prefix, keys.after_prefix(prefix)


def invalidation_key(distribution_id: str, id_: str) -> bytes:
    return keys.key(INVALIDATIONS, distribution_id, id_)


def new_id(clock: Clock, prefix: str = "E") -> str:
    """``E`` and 13 random capitals and digits; ``uuid`` gives a UUID."""
    if prefix == "uuid":
        return str(uuid.UUID(bytes=clock.random_bytes(16), version=4))
    return prefix + "".join(ALPHABET[b % 36] for b in clock.random_bytes(13))


def bad(message: str, code: str = "InvalidArgument") -> AwsError:
    return AwsError(code, message, 400)


def check_match(given: str | None, etag: str) -> None:
    """``If-Match`` must name the resource's current ETag."""
    if not given:
        raise bad(
            "The If-Match version is missing or not valid for the resource.",
            "InvalidIfMatchVersion",
        )
    if given != etag:
        raise AwsError(
            "PreconditionFailed",
            "The request failed because it didn't meet the preconditions in one or more"
            " request-header fields.",
            412,
        )


def items(wrapped: dict[str, Any] | None) -> list[Any]:
    """The list within AWS's ``{"Quantity": n, "Items": […]}``."""
    return list((wrapped or {}).get("Items") or [])


def check_quantities(value: Any) -> None:
    """``InconsistentQuantities`` where a Quantity differs from its Items, at any depth."""
    if isinstance(value, list):
        for each in value:
            check_quantities(each)
    if not isinstance(value, dict):
        return
    if "Quantity" in value and value["Quantity"] != len(value.get("Items") or []):
        raise bad(
            "The value of Quantity and the size of Items don't match.", "InconsistentQuantities"
        )
    for each in value.values():
        check_quantities(each)


def paging(params: dict[str, Any]) -> tuple[str, int]:
    """(marker, page size); ``InvalidArgument`` for a size outside 1..100."""
    text = str(params.get("MaxItems") or "100")
    if not text.isdigit() or int(text) < 1:
        raise bad("The value of MaxItems is not valid")
    return params.get("Marker") or "", min(int(text), 100)


def listed(found: list[Any], marker: str, size: int, last: str) -> dict[str, Any]:
    """One page in AWS's list shape; ``found`` holds one more than ``size`` if there are more."""
    more = len(found) > size
    answer: dict[str, Any] = {
        "Marker": marker,
        "MaxItems": size,
        "IsTruncated": more,
        "Quantity": min(len(found), size),
    }
    if found:
        answer["Items"] = found[:size]
    if more:
        answer["NextMarker"] = last
    return answer
