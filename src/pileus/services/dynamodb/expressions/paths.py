"""Document paths: names resolved, followed, compared for overlap."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from pileus.services.dynamodb.expressions.reserved import RESERVED
from pileus.services.dynamodb.expressions.tokens import Fault
from pileus.services.dynamodb.values import Item, Value

Path = tuple[str | int, ...]
STEPS_MAX = 32


class Names:
    """Resolves the names of one expression; remembers what was used and the first faults."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names
        self.used: set[str] = set()
        self.heads: set[str] = set()
        self.nested: set[str] = set()
        self.reserved = ""
        self.undefined = ""

    def path(self, steps: Iterable[str | int]) -> Path:
        """The steps with aliases replaced; faults are kept for the caller to order."""
        out: list[str | int] = []
        for step in steps:
            if isinstance(step, str) and step[0] == "#":
                step = self._alias(step)
            elif isinstance(step, str) and not self.reserved and step.upper() in RESERVED:
                self.reserved = f"Attribute name is a reserved keyword; reserved keyword: {step}"
            out.append(step)
        if len(out) > STEPS_MAX:
            raise Fault(
                f"The document path has too many nesting elements; nesting levels: {len(out)}"
            )
        head = str(out[0])
        self.heads.add(head)
        if len(out) > 1:
            self.nested.add(head)
        return tuple(out)

    def _alias(self, alias: str) -> str:
        self.used.add(alias)
        name = self._names.get(alias)
        if name is None:
            self.undefined = self.undefined or (
                "An expression attribute name used in the document path is not defined;"
                f" attribute name: {alias}"
            )
            return alias
        return name


def follow(path: Path, item: Item) -> Value | None:
    """The value at ``path``, or None."""
    value = item.get(path[0])  # type: ignore[arg-type]
    for step in path[1:]:
        if value is None:
            return None
        value = _child(value, step)
    return value


def _child(value: Value, step: str | int) -> Value | None:
    if isinstance(step, int):
        members = value.get("L")
        return members[step] if members is not None and step < len(members) else None
    fields = value.get("M")
    return None if fields is None else fields.get(step)


def show(path: Path) -> str:
    """A path as the service prints it: ``[a, [0], b]``."""
    return "[" + ", ".join(f"[{s}]" if isinstance(s, int) else s for s in path) + "]"


def overlap_fault(paths: list[Path]) -> Fault | None:
    """The first overlap among ``paths``, else the first conflict, else None."""
    conflict: Fault | None = None
    for n, later in enumerate(paths):
        for earlier in paths[:n]:
            kind = _relation(earlier, later)
            if not kind:
                continue
            fault = Fault(
                f"Two document paths {kind} with each other; must remove or rewrite one of these"
                f" paths; path one: {show(earlier)}, path two: {show(later)}"
            )
            if kind == "overlap":
                return fault
            conflict = conflict or fault
    return conflict


def _relation(a: Path, b: Path) -> str:
    for x, y in zip(a, b, strict=False):
        if isinstance(x, int) != isinstance(y, int):
            return "conflict"
        if x != y:
            return ""
    return "overlap"


def gather(paths: Iterable[Path], item: Item) -> Item:
    """The parts of ``item`` at ``paths``, in a document of the same form; list members close up."""
    out: Item = {}
    lists: list[dict[int, Any]] = []
    for path in paths:
        value = follow(path, item)
        if value is not None:
            _place(out, path, value, lists)
    return {n: _closed(v) for n, v in out.items()} if lists else out


def _place(out: Item, path: Path, value: Value, lists: list[dict[int, Any]]) -> None:
    here: Any = out
    for step, following in pairwise(path):
        node = here.setdefault(step, {})
        if isinstance(following, int):
            if "L" not in node:
                node["L"] = {}
                lists.append(node["L"])
            here = node["L"]
        else:
            here = node.setdefault("M", {})
    here[path[-1]] = value


def _closed(value: Value) -> Value:
    """Lists gathered by index become lists in index order."""
    for kind, content in value.items():
        if kind == "L" and isinstance(content, dict):
            return {"L": [_closed(content[i]) for i in sorted(content)]}
        if kind == "M":
            return {"M": {n: _closed(v) for n, v in content.items()}}
    return value
