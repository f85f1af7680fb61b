"""What is a finding: no answer in time, a surprise of the cloud, an answer no AWS client reads."""

from __future__ import annotations

from xml.etree import ElementTree

import cbor2
import orjson

from tests.fuzz.server import Answer

CPU_S_MAX = 2.0
IDS = ("x-amzn-requestid", "x-amz-request-id", "x-amz-cf-id")


def wrong(method: str, answer: Answer, at_the_door: bool) -> str:
    """What is wrong with an answer; '' when nothing is. ``at_the_door``: the request may have been
    refused as no HTTP before it was anyone's."""
    status, headers, body = answer
    if status >= 500 and status not in (501, 503):
        return f"status {status}: {body[:300]!r}"
    if status < 400 or not body:
        return "" if body or status < 400 or method == "HEAD" or at_the_door else f"empty {status}"
    if at_the_door and not any(name in headers for name in IDS):
        return ""
    if not any(name in headers for name in IDS):
        return f"no request id: {status} {headers} {body[:200]!r}"
    try:
        told = code(headers.get("content-type", ""), headers, body)
    except Exception as error:
        return f"unreadable ({error!r}): {headers} {body[:300]!r}"
    return "" if told else f"an error without a code: {status} {headers} {body[:300]!r}"


def code(kind: str, headers: dict[str, str], body: bytes) -> str:
    """The error's code, as an SDK finds it."""
    if "json" in kind:
        told = orjson.loads(body)
        return str(headers.get("x-amzn-errortype") or told.get("__type") or told.get("code", ""))
    if "cbor" in kind:
        return str(cbor2.loads(body)["__type"])
    if "html" in kind:  # a site's page, for browsers: its code is in a header, too
        return headers.get("x-amz-error-code", "")
    if body == b"<UnknownOperationException/>\n":
        return "UnknownOperationException"
    root = ElementTree.fromstring(body)
    error = root if root.tag.endswith("Error") else root.find("{*}Error")
    if error is None:
        error = root.find("Errors/Error")
    found = "" if error is None else error.findtext("{*}Code") or error.findtext("Code")
    return found or ""
