"""XML documents: a safe parser, and readers and writers compiled from shapes (Smithy, restXml).

Document types are refused: no entities, no expansion, no files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from pileus.errors import AwsError
from pileus.wire.protocols.scalars import READ_TEXT, Missing, lower_first, text_writer

DEPTH_MAX = 64
Reader = Callable[["Node"], Any]
Writer = Callable[[Any, list[str]], None]
_ESCAPES = {"\r": "&#13;"}
# Characters XML 1.0 cannot carry at all: AWS answers them as is only with encoding-type=url.
_FORBIDDEN = {c: "�" for c in range(32) if c not in (9, 10, 13)}


class Node:
    """One element: local name, text, attributes by local name, children by local name."""

    __slots__ = ("attributes", "children", "name", "text")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.children: dict[str, list[Node]] = {}
        self.text = ""


def malformed(_: object = None) -> AwsError:
    return AwsError(
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
    )


def parse(body: bytes) -> Node:
    """The root element. Raises ``MalformedXML``."""
    parser = expat.ParserCreate(namespace_separator="\n")
    parser.buffer_text = True
    top = Node("", {})
    stack = [top]

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(stack) > DEPTH_MAX:
            raise malformed()
        local = {k.rpartition("\n")[2]: v for k, v in attributes.items()}
        node = Node(name.rpartition("\n")[2], local)
        stack[-1].children.setdefault(node.name, []).append(node)
        stack.append(node)

    def text(data: str) -> None:
        stack[-1].text += data

    def doctype(*_: object) -> None:
        raise malformed()

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda name: stack.pop()
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError, LookupError):
        raise malformed() from None
    return next(iter(top.children.values()))[0]


class XmlCodec:
    """Compiles the shapes of one service. Of ``lenient`` shapes no member is needed."""

    def __init__(self, times: str = "iso8601", lenient: frozenset[str] = frozenset()) -> None:
        self._times = times
        self._lenient = lenient
        self._readers: dict[str, Reader] = {}
        self._writers: dict[str, Writer] = {}

    # --- reading -----------------------------------------------------------------------------
    def reader(self, shape: Any) -> Reader:
        """element → value."""
        kind = shape.type_name
        if kind not in ("structure", "list", "map"):
            convert = READ_TEXT[kind]
            if kind == "string":
                return lambda node: node.text
            return lambda node: convert(node.text.strip())
        found = self._readers.get(shape.name)
        if found is None:
            cell: list[Reader] = []
            self._readers[shape.name] = lambda node: cell[0](node)
            if kind == "structure":
                needed = [] if shape.name in self._lenient else shape.required_members
                found = self.structure_reader(shape.members, needed)
            elif kind == "list":
                found = self._list_reader(shape)
            else:
                found = self._map_reader(shape)
            cell.append(found)
            self._readers[shape.name] = found
        return found

    def structure_reader(self, members: Mapping[str, Any], required: list[str]) -> Reader:
        fields = [(name, self._member_reader(name, shape)) for name, shape in members.items()]
        needed = [name for name in required if name in members]

        def read(node: Node) -> dict[str, Any]:
            out = {}
            for name, take in fields:
                try:
                    value = take(node)
                except Missing as e:
                    raise e.under(lower_first(name))
                if value is not None:
                    out[name] = value
            for name in needed:
                if name not in out:
                    raise Missing(lower_first(name))
            return out

        return read

    def _member_reader(self, name: str, shape: Any) -> Reader:
        told = shape.serialization
        wire = told.get("name", name)
        if told.get("xmlAttribute"):
            local = wire.rpartition(":")[2]
            return lambda node: node.attributes.get(local)
        if told.get("flattened"):
            if shape.type_name == "map":
                entries = self._map_reader(shape, wire)
                return lambda node: entries(node) if wire in node.children else None
            return self._flat_reader(shape, wire)
        read = self.reader(shape)
        return lambda node: read(node.children[wire][0]) if wire in node.children else None

    def _list_reader(self, shape: Any) -> Reader:
        wire = shape.member.serialization.get("name", "member")
        item = self.reader(shape.member)
        return lambda node: [item(child) for child in node.children.get(wire, ())]

    def _flat_reader(self, shape: Any, wire: str) -> Reader:
        """A flattened list's elements carry the list's name, or its member's where it has one."""
        other = shape.member.serialization.get("name", wire)
        item = self.reader(shape.member)

        def read(node: Node) -> list[Any] | None:
            found = node.children.get(wire) or node.children.get(other)
            return None if found is None else [item(child) for child in found]

        return read

    def _map_reader(self, shape: Any, entry: str = "entry") -> Reader:
        key_name = shape.key.serialization.get("name", "key")
        value_name = shape.value.serialization.get("name", "value")
        key, value = self.reader(shape.key), self.reader(shape.value)

        def read(node: Node) -> dict[str, Any]:
            out = {}
            for child in node.children.get(entry, ()):
                try:
                    out[key(child.children[key_name][0])] = value(child.children[value_name][0])
                except KeyError:
                    raise malformed() from None
            return out

        return read

    # --- writing -----------------------------------------------------------------------------
    def writer(self, shape: Any, tag: str) -> Writer:
        """Appends ``<tag>value</tag>`` to a list of texts."""
        kind = shape.type_name
        namespace = shape.serialization.get("xmlNamespace")
        open_tag = f"<{tag}>"
        if namespace:
            prefix = ":" + namespace["prefix"] if namespace.get("prefix") else ""
            open_tag = f"<{tag} xmlns{prefix}={quoteattr(namespace['uri'])}>"
        close_tag = f"</{tag}>"
        if kind not in ("structure", "list", "map"):
            told = shape.serialization.get("timestampFormat", self._times).lower()
            convert = text_writer(kind, told)

            def scalar(value: Any, out: list[str]) -> None:
                out.append(f"{open_tag}{text_of(convert(value))}{close_tag}")

            return scalar
        inner = self._inner(shape)
        attributes = self._attributes(shape) if kind == "structure" else []

        def write(value: Any, out: list[str]) -> None:
            if attributes:
                told = "".join(
                    f" {wire}={quoteattr(str(value[name]))}"
                    for name, wire in attributes
                    if value.get(name) is not None
                )
                out.append(f"{open_tag[:-1]}{told}>")
            else:
                out.append(open_tag)
            inner(value, out)
            out.append(close_tag)

        return write

    def _attributes(self, shape: Any) -> list[tuple[str, str]]:
        return [
            (name, member.serialization.get("name", name))
            for name, member in shape.members.items()
            if member.serialization.get("xmlAttribute")
        ]

    def _inner(self, shape: Any) -> Writer:
        found = self._writers.get(shape.name)
        if found is None:
            cell: list[Writer] = []
            self._writers[shape.name] = lambda value, out: cell[0](value, out)
            if shape.type_name == "structure":
                found = self.members_writer(shape.members)
            elif shape.type_name == "list":
                found = self._items(shape, shape.member.serialization.get("name", "member"))
            else:
                found = self._entries(shape, "entry")
            cell.append(found)
            self._writers[shape.name] = found
        return found

    def members_writer(self, members: Mapping[str, Any]) -> Writer:
        """The content of a structure, without its own tag, in the model's order."""
        fields = [
            (name, self._member_writer(name, shape))
            for name, shape in members.items()
            if not shape.serialization.get("xmlAttribute")
        ]

        def write(value: Any, out: list[str]) -> None:
            for name, writer in fields:
                item = value.get(name)
                if item is not None:
                    writer(item, out)

        return write

    def together_writer(self, members: Mapping[str, Any]) -> Writer:
        """The items of several flattened lists in one order: that of their ``Place``."""
        writers = {name: self._member_writer(name, shape) for name, shape in members.items()}

        def write(value: Any, out: list[str]) -> None:
            found = [(item, name) for name in writers for item in value.get(name) or ()]
            for item, name in sorted(found, key=lambda told: told[0].get("Place", 0)):
                writers[name]((item,), out)

        return write

    def _member_writer(self, name: str, shape: Any) -> Writer:
        wire = shape.serialization.get("name", name)
        if shape.serialization.get("flattened"):
            if shape.type_name == "map":
                return self._entries(shape, wire)
            return self._items(shape, shape.member.serialization.get("name", wire))
        return self.writer(shape, wire)

    def _items(self, shape: Any, wire: str) -> Writer:
        item = self.writer(shape.member, wire)

        def write(value: Any, out: list[str]) -> None:
            for one in value:
                item(one, out)

        return write

    def _entries(self, shape: Any, wire: str) -> Writer:
        key = self.writer(shape.key, shape.key.serialization.get("name", "key"))
        item = self.writer(shape.value, shape.value.serialization.get("name", "value"))

        def write(value: Any, out: list[str]) -> None:
            for k, v in value.items():
                out.append(f"<{wire}>")
                key(k, out)
                item(v, out)
                out.append(f"</{wire}>")

        return write


def text_of(value: str) -> str:
    """Escaped element text."""
    return escape(value.translate(_FORBIDDEN), _ESCAPES)
