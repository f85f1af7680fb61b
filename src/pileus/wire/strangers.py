"""Calls to AWS services Pileus does not know at all: refused by name, in a form their SDK reads.

The service's name comes from the credential scope, its protocol from the request's looks: JSON
calls carry a target, query and EC2 calls a form, the rest are REST calls.
"""

from __future__ import annotations

from xml.sax.saxutils import escape

import orjson

from pileus.errors import AwsError
from pileus.services.call import HttpRequest, HttpResponse
from pileus.wire.protocols.query import form

_REST_XML = frozenset({"route53"})  # of AWS's REST services but S3 and CloudFront, kept here
_EC2 = frozenset({"ec2"})
STATUS = 501
CODE = "NotImplemented"


class UnknownService(Exception):
    """The credential scope names a service that is not here."""

    def __init__(self, service: str) -> None:
        super().__init__(service)
        self.service = service[:64]


def refuse(request: HttpRequest, service: str, request_id: str) -> HttpResponse:
    """A 501 that names service and operation."""
    target = request.headers.get("x-amz-target", "").rpartition(".")[2]
    action = _action(request)
    operation = (target or action or f"{request.method} {request.path}")[:256]
    message = f"{operation} is not offered by Pileus yet (service {service})."
    if action or (not target and service in _REST_XML):
        return _xml(service, message, request_id)
    headers = [
        ("x-amzn-requestid", request_id),
        ("x-amzn-errortype", CODE),
        ("content-type", "application/x-amz-json-1.1" if target else "application/json"),
    ]
    body = orjson.dumps({"__type": CODE, "message": message})
    return HttpResponse(STATUS, headers, body)


def _action(request: HttpRequest) -> str:
    """A form's Action, or ''."""
    if "x-www-form-urlencoded" not in request.headers.get("content-type", ""):
        return ""
    try:
        return form(request).get("Action", "")
    except AwsError:
        return ""


def _xml(service: str, message: str, request_id: str) -> HttpResponse:
    error = f"<Code>{CODE}</Code><Message>{escape(message)}</Message>"
    if service in _EC2:
        text = f"<Response><Errors><Error>{error}</Error></Errors><RequestID>{request_id}"
        text += "</RequestID></Response>"
    else:
        text = f"<ErrorResponse><Error><Type>Receiver</Type>{error}</Error>"
        text += f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    headers = [("x-amzn-requestid", request_id), ("content-type", "text/xml")]
    return HttpResponse(STATUS, headers, text.encode("utf-8", "replace"))
