"""What every protocol offers for one operation, and for an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

from pileus.errors import AwsError
from pileus.services.call import HttpRequest, HttpResponse

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OperationCodec:
    """``parse(request, labels)`` answers params (the body must be read before, unless
    ``streams``: then the payload member is ``bytes`` or a ``BodyStream``); ``serialise(answer,
    request_id)`` answers the response. Labels are the raw, percent-encoded path labels."""

    name: str
    parse: Callable[[HttpRequest, Labels], dict[str, Any]]
    serialise: Callable[[dict[str, Any], str], HttpResponse]
    streams: bool = False


class ProtocolCodec(Protocol):
    """One service in one protocol."""

    def compile(self, operation: Any) -> OperationCodec: ...
    def error(self, error: AwsError, request_id: str, resource: str) -> HttpResponse: ...


def plain_label(raw: str) -> str:
    """A path label (ASCII, percent-encoded) as it was meant; ``InvalidURI`` where that is not
    UTF-8."""
    if "%" not in raw:
        return raw
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise AwsError("InvalidURI", "Couldn't parse the specified URI.") from None


def error_shape(model: Any, code: str) -> Any:
    """The model's shape of this name, else one of this error code, or None."""
    named = [s for s in model.error_shapes if s.name == code]
    coded = (s for s in model.error_shapes if (s.metadata.get("error") or {}).get("code") == code)
    return named[0] if named else next(coded, None)


def error_status(shape: Any, error: AwsError) -> int:
    """The error's status; the model's where the service left AWS's default of 400."""
    told = (shape.metadata.get("error") or {}).get("httpStatusCode") if shape is not None else None
    return told if told and error.status == 400 else error.status


def message_member(shape: Any) -> str:
    """How the error's text is called on the wire (``message``, ``Message``)."""
    if shape is not None:
        for name, member in shape.members.items():
            if name.lower() == "message":
                return str(member.serialization.get("name", name))
    return "message"
