"""Conditions and updates worked out a second time, plainly: what the property tests compare with.

Written from the Developer Guide alone ("Condition and filter expressions, operators, and
functions", "Using update expressions"), over Python values, with nothing of the service's code.

A condition is a tree: ``("cmp", sign, x, y)``, ``("between", x, low, high)``, ``("in", x, ys)``,
``("exists", path)``, ``("missing", path)``, ``("type", path, name)``, ``("begins", path, y)``,
``("contains", path, y)``, ``("and" | "or", parts)``, ``("not", part)``; an operand is ``("path",
p)``, ``("value", v)`` or ``("size", p)``; a path is a tuple of names and indexes.
"""

from __future__ import annotations

import base64
import copy
from decimal import Decimal
from typing import Any

Tree = tuple[Any, ...]
Item = dict[str, Any]


class Refused(Exception):
    """The item does not allow the update."""


def plain(value: dict[str, Any] | None) -> Any:
    """(type, content) with content that Python compares as the service does."""
    if value is None:
        return None
    [(kind, content)] = value.items()
    if kind == "N":
        return kind, Decimal(content)
    if kind == "B":
        return kind, base64.b64decode(content)
    if kind == "SS":
        return kind, frozenset(content)
    if kind == "NS":
        return kind, frozenset(map(Decimal, content))
    if kind == "BS":
        return kind, frozenset(map(base64.b64decode, content))
    if kind == "L":
        return kind, [plain(v) for v in content]
    if kind == "M":
        return kind, {n: plain(v) for n, v in content.items()}
    return kind, content


def at(path: tuple[str | int, ...], item: Item) -> Any:
    """The value at a path, as stored, or None."""
    value: Any = {"M": item}
    for step in path:
        held = value.get("L" if isinstance(step, int) else "M")
        if held is None or (isinstance(step, int) and step >= len(held)):
            return None
        value = held[step] if isinstance(step, int) else held.get(step)
        if value is None:
            return None
    return value


# -- conditions -----------------------------------------------------------------------------------


def operand(node: Tree, item: Item) -> Any:
    if node[0] == "value":
        return plain(node[1])
    found = plain(at(node[1], item))
    if node[0] == "path" or found is None:
        return found
    kind, content = found
    return ("N", Decimal(len(content))) if kind not in ("N", "BOOL", "NULL") else None


def less(x: Any, y: Any) -> bool:
    """Only two strings, two numbers or two binaries have an order."""
    if x is None or y is None or x[0] != y[0] or x[0] not in ("S", "N", "B"):
        return False
    if x[0] == "S":
        return bool(x[1].encode() < y[1].encode())
    return bool(x[1] < y[1])


def same(x: Any, y: Any) -> bool:
    return x is not None and x == y


def ordered(x: Any) -> bool:
    return x is not None and x[0] in ("S", "N", "B")


def compare(sign: str, x: Any, y: Any) -> bool:
    if sign == "=":
        return same(x, y)
    if sign == "<>":
        return not same(x, y)
    equal = ordered(x) and same(x, y)
    if sign == "<":
        return less(x, y)
    if sign == ">":
        return less(y, x)
    return equal or (less(x, y) if sign == "<=" else less(y, x))


def contains(x: Any, y: Any) -> bool:
    if x is None or y is None:
        return False
    kind, content = x
    if kind in ("S", "B"):
        return y[0] == kind and y[1] in content
    if kind in ("SS", "NS", "BS"):
        return y[0] == kind[0] and y[1] in content
    return kind == "L" and y in content


def holds(tree: Tree, item: Item) -> bool:
    """Does the condition hold for the item?"""
    kind = tree[0]
    if kind == "and":
        return all(holds(t, item) for t in tree[1])
    if kind == "or":
        return any(holds(t, item) for t in tree[1])
    if kind == "not":
        return not holds(tree[1], item)
    if kind == "exists":
        return at(tree[1], item) is not None
    if kind == "missing":
        return at(tree[1], item) is None
    if kind == "type":
        return tree[2] in (at(tree[1], item) or {})
    if kind == "cmp":
        return compare(tree[1], operand(tree[2], item), operand(tree[3], item))
    x = operand(tree[1] if kind in ("between", "in") else ("path", tree[1]), item)
    if kind == "between":
        low, high = operand(tree[2], item), operand(tree[3], item)
        return compare(">=", x, low) and compare("<=", x, high)
    if kind == "in":
        return any(same(x, operand(y, item)) for y in tree[2])
    y = operand(tree[2], item)
    if kind == "contains":
        return contains(x, y)
    return (
        x is not None
        and y is not None
        and x[0] == y[0]
        and x[0] in ("S", "B")
        and x[1].startswith(y[1])
    )


def projected(paths: list[tuple[str | int, ...]], value: dict[str, Any]) -> dict[str, Any]:
    """What of a document its paths name, in the document's form; lists close up."""
    if () in paths:
        return value
    [(kind, content)] = value.items()
    heads = list(dict.fromkeys(p[0] for p in paths))
    inner: dict[Any, dict[str, Any]] = {}
    for head in heads:
        if isinstance(head, int) != (kind == "L") or kind not in ("L", "M"):
            continue
        held = at((head,), content) if kind == "M" else None
        if kind == "L" and head < len(content):
            held = content[head]
        found = projected([p[1:] for p in paths if p[0] == head], held) if held else {}
        if found:
            inner[head] = found
    if not inner:
        return {}
    return {kind: inner if kind == "M" else [inner[i] for i in sorted(inner)]}


# -- updates --------------------------------------------------------------------------------------
# An action is ("set", path, operand), ("remove", path), ("add", path, value), ("delete", path,
# value); the operand of SET also ("plus" | "minus", x, y), ("append", x, y), ("first", path, y).


def number(value: Decimal) -> dict[str, str]:
    text = format(value.normalize(), "f")
    return {"N": "0" if text in ("-0", "0") else text}


def amount(node: Tree, item: Item) -> dict[str, Any]:
    """The value of a right-hand side, seen against the item as it was."""
    if node[0] == "value":
        return copy.deepcopy(dict(node[1]))
    if node[0] == "path":
        found = at(node[1], item)
        if found is None:
            raise Refused
        return copy.deepcopy(dict(found))
    if node[0] == "first":
        found = at(node[1], item)
        return amount(node[2], item) if found is None else copy.deepcopy(dict(found))
    x, y = amount(node[1], item), amount(node[2], item)
    if node[0] == "append":
        if "L" not in x or "L" not in y:
            raise Refused
        return {"L": x["L"] + y["L"]}
    if "N" not in x or "N" not in y:
        raise Refused
    one, two = Decimal(x["N"]), Decimal(y["N"])
    return number(one + two if node[0] == "plus" else one - two)


def united(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """ADD."""
    [(kind, content)] = new.items()
    if old is None:
        return copy.deepcopy(new)
    if kind not in old:
        raise Refused
    if kind == "N":
        return number(Decimal(old["N"]) + Decimal(content))
    return {kind: old[kind] + [x for x in content if x not in old[kind]]}


def updated(actions: list[Tree], item: Item) -> Item:
    """The item after an update; ``Refused`` when it cannot be."""
    values = [amount(a[2], item) if a[0] == "set" else None for a in actions]
    out: Item = copy.deepcopy(item)
    appended: list[tuple[list[Any], int, dict[str, Any]]] = []
    dropped: list[tuple[list[Any], int]] = []
    for action, value in zip(actions, values, strict=True):
        *way, last = action[1]
        holder = at(tuple(way), out) if way else {"M": out}
        held = (holder or {}).get("L" if isinstance(last, int) else "M")
        if held is None:
            raise Refused
        present = at((last,), held) if isinstance(last, str) else None
        if isinstance(last, int) and last < len(held):
            present = held[last]
        if action[0] == "add":
            value = united(present, action[2])
        if action[0] in ("set", "add"):
            if isinstance(last, int) and last >= len(held):
                appended.append((held, last, value or {}))
            else:
                held[last] = value
            continue
        if present is None:
            continue
        if action[0] == "delete":
            [(kind, content)] = action[2].items()
            if kind not in present:
                raise Refused
            left = [x for x in present[kind] if x not in content]
            if left:
                held[last] = {kind: left}
                continue
        if isinstance(last, int):
            dropped.append((held, last))
        else:
            del held[last]
    for held, index in sorted(dropped, key=lambda d: -d[1]):
        del held[index]
    for held, _, value in sorted(appended, key=lambda a: a[1]):
        held.append(value)
    return out
