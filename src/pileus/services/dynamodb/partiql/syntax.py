"""The tree of a statement. ``place`` is the line:column:length of the token an error points at.

Trees are immutable, so that they can be cached by text.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Literal:
    """``kind``: S, N, BOOL, NULL or MISSING. A number's text is as written."""

    kind: str
    text: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class Parameter:
    """The ``number``-th ``?`` of the statement, from 0."""

    number: int
    place: str


@dataclass(frozen=True, slots=True)
class Path:
    """A document path: names and list indexes."""

    steps: tuple[str | int, ...]
    place: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function call; ``name`` in lower case."""

    name: str
    args: tuple[Node, ...]
    place: str


@dataclass(frozen=True, slots=True)
class Op:
    """An operator: and, or, not, neg, a comparison, between, in, + and the like."""

    sign: str
    args: tuple[Node, ...]
    place: str


@dataclass(frozen=True, slots=True)
class Is:
    """``term IS type``."""

    term: Node
    type: str
    place: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """``kind``: list ``[]``, bag ``<<>>`` or paren ``(,)``."""

    kind: str
    items: tuple[Node, ...]
    place: str


@dataclass(frozen=True, slots=True)
class Struct:
    """``{'name': value, …}``."""

    fields: tuple[tuple[str, Node], ...]
    place: str


@dataclass(frozen=True, slots=True)
class Wildcard:
    """``*`` where a value could stand."""

    place: str


@dataclass(frozen=True, slots=True)
class Source:
    """What a statement names after FROM, INTO or UPDATE."""

    steps: tuple[str, ...]
    aliased: bool = False


@dataclass(frozen=True, slots=True)
class Select:
    """``columns`` is None for ``*``; ``order`` holds (path, ascending)."""

    source: Source
    columns: tuple[Node, ...] | None
    where: Node | None
    order: tuple[tuple[Node, bool], ...] = ()
    place: str = ""


@dataclass(frozen=True, slots=True)
class Insert:
    source: Source
    value: Node


@dataclass(frozen=True, slots=True)
class Update:
    """``actions``: (path, value), the value None for REMOVE. ``returning``: ``ALL NEW`` etc."""

    source: Source
    actions: tuple[tuple[Path, Node | None], ...]
    where: Node | None
    returning: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    source: Source
    where: Node | None
    returning: str = ""


@dataclass(frozen=True, slots=True)
class Exists:
    """``EXISTS(SELECT …)``: a transaction's condition check."""

    select: Select

    @property
    def source(self) -> Source:
        return self.select.source


@dataclass(frozen=True, slots=True)
class Statement:
    """One parsed statement and how many parameters it wants."""

    body: Select | Insert | Update | Delete | Exists
    parameters: int = field(default=0)

    @property
    def reads(self) -> bool:
        return isinstance(self.body, Select)


Node = Literal | Parameter | Path | Call | Op | Is | Sequence | Struct | Wildcard | Select
