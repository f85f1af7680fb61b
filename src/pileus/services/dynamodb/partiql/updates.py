"""SET and REMOVE as the text of an update expression.

``set_add(a, <<…>>)`` is ADD, ``set_delete`` is DELETE. All right-hand sides see the item as it
was, so the order of clauses does not matter.
"""

from __future__ import annotations

from typing import Any

from pileus.services.dynamodb.expressions.tokens import Fault
from pileus.services.dynamodb.expressions.updates import Update as Compiled
from pileus.services.dynamodb.expressions.updates import compile_update
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.partiql.conditions import Placeholders
from pileus.services.dynamodb.partiql.literals import is_value, unsupported, value_of
from pileus.services.dynamodb.partiql.syntax import Call, Node, Op, Path
from pileus.services.dynamodb.values import Value, type_of

SETS = {"set_add": "ADD", "set_delete": "DELETE"}
ARGUMENTS = {"list_append": 2, "if_not_exists": 2}


class UpdateText:
    """A compiled update and its form in an entry."""

    def __init__(
        self, actions: tuple[tuple[Path, Node | None], ...], parameters: list[Value]
    ) -> None:
        self._at = Placeholders(parameters)
        clauses: dict[str, list[str]] = {}
        for path, value in actions:
            section, clause = self._clause(path, value)
            clauses.setdefault(section, []).append(clause)
        text = " ".join(f"{word} {', '.join(parts)}" for word, parts in clauses.items())
        self.values = self._at.values
        self.compiled = self._compile(text)
        self.spec: list[Any] = [0, text, self._at.names, self.values]

    def _compile(self, text: str) -> Compiled:
        try:
            made = compile_update(text, self._at.names)
            made.check(self.values)
        except Fault as fault:
            raise invalid(str(fault)) from None
        return made

    def _clause(self, path: Path, value: Node | None) -> tuple[str, str]:
        target = self._at.path(path)
        if value is None:
            return "REMOVE", target
        if isinstance(value, Call) and value.name in SETS:
            return SETS[value.name], f"{target} {self._members(path, value)}"
        return "SET", f"{target} = {self._operand(value, sum_allowed=True)}"

    def _members(self, path: Path, call: Call) -> str:
        """The second argument of ``set_add`` or ``set_delete``."""
        name = call.name.upper()
        if len(call.args) != 2:
            raise invalid(f"{name} must have exactly two arguments at {call.place}")
        first, second = call.args
        if not isinstance(first, Path) or first.steps != path.steps:
            raise invalid(
                f"The first argument to {name} must equal the assignment value at {call.place}"
            )
        value = value_of(second, self._at.parameters) if is_value(second) else None
        if value is None or type_of(value) not in ("SS", "NS", "BS"):
            raise invalid(
                f"The second argument to {name} must be a value with type SET at {first.place}"
            )
        return self._at.constant(value)

    def _operand(self, node: Node, sum_allowed: bool = False) -> str:
        if isinstance(node, Path):
            return self._at.path(node)
        if is_value(node):
            return self._at.value(node)
        if isinstance(node, Op):
            if node.sign in ("+", "-") and sum_allowed:
                a, b = (self._operand(x) for x in node.args)
                return f"{a} {node.sign} {b}"
            raise invalid(
                f"Unsupported operator in Update Expression. Operator: {node.sign} at {node.place}"
            )
        if isinstance(node, Call):
            return self._call(node)
        raise unsupported(node)

    def _call(self, node: Call) -> str:
        wanted = ARGUMENTS.get(node.name)
        if wanted is None:
            raise invalid(f"Unrecognized function: {node.name} at {node.place}")
        if len(node.args) != wanted:
            raise invalid(
                "Incorrect number of operands for operator or function; operator or function:"
                f" {node.name}, number of operands: {len(node.args)}"
            )
        return f"{node.name}({', '.join(self._operand(a) for a in node.args)})"
