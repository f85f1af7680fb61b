"""What listings share: filters of parameters and limits of pages.

https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_ParameterStringFilter.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.services.ssm import faults

Record = dict[str, Any]
Wanted = Callable[[str, Record], bool]
MEMBERS = {"Type": "type", "Tier": "tier", "KeyId": "key"}
OPTIONS: dict[str, Callable[[str, str], bool]] = {
    "Equals": lambda have, told: have == told,
    "BeginsWith": lambda have, told: have.startswith(told),
    "Contains": lambda have, told: told in have,
}


def of(told: list[Record]) -> Wanted:
    """Whether a parameter meets all filters, of each filter's values any."""
    tests = [_one(f) for f in told]
    return lambda name, record: all(test(name, record) for test in tests)


def _one(told: Record) -> Wanted:
    key, values = str(told["Key"]), told.get("Values", [])
    option = told.get("Option", "OneLevel" if key == "Path" else "Equals")
    if key == "Path":
        return lambda name, _: any(_below(name, v, option == "Recursive") for v in values)
    if key.startswith("tag:"):
        tag = key.removeprefix("tag:")
        return lambda _, record: (
            tag in record["tags"] and (not values or record["tags"][tag] in values)
        )
    if option not in OPTIONS:
        raise faults.error("InvalidFilterOption", f"The filter option {option} is not valid.")
    meets = OPTIONS[option]
    if key == "Name":
        bare = [v.removeprefix("/") if option == "Contains" else v for v in values]
        return lambda name, _: any(meets(name, v) for v in bare)
    if key == "DataType":
        return lambda _, record: any(meets("text", v) for v in values)
    if key not in MEMBERS:
        raise faults.error("InvalidFilterKey", f"The filter key {key} is not valid.")
    return lambda _, record: any(meets(record[MEMBERS[key]], v) for v in values)


def _below(name: str, path: str, deep: bool) -> bool:
    prefix = path.rstrip("/") + "/"
    return name.startswith(prefix) and (deep or "/" not in name.removeprefix(prefix))


def limit_of(params: Record, longest: int, usual: int) -> int:
    limit = int(params.get("MaxResults") or usual)
    if not 1 <= limit <= longest:
        raise faults.invalid(
            f"1 validation error detected: Value '{limit}' at 'maxResults' failed to satisfy"
            f" constraint: Member must have value less than or equal to {longest}"
        )
    return limit


def number_of(token: str) -> int:
    if not token.isdigit():
        raise faults.error("InvalidNextToken", "The specified token is not valid.")
    return int(token)


def optional(record: Record) -> Record:
    """Members of a description that are told only where there is something to tell."""
    names = {"Description": "description", "AllowedPattern": "pattern", "KeyId": "key"}
    return {told: record[name] for told, name in names.items() if record[name]}
