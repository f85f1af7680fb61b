"""JSON and CBOR documents: a shape becomes a reader and a writer (closures, compiled once).

A writer is None where the value already is what goes on the wire: nothing is copied then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pileus.wire.protocols import scalars
from pileus.wire.protocols.scalars import Missing, lower_first, wrong

Reader = Callable[[Any], Any]
Writer = Callable[[Any], Any]


def _identity(value: Any) -> Any:
    return value


class TreeCodec:
    """Compiles shapes of one service. ``read``: scalar readers by type; ``time_format`` and
    ``blob`` say how times and blobs are written; None leaves them as they are."""

    def __init__(
        self,
        read: Mapping[str, Reader],
        write_time: Writer | None,
        write_blob: Writer | None,
        write_float: Writer | None,
    ) -> None:
        self._read = read
        self._write_time = write_time
        self._write = {"blob": write_blob, "float": write_float, "double": write_float}
        self._readers: dict[str, Reader] = {}
        self._writers: dict[str, Writer | None] = {}
        self._open: set[str] = set()

    # --- reading -----------------------------------------------------------------------------
    def reader(self, shape: Any) -> Reader:
        """wire value → value; raises SerializationException, ``Missing``."""
        kind = shape.type_name
        if kind not in ("structure", "list", "map"):
            return self._read[kind]
        if getattr(shape, "is_document_type", False):
            return _identity
        found = self._readers.get(shape.name)
        if found is None:
            cell: list[Reader] = []
            self._readers[shape.name] = lambda value: cell[0](value)
            found = getattr(self, f"_{kind}_reader")(shape)
            cell.append(found)
            self._readers[shape.name] = found
        return found

    def structure_reader(self, members: Mapping[str, Any], required: list[str]) -> Reader:
        """A reader of the given members only (REST protocols keep some elsewhere)."""
        fields = {
            shape.serialization.get("name", name): (name, self.reader(shape))
            for name, shape in members.items()
        }
        minted = [n for n, s in members.items() if s.metadata.get("idempotencyToken")]
        needed = [name for name in required if name in members and name not in minted]

        def read(value: Any) -> dict[str, Any]:
            if type(value) is not dict:
                raise _not_structure(value)
            out = {}
            for wire, item in value.items():
                field = fields.get(wire)
                if field is not None and item is not None:
                    try:
                        out[field[0]] = field[1](item)
                    except Missing as e:
                        raise e.under(lower_first(field[0]))
            for name in needed:
                if name not in out:
                    raise Missing(lower_first(name))
            for name in minted:
                if name not in out:
                    out[name] = scalars.uuid_text()
            return out

        return read

    def _structure_reader(self, shape: Any) -> Reader:
        return self.structure_reader(shape.members, shape.required_members)

    def _list_reader(self, shape: Any) -> Reader:
        member = self.reader(shape.member)

        def read(value: Any) -> list[Any]:
            if type(value) is not list:
                raise _not_collection(value)
            try:
                return [member(item) for item in value if item is not None]
            except Missing as e:
                raise e.under("member")

        return read

    def _map_reader(self, shape: Any) -> Reader:
        member = self.reader(shape.value)

        def read(value: Any) -> dict[str, Any]:
            if type(value) is not dict:
                raise _not_structure(value)
            try:
                return {
                    scalars.read_string(k): member(v) for k, v in value.items() if v is not None
                }
            except Missing as e:
                raise e.under("member")

        return read

    # --- writing -----------------------------------------------------------------------------
    def writer(self, shape: Any) -> Writer | None:
        """value → wire value, or None where they are the same."""
        kind = shape.type_name
        if kind == "timestamp":
            told = shape.serialization.get("timestampFormat")
            if told and self._write["blob"] is not None:
                return scalars.WRITE_TIME[told.lower()]
            return self._write_time
        if kind not in ("structure", "list", "map"):
            return self._write.get(kind)
        if getattr(shape, "is_document_type", False):
            return None
        if shape.name in self._open:  # recursive: decided when the outer one is compiled
            return lambda value: (self._writers[shape.name] or _identity)(value)
        if shape.name not in self._writers:
            self._open.add(shape.name)
            self._writers[shape.name] = getattr(self, f"_{kind}_writer")(shape)
            self._open.discard(shape.name)
        return self._writers[shape.name]

    def structure_writer(self, members: Mapping[str, Any]) -> Writer | None:
        fields = {n: (s.serialization.get("name", n), self.writer(s)) for n, s in members.items()}
        if all(wire == name and writer is None for name, (wire, writer) in fields.items()):
            return None

        def write(value: Any) -> dict[str, Any]:
            out = {}
            for name, item in value.items():
                if item is None or name not in fields:
                    continue
                wire, writer = fields[name]
                out[wire] = item if writer is None else writer(item)
            return out

        return write

    def _structure_writer(self, shape: Any) -> Writer | None:
        return self.structure_writer(shape.members)

    def _list_writer(self, shape: Any) -> Writer | None:
        member = self.writer(shape.member)
        return None if member is None else lambda value: [member(item) for item in value]

    def _map_writer(self, shape: Any) -> Writer | None:
        member = self.writer(shape.value)
        return None if member is None else lambda value: {k: member(v) for k, v in value.items()}


def _not_structure(value: Any) -> Exception:
    if isinstance(value, list):
        return wrong(value, "java.util.Map")
    return scalars.bad("Unexpected field type")


def _not_collection(value: Any) -> Exception:
    if isinstance(value, dict):
        return wrong(value, "java.util.List")
    return scalars.bad("Unexpected field type")


def json_tree() -> TreeCodec:
    """JSON: times as numbers, blobs as base64."""
    return TreeCodec(scalars.READ_JSON, scalars.to_unix, scalars.write_blob, scalars.write_float)
