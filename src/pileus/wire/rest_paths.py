"""Which REST operation a method, path and query name: a trie compiled from a service's model.

Literal segments win over labels, labels over greedy labels. Operations that share method and path
are told apart by the query parameters (and S3's copy header) they must have.
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import HttpRequest

_HINT = "x-id"  # SDKs name the operation in it; S3 does not need it, so nor do we
_COPY = "x-amz-copy-source"


class _Candidate:
    __slots__ = ("copy", "deprecated", "labels", "literals", "operation", "weight")

    def __init__(
        self, operation: str, labels: list[str], literals: dict[str, str], copy: bool
    ) -> None:
        self.operation = operation
        self.labels = labels
        self.literals = literals
        self.copy = copy
        self.weight = len(literals) + copy
        self.deprecated = False

    def fits(self, query: dict[str, str], copy: bool) -> bool:
        if self.copy and not copy:
            return False
        return all(
            name in query and (not value or query[name] == value)
            for name, value in self.literals.items()
        )


class _Node:
    __slots__ = ("greedy", "label", "literal", "methods")

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.label: _Node | None = None
        self.greedy: _Node | None = None
        self.methods: dict[str, list[_Candidate]] = {}


class RestPaths:
    """The paths of one service."""

    def __init__(self, model: Any) -> None:
        self._root = _Node()
        for name in model.operation_names:
            self._add(model.operation_model(name))

    def _add(self, operation: Any) -> None:
        path, _, query = operation.http["requestUri"].partition("?")
        node, labels = self._root, []
        for segment in _segments(path):
            if segment[:1] != "{":
                node = node.literal.setdefault(segment, _Node())
                continue
            labels.append(segment.strip("{}+"))
            if segment.endswith("+}"):
                node.greedy = node = node.greedy or _Node()
            else:
                node.label = node = node.label or _Node()
        literals = dict(_pair(part) for part in query.split("&") if part)
        literals.pop(_HINT, None)
        copy = False
        shape = operation.input_shape
        for member in shape.required_members if shape is not None else ():
            told = shape.members[member].serialization
            if told.get("location") == "querystring":
                literals.setdefault(told.get("name", member), "")
            copy = copy or told.get("name") == _COPY
        candidate = _Candidate(operation.name, labels, literals, copy)
        candidate.deprecated = operation.deprecated
        method = node.methods.setdefault(operation.http.get("method", "POST"), [])
        method.append(candidate)
        method.sort(key=lambda c: (-c.weight, c.deprecated))

    def match(self, request: HttpRequest, path: str) -> tuple[str, dict[str, str]] | None:
        """(operation, raw labels), or None where no operation has this path and method."""
        values: list[str] = []
        segments = _segments(path)
        node = _walk(self._root, segments, 0, values, path, request.method)
        if node is None:
            return None
        candidates = node.methods[request.method]
        chosen = candidates[0]
        if len(candidates) > 1:
            query = dict(_pair(part) for part in request.query.split("&") if part)
            copy = _COPY in request.headers
            for candidate in candidates:
                if candidate.fits(query, copy):
                    chosen = candidate
                    break
            else:
                return None
        return chosen.operation, dict(zip(chosen.labels, values, strict=True))


def _segments(path: str) -> list[str]:
    """Segments without the leading slash; one trailing slash does not count."""
    parts = path[1:].split("/")
    if parts[-1] == "":
        parts.pop()
    return parts


def _pair(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name, value


def _walk(
    node: _Node, segments: list[str], at: int, values: list[str], path: str, method: str
) -> _Node | None:
    if at == len(segments):
        return node if method in node.methods else None
    segment = segments[at]
    below = node.literal.get(segment)
    if below is not None:
        found = _walk(below, segments, at + 1, values, path, method)
        if found is not None:
            return found
    if node.label is not None and segment:
        values.append(segment)
        found = _walk(node.label, segments, at + 1, values, path, method)
        if found is not None:
            return found
        values.pop()
    if node.greedy is not None:
        ends = [len(segments)]
        if node.greedy.literal:  # what the path names after the label wins over a longer label
            ends = [*range(len(segments) - 1, at, -1), *ends]
        for end in ends:
            rest = "/".join(segments[at:end])
            if end == len(segments) and path.endswith("/"):
                rest += "/"
            if not rest:
                continue
            values.append(rest)
            found = _walk(node.greedy, segments, end, values, path, method)
            if found is not None:
                return found
            values.pop()
    return None
