"""awsQuery: form parameters in, XML out (Smithy, "AWS query protocol"): IAM, STS, …"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import quoteattr

from pileus.errors import AwsError
from pileus.services.call import HttpRequest, HttpResponse
from pileus.wire.protocols.operation import Labels, OperationCodec, error_shape, error_status
from pileus.wire.protocols.scalars import READ_TEXT, Missing, lower_first
from pileus.wire.protocols.xml_tree import XmlCodec, text_of

FIELDS_MAX = 10_000
DEPTH_MAX = 40
Tree = dict[str, Any]
Reader = Callable[[Any], Any]


def form(request: HttpRequest) -> dict[str, str]:
    """Parameters of the query string and, for a POST, of the form body."""
    try:
        text = request.query
        if request.body:
            text = text + "&" + request.body.decode() if text else request.body.decode()
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError:
        raise AwsError("MalformedQueryString", "The query string contains a syntax error") from None
    return dict(pairs)


def tree_of(parameters: dict[str, str]) -> Tree:
    """``{"A.member.1": "x"}`` as ``{"A": {"member": {"1": "x"}}}``."""
    top: Tree = {}
    for name, value in parameters.items():
        parts = name.split(".")
        if len(parts) > DEPTH_MAX:
            raise AwsError("MalformedInput", "A parameter is nested too deeply")
        node = top
        for part in parts[:-1]:
            below = node.get(part)
            if not isinstance(below, dict):
                below = node[part] = {}
            node = below
        if not isinstance(node.get(parts[-1]), dict):
            node[parts[-1]] = value
    return top


def _in_order(node: Any) -> list[Any]:
    if not isinstance(node, dict):
        return []
    numbered = [(int(k), v) for k, v in node.items() if k.isascii() and k.isdigit() and len(k) < 9]
    if len(numbered) != len(node):
        raise AwsError("MalformedInput", "List members are numbered from 1")
    return [value for _, value in sorted(numbered, key=lambda pair: pair[0])]


class Query:
    """One service over awsQuery."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._xml = XmlCodec()
        self._readers: dict[str, Reader] = {}
        self._xmlns = quoteattr(str(model.metadata.get("xmlNamespace", "")))

    def compile(self, operation: Any) -> OperationCodec:
        shape = operation.input_shape
        read = self._reader(shape) if shape is not None else None
        name, output = operation.name, operation.output_shape
        wrapper = output.serialization.get("resultWrapper") if output is not None else None
        write = self._xml.members_writer(output.members) if output is not None else None
        start = f"<{name}Response xmlns={self._xmlns}>" + (f"<{wrapper}>" if wrapper else "")
        end = (f"</{wrapper}>" if wrapper else "") + "<ResponseMetadata><RequestId>"

        def parse(request: HttpRequest, labels: Labels) -> dict[str, Any]:
            return read(tree_of(form(request))) if read is not None else {}

        def serialise(answer: dict[str, Any], request_id: str) -> HttpResponse:
            out = [start]
            if write is not None:
                write(answer, out)
            out.append(f"{end}{request_id}</RequestId></ResponseMetadata></{name}Response>")
            return _response(200, "".join(out), request_id)

        return OperationCodec(name, parse, serialise)

    def _reader(self, shape: Any) -> Reader:
        kind = shape.type_name
        if kind not in ("structure", "list", "map"):
            convert = READ_TEXT[kind]
            return lambda value: convert(value) if isinstance(value, str) else _misplaced()
        found = self._readers.get(shape.name)
        if found is None:
            cell: list[Reader] = []
            self._readers[shape.name] = lambda value: cell[0](value)
            if kind == "structure":
                found = self._structure(shape)
            elif kind == "list":
                found = self._list(shape)
            else:
                found = self._map(shape)
            cell.append(found)
            self._readers[shape.name] = found
        return found

    def _structure(self, shape: Any) -> Reader:
        fields = []
        for name, member in shape.members.items():
            wire = member.serialization.get("name", name)
            if member.type_name == "list" and member.serialization.get("flattened"):
                wire = member.member.serialization.get("name", wire)
            fields.append((name, wire, self._reader(member)))
        required = shape.required_members

        def read(node: Any) -> dict[str, Any]:
            if node == "":
                node = {}
            if not isinstance(node, dict):
                _misplaced()
            out = {}
            for name, wire, reader in fields:
                if wire in node:
                    try:
                        out[name] = reader(node[wire])
                    except Missing as e:
                        raise e.under(lower_first(name))
            for name in required:
                if name not in out:
                    raise Missing(lower_first(name))
            return out

        return read

    def _list(self, shape: Any) -> Reader:
        item = self._reader(shape.member)
        if shape.serialization.get("flattened"):
            return lambda node: [item(one) for one in _in_order(node)]
        wire = shape.member.serialization.get("name", "member")

        def read(node: Any) -> list[Any]:
            if not isinstance(node, dict):
                return []
            inner = node.get(wire, node.get("member", {}))
            try:
                return [item(one) for one in _in_order(inner)]
            except Missing as e:
                raise e.under("member")

        return read

    def _map(self, shape: Any) -> Reader:
        key_name = shape.key.serialization.get("name", "key")
        value_name = shape.value.serialization.get("name", "value")
        value = self._reader(shape.value)
        flat = shape.serialization.get("flattened")

        def read(node: Any) -> dict[str, Any]:
            out = {}
            entries = node if flat else (node.get("entry", {}) if isinstance(node, dict) else {})
            for entry in _in_order(entries):
                if not isinstance(entry, dict) or not isinstance(entry.get(key_name), str):
                    _misplaced()
                out[entry[key_name]] = value(entry.get(value_name, ""))
            return out

        return read

    def error(self, error: AwsError, request_id: str, resource: str) -> HttpResponse:
        shape = error_shape(self._model, error.code)
        told = (shape.metadata.get("error") or {}) if shape is not None else {}
        status = error_status(shape, error)
        fault = "Sender" if status < 500 else "Receiver"
        out = [f"<ErrorResponse xmlns={self._xmlns}><Error><Type>{fault}</Type>"]
        out.append(f"<Code>{text_of(told.get('code', error.code))}</Code>")
        if error.message:
            out.append(f"<Message>{text_of(error.message)}</Message>")
        if shape is not None and error.fields:
            members = {n: s for n, s in shape.members.items() if n.lower() != "message"}
            self._xml.members_writer(members)(error.fields, out)
        out.append(f"</Error><RequestId>{request_id}</RequestId></ErrorResponse>")
        answer = _response(status, "".join(out), request_id)
        answer.headers.extend(error.headers)
        return answer


def _misplaced() -> Any:
    raise AwsError("MalformedInput", "A parameter has another structure than the operation's")


def _response(status: int, text: str, request_id: str) -> HttpResponse:
    headers = [("x-amzn-RequestId", request_id), ("content-type", "text/xml")]
    return HttpResponse(status, headers, text.encode("utf-8", "replace"))
