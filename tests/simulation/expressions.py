"""Random expressions, each with a plain function that says what it means.

A condition is (text, predicate on an item), an update is (text, change of an item). Names and
values are bound on the way in ``Bindings``. The functions know nothing of the platform's code.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

Item = dict[str, Any]
Predicate = Callable[[Item], bool]
Change = Callable[[Item, Item], None]


class BadPath(Exception):
    """The update names a place that is not in the item: a ValidationException."""


def number(value: Decimal | int) -> dict[str, str]:
    """A number in the service's canonical form."""
    text = format(Decimal(value).normalize(), "f")
    return {"N": "0" if text == "-0" else text}


def decimal(value: dict[str, Any]) -> Decimal:
    return Decimal(value["N"])


class Bindings:
    """Placeholders of one request."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.names: dict[str, str] = {}
        self.values: dict[str, Any] = {}

    def name(self, name: str) -> str:
        if self.rng.random() < 0.5 and name not in ("l", "m", "s"):
            return name
        self.names[f"#{name}"] = name
        return f"#{name}"

    def value(self, value: Any) -> str:
        mark = f":v{len(self.values)}"
        self.values[mark] = value
        return mark

    def params(self) -> dict[str, Any]:
        told = {"ExpressionAttributeNames": self.names, "ExpressionAttributeValues": self.values}
        return {k: v for k, v in told.items() if v}


def some_number(rng: random.Random) -> dict[str, str]:
    return number(Decimal(rng.randint(-40, 40)) / rng.choice((1, 1, 1, 4, 8)))


def some_text(rng: random.Random) -> str:
    return "".join(
        rng.choice(("a", "b", "ä", "z", "\x00", "€", "𝄞")) for _ in range(rng.randint(1, 4))
    )


def some_set(rng: random.Random) -> list[str]:
    return sorted(rng.sample("abcdef", rng.randint(1, 3)))


def some_item(rng: random.Random) -> Item:
    """Attributes besides the keys, each there or not."""
    makers: dict[str, Callable[[], Any]] = {
        "n": lambda: some_number(rng),
        "s": lambda: {"S": some_text(rng)},
        "l": lambda: {"L": [some_number(rng) for _ in range(rng.randint(0, 3))]},
        "m": lambda: {"M": {"k": some_number(rng), "o": {"M": {"x": {"BOOL": True}}}}},
        "ss": lambda: {"SS": some_set(rng)},
        "z": lambda: {"NULL": True},
        "b": lambda: {"B": "AAH/"},
    }
    return {name: make() for name, make in makers.items() if rng.random() < 0.5}


# -- conditions ----------------------------------------------------------------------------------


def condition(b: Bindings, depth: int = 2) -> tuple[str, Predicate]:
    """A random condition over the attributes of ``some_item``."""
    kind = b.rng.random()
    if depth and kind < 0.2:
        text, holds = condition(b, depth - 1)
        return f"NOT ({text})", lambda i: not holds(i)
    if depth and kind < 0.5:
        (left, one), (right, other) = condition(b, depth - 1), condition(b, depth - 1)
        if kind < 0.35:
            return f"({left}) AND {_wrapped(right)}", lambda i: one(i) and other(i)
        return f"({left}) OR {_wrapped(right)}", lambda i: one(i) or other(i)
    return b.rng.choice(LEAVES)(b)


def _wrapped(text: str) -> str:
    return f"({text})"


def _exists(b: Bindings) -> tuple[str, Predicate]:
    name = b.rng.choice(("n", "s", "l", "m", "ss", "nowhere"))
    if b.rng.random() < 0.5:
        return f"attribute_exists({b.name(name)})", lambda i: name in i
    return f"attribute_not_exists({b.name(name)})", lambda i: name not in i


def _compare(b: Bindings) -> tuple[str, Predicate]:
    sign = b.rng.choice(("=", "<>", "<", "<=", ">", ">="))
    value = some_number(b.rng)
    right = decimal(value)
    text = f"{b.name('n')} {sign} {b.value(value)}"

    def holds(item: Item) -> bool:
        if "n" not in item:
            return sign == "<>"
        left = decimal(item["n"])
        return {
            "=": left == right, "<>": left != right, "<": left < right,
            "<=": left <= right, ">": left > right, ">=": left >= right,
        }[sign]  # fmt: skip

    return text, holds


def _between(b: Bindings) -> tuple[str, Predicate]:
    low, high = sorted((some_number(b.rng), some_number(b.rng)), key=decimal)
    text = f"{b.name('n')} BETWEEN {b.value(low)} AND {b.value(high)}"
    return text, lambda i: "n" in i and decimal(low) <= decimal(i["n"]) <= decimal(high)


def _begins(b: Bindings) -> tuple[str, Predicate]:
    start = some_text(b.rng)[:1]
    text = f"begins_with({b.name('s')}, {b.value({'S': start})})"
    return text, lambda i: "s" in i and i["s"]["S"].startswith(start)


def _contains(b: Bindings) -> tuple[str, Predicate]:
    if b.rng.random() < 0.5:
        one = b.rng.choice("abcdef")
        text = f"contains({b.name('ss')}, {b.value({'S': one})})"
        return text, lambda i: "ss" in i and one in i["ss"]["SS"]
    part = some_text(b.rng)[:1]
    text = f"contains({b.name('s')}, {b.value({'S': part})})"
    return text, lambda i: "s" in i and part in i["s"]["S"]


def _size(b: Bindings) -> tuple[str, Predicate]:
    name, limit = b.rng.choice(("s", "l", "ss", "m", "b")), b.rng.randint(0, 4)
    text = f"size({b.name(name)}) > {b.value({'N': str(limit)})}"

    def holds(item: Item) -> bool:
        if name not in item:
            return False
        kind, content = next(iter(item[name].items()))
        size = 3 if kind == "B" else len(content)  # a string's characters, not its bytes
        return bool(size > limit)

    return text, holds


def _is_in(b: Bindings) -> tuple[str, Predicate]:
    values = [some_number(b.rng) for _ in range(3)]
    told = ", ".join(b.value(v) for v in values)
    return f"{b.name('n')} IN ({told})", lambda i: i.get("n") in values


def _nested(b: Bindings) -> tuple[str, Predicate]:
    value = some_number(b.rng)
    text = f"{b.name('m')}.k >= {b.value(value)}"
    return text, lambda i: "k" in _map(i) and decimal(_map(i)["k"]) >= decimal(value)


def _map(item: Item) -> dict[str, Any]:
    return dict(item.get("m", {}).get("M", {}))


LEAVES = [_exists, _compare, _between, _begins, _contains, _size, _is_in, _nested]


# -- updates -------------------------------------------------------------------------------------


def update(b: Bindings) -> tuple[str, Callable[[Item], None]]:
    """A random update of one to three attributes. The change raises ``BadPath``."""
    makers = b.rng.sample(UPDATES, b.rng.randint(1, 3))
    clauses: dict[str, list[str]] = {}
    changes: list[Change] = []
    for make in makers:
        clause, text, change = make(b)
        clauses.setdefault(clause, []).append(text)
        changes.append(change)
    text = " ".join(f"{c} {', '.join(parts)}" for c, parts in clauses.items())

    def apply(item: Item) -> None:
        before = copy.deepcopy(item)
        for change in changes:
            change(item, before)

    return text, apply


Part = tuple[str, str, Change]


def _set_n(b: Bindings) -> Part:
    zero, more = some_number(b.rng), some_number(b.rng)
    sign = b.rng.choice("+-")
    n = b.name("n")
    text = f"{n} = if_not_exists({n}, {b.value(zero)}) {sign} {b.value(more)}"

    def change(item: Item, before: Item) -> None:
        by = decimal(more) if sign == "+" else -decimal(more)
        item["n"] = number(decimal(before.get("n", zero)) + by)

    return "SET", text, change


def _set_s(b: Bindings) -> Part:
    value = {"S": some_text(b.rng)}
    return "SET", f"{b.name('s')} = {b.value(value)}", lambda i, _: i.update(s=value)


def _append(b: Bindings) -> Part:
    value, end = some_number(b.rng), b.rng.random() < 0.5
    name, none, one = b.name("l"), b.value({"L": []}), b.value({"L": [value]})
    old = f"if_not_exists({name}, {none})"
    text = f"{name} = list_append({old}, {one})" if end else f"{name} = list_append({one}, {old})"

    def change(item: Item, before: Item) -> None:
        there = before.get("l", {"L": []})["L"]
        item["l"] = {"L": [*there, value] if end else [value, *there]}

    return "SET", text, change


def _remove_element(b: Bindings) -> Part:
    at = b.rng.randint(0, 2)

    def change(item: Item, before: Item) -> None:
        if "l" not in before:
            raise BadPath
        if at < len(before["l"]["L"]):
            item["l"] = {"L": [v for i, v in enumerate(before["l"]["L"]) if i != at]}

    return "REMOVE", f"{b.name('l')}[{at}]", change


def _set_nested(b: Bindings) -> Part:
    value = some_number(b.rng)

    def change(item: Item, before: Item) -> None:
        if "m" not in before:
            raise BadPath
        item["m"]["M"]["k"] = value

    return "SET", f"{b.name('m')}.k = {b.value(value)}", change


def _remove_whole(b: Bindings) -> Part:
    name = b.rng.choice(("z", "b"))

    def change(item: Item, before: Item) -> None:
        item.pop(name, None)

    return "REMOVE", b.name(name), change


def _add_to_set(b: Bindings) -> Part:
    more = some_set(b.rng)

    def change(item: Item, before: Item) -> None:
        there = before.get("ss", {"SS": []})["SS"]
        item["ss"] = {"SS": [*there, *(e for e in more if e not in there)]}

    return "ADD", f"{b.name('ss')} {b.value({'SS': more})}", change


def _take_from_set(b: Bindings) -> Part:
    less = some_set(b.rng)

    def change(item: Item, before: Item) -> None:
        rest = [e for e in before.get("ss", {"SS": []})["SS"] if e not in less]
        item.pop("ss", None)
        if rest:
            item["ss"] = {"SS": rest}

    return "DELETE", f"{b.name('ss')} {b.value({'SS': less})}", change


def _one_of(*makers: Callable[[Bindings], Part]) -> Callable[[Bindings], Part]:
    return lambda b: b.rng.choice(makers)(b)


# One of each attribute, so that no two paths of an update overlap.
UPDATES: list[Callable[[Bindings], Part]] = [
    _set_n, _set_s, _one_of(_append, _remove_element), _set_nested, _remove_whole,
    _one_of(_add_to_set, _take_from_set),
]  # fmt: skip
