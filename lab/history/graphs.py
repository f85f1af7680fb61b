"""Strongly connected parts and short cycles of a graph whose edges have kinds."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

Graph = dict[int, dict[int, set[str]]]  # node -> node -> kinds of dependency
TRIES_MAX = 2_000


def successors(graph: Graph, node: int, kinds: frozenset[str]) -> Iterator[int]:
    """Where edges of these kinds lead."""
    return (other for other, held in graph[node].items() if held & kinds)


def components(graph: Graph, kinds: frozenset[str]) -> list[set[int]]:
    """Strongly connected parts of two or more nodes (Tarjan 1972, without recursion)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    found: list[set[int]] = []
    for root in graph:
        if root in index:
            continue
        work = [(root, successors(graph, root, kinds))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, rest = work[-1]
            for other in rest:
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    on_stack.add(other)
                    work.append((other, successors(graph, other, kinds)))
                    break
                if other in on_stack:
                    low[node] = min(low[node], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    part = set(stack[stack.index(node) :])
                    del stack[stack.index(node) :]
                    on_stack -= part
                    if len(part) > 1:
                        found.append(part)
    return found


def shortest_cycle(
    graph: Graph, part: set[int], kinds: frozenset[str], once: str | None
) -> list[int] | None:
    """A short cycle within ``part``; with ``once``, one with exactly one edge of that kind."""
    best: list[int] | None = None
    tries = 0
    for start in sorted(part):
        for after, held in graph[start].items():
            if after not in part or not held & ({once} if once else kinds):
                continue
            tries += 1
            if tries > TRIES_MAX and (best or not once):
                return best
            way = path(graph, part, after, start, kinds - {once} if once else kinds)
            if way and (best is None or len(way) < len(best)):
                best = way
                if len(best) == 2:
                    return [best[-1], *best[:-1]]
    return [best[-1], *best[:-1]] if best else None


def path(
    graph: Graph, part: set[int], start: int, goal: int, kinds: frozenset[str]
) -> list[int] | None:
    """The nodes of a shortest way from ``start`` to ``goal``, both included."""
    came: dict[int, int] = {start: start}
    waiting = deque([start])
    while waiting:
        node = waiting.popleft()
        if node == goal:
            way = [node]
            while came[way[-1]] != way[-1]:
                way.append(came[way[-1]])
            return way[::-1]
        for other in successors(graph, node, kinds):
            if other in part and other not in came:
                came[other] = node
                waiting.append(other)
    return None
