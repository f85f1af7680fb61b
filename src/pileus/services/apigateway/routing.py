"""Which route answers a request.

Full matches come before greedy ones, literal segments before variables, the request's method
before ANY, and ``$default`` last.
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Node:
    """One segment of a path: ``literal`` and ``variable`` ways on, routes that end here by
    method, and routes that swallow the rest."""

    literal: dict[str, Node] = field(default_factory=dict)
    variable: Node | None = None
    ends: dict[str, Any] = field(default_factory=dict)
    greedy: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Ending:
    """A route as a node knows it: its own names for the variables on the way."""

    names: tuple[str, ...]
    route: Any


class Routes:
    """The routes of one stage. ``add`` them, then ``match`` requests."""

    def __init__(self) -> None:
        self._root = Node()
        self.default: Any = None
        self._has_greedy = False

    def add(self, key: str, route: Any) -> None:
        """``key``: ``$default`` or ``METHOD /path``."""
        if key == "$default":
            self.default = route
            return
        method, _, path = key.partition(" ")
        node, names = self._root, []
        for segment in path.split("/")[1:]:
            if segment.endswith("+}"):
                names.append(segment[1:-2])
                node.greedy[method] = Ending(tuple(names), route)
                self._has_greedy = True
                return
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.variable = node.variable or Node()
                node = node.variable
            else:
                node = node.literal.setdefault(segment, Node())
        node.ends[method] = Ending(tuple(names), route)

    def match(self, method: str, segments: list[str]) -> tuple[Any, dict[str, str]] | None:
        """(route, path variables) for decoded path segments, or None."""
        values: list[str] = []
        found = _full(self._root, method, segments, 0, values)
        if found is None and self._has_greedy:
            values.clear()
            found = _greedy(self._root, method, segments, 0, values)
        if found is not None:
            return found.route, dict(zip(found.names, values, strict=True))
        return None if self.default is None else (self.default, {})


def _ending(by_method: dict[str, Any], method: str) -> Ending | None:
    return by_method.get(method) or by_method.get("ANY")


def _full(
    node: Node, method: str, segments: list[str], at: int, values: list[str]
) -> Ending | None:
    if at == len(segments):
        return _ending(node.ends, method)
    segment = segments[at]
    child = node.literal.get(segment)
    if child is not None:
        found = _full(child, method, segments, at + 1, values)
        if found is not None:
            return found
    if node.variable is not None and segment:
        values.append(segment)
        found = _full(node.variable, method, segments, at + 1, values)
        if found is not None:
            return found
        values.pop()
    return None


def _greedy(
    node: Node, method: str, segments: list[str], at: int, values: list[str]
) -> Ending | None:
    """The longest way on whose end swallows the rest."""
    if at == len(segments):
        return None
    child = node.literal.get(segments[at])
    if child is not None:
        found = _greedy(child, method, segments, at + 1, values)
        if found is not None:
            return found
    if node.variable is not None and segments[at]:
        values.append(segments[at])
        found = _greedy(node.variable, method, segments, at + 1, values)
        if found is not None:
            return found
        values.pop()
    rest = "/".join(segments[at:])
    ending = _ending(node.greedy, method) if rest else None
    if ending is not None:
        values.append(rest)
    return ending
