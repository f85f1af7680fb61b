"""The rows of parameters and their versions, and how a parameter is named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from pileus.services.call import Call
from pileus.services.ssm import faults
from pileus.state import keys

TABLE = "ssm"
PARAMETER, VERSION = "parameter/", "version/"
PAGE = 1000
LEVELS_MAX = 15
_NAME = re.compile(r"[a-zA-Z0-9_.\-/]+\Z")
_ARN = re.compile(r"arn:aws:ssm:[a-z0-9-]+:\d{12}:parameter/(.+)\Z")
FORM = (
    'Parameter name: can\'t be prefixed with "aws" or "ssm" (case-insensitive). If formed as a'
    " path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a"
    " mix of letters, numbers and the following 3 symbols .-_"
)
Record = dict[str, Any]


class Asked(NamedTuple):
    """What a request calls a parameter: a name or ARN, and perhaps ``:VERSION`` behind it."""

    name: str
    selector: str


def key(where: str, name: str) -> bytes:
    return keys.key(TABLE, where, PARAMETER + name)


def version_key(where: str, name: str, number: int) -> bytes:
    return keys.key(TABLE, where, f"{VERSION}{name}:{number:012d}")


def arn(call: Call, name: str) -> str:
    """A name's leading slash is the ARN's own."""
    return f"arn:aws:ssm:{call.region}:{call.account}:parameter/{name.removeprefix('/')}"


def asked(told: str) -> Asked:
    """An ARN of a name in a hierarchy stands for the name with its leading slash."""
    found = _ARN.match(told)
    if found is not None:
        told = f"/{found[1]}" if "/" in found[1] else found[1]
    name, _, selector = told.partition(":")
    return Asked(name, selector)


def check_form(name: str) -> None:
    """``ValidationException`` for what can be no parameter's name."""
    unrooted = "/" in name and not name.startswith("/")
    if not _NAME.match(name) or name.endswith("/") or "//" in name or unrooted:
        raise faults.invalid(FORM)


def check_name(name: str) -> str:
    """The name of a new parameter; ``ValidationException`` for what AWS takes for none."""
    bare = name.removeprefix("/")
    if "/" in bare and not name.startswith("/") and _NAME.match(name):
        raise faults.invalid("Parameter name must be a fully qualified name.")
    check_form(name)
    if bare.lower().startswith(("aws", "ssm")):
        raise faults.invalid(f"No access to reserved parameter name: {name}.")
    if name.count("/") > LEVELS_MAX:
        raise faults.error(
            "HierarchyLevelLimitExceededException",
            f"A hierarchy can have a maximum of {LEVELS_MAX} levels.",
        )
    return name


def stored(reader: Any, where: str, name: str) -> str:
    """The name a parameter lies under: one of a single level is the same with a leading slash and
    without."""
    bare = name.removeprefix("/")
    other = bare if bare != name else f"/{name}"
    if "/" in bare or reader.get_json(key(where, name)) is not None:
        return name
    return other if reader.get_json(key(where, other)) is not None else name


def parameters(
    store: Any, where: str, prefix: str, after: str = ""
) -> Iterator[tuple[str, Record]]:
    """(name, record) of the parameters whose names begin with ``prefix``, by name, those up to
    ``after`` left out."""
    start = keys.partition_prefix(TABLE, where) + (PARAMETER + prefix).encode()
    end = keys.after_prefix(start)
    if after:
        start = max(start, key(where, after) + b"\x00")
    while True:
        found = store.range(start, end, PAGE)
        for row in found:
            sort = keys.split(row.key)[2].decode()
            yield sort.removeprefix(PARAMETER), orjson.loads(row.value)
        if len(found) < PAGE:
            return
        start = found[-1].key + b"\x00"


def versions(reader: Any, where: str, name: str) -> list[Record]:
    """All kept versions, oldest first."""
    start = keys.partition_prefix(TABLE, where) + f"{VERSION}{name}:".encode()
    return [orjson.loads(row.value) for row in reader.range(start, keys.after_prefix(start), PAGE)]
