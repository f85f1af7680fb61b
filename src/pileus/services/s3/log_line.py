"""One line of a server access log: 26 fields, in this order, ``-`` where there is nothing to tell.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html
"""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import quote

from pileus.services.call import Call, FileBody, HttpRequest, HttpResponse
from pileus.services.s3.names import canonical_id
from pileus.services.s3.room import Bucket
from pileus.services.s3.rows import Meta

_CODE = re.compile(rb"<Code>([A-Za-z0-9_.]+)</Code>")
# What an operation acts upon, in the log's words; the method is told before it.
_RESOURCES = {
    "CopyObject": "COPY.OBJECT",
    "DeleteObjects": "POST.MULTI_OBJECT_DELETE",
    "CreateMultipartUpload": "POST.UPLOADS",
    "CompleteMultipartUpload": "POST.UPLOAD",
    "AbortMultipartUpload": "DELETE.UPLOAD",
    "UploadPart": "PUT.PART",
    "UploadPartCopy": "COPY.PART",
    "ListParts": "GET.UPLOAD",
    "ListMultipartUploads": "GET.UPLOADS",
    "ListObjectVersions": "GET.BUCKETVERSIONS",
    "PreflightRequest": "OPTIONS.PREFLIGHT",
    "RestoreObject": "POST.RESTORE",
    "GetBucketLogging": "GET.LOGGING_STATUS",
    "PutBucketLogging": "PUT.LOGGING_STATUS",
}
_WORDS = {
    "Policy": "BUCKETPOLICY",
    "PolicyStatus": "BUCKETPOLICY_STATUS",
    "Acl": "ACL",
    "Cors": "CORS",
    "Website": "WEBSITE",
    "Versioning": "VERSIONING",
    "Location": "LOCATION",
    "Encryption": "ENCRYPTION",
    "Lifecycle": "LIFECYCLE",
    "LifecycleConfiguration": "LIFECYCLE",
    "NotificationConfiguration": "NOTIFICATION",
    "RequestPayment": "REQUEST_PAYMENT",
    "AccelerateConfiguration": "ACCELERATE",
    "OwnershipControls": "OWNERSHIP_CONTROLS",
    "PublicAccessBlock": "PUBLIC_ACCESS_BLOCK",
}


def line(
    bucket: Bucket,
    request: HttpRequest,
    operation: str,
    call: Call | None,
    response: HttpResponse,
    started_ms: int,
    now_ms: int,
) -> str:
    """The request as a line, without its end."""
    headers = request.headers
    told = dict((n.lower(), v) for n, v in response.headers)
    query = f"?{request.query}" if request.query else ""
    key = call.params.get("Key") if call is not None else None
    meta = _meta(call)
    size = str(meta.size) if meta is not None else headers.get("content-length", "-")
    elapsed = str(max(now_ms - started_ms, 0))
    v2 = headers.get("authorization", "").startswith("AWS ") or "AWSAccessKeyId=" in query
    signed = "authorization" in headers or "Signature=" in query
    fields = (
        canonical_id(bucket.owner),
        bucket.name,
        time.strftime("[%d/%b/%Y:%H:%M:%S +0000]", time.gmtime(started_ms // 1000)),
        request.remote,
        _requester(call),
        told.get("x-amz-request-id", "-"),
        _operation(operation, request.method),
        quote(key, safe="/") if key else "-",
        _quoted(f"{request.method} {request.path}{query} HTTP/1.1"),
        str(response.status),
        _code(response),
        _sent(request, response, told),
        size if operation.endswith(("Object", "Part")) else "-",
        elapsed,
        elapsed if response.status < 400 else "-",
        _quoted(headers.get("referer", "-")),
        _quoted(headers.get("user-agent", "-")),
        told.get("x-amz-version-id", "-"),
        told.get("x-amz-id-2", "-"),
        ("SigV2" if v2 else "SigV4") if signed else "-",
        "-",
        ("AuthHeader" if "authorization" in headers else "QueryString") if signed else "-",
        headers.get("host", "-"),
        "TLSv1.3" if request.scheme == "https" else "-",
        "-",
        "-",
    )
    return " ".join(fields)


def _operation(name: str, method: str) -> str:
    if name in _RESOURCES:
        return f"REST.{_RESOURCES[name]}"
    rest = re.sub(r"\A(Get|Put|Delete|Head|List|Create)", "", name)
    part = rest.removeprefix("Bucket").removeprefix("Object")
    if part == "Tagging":
        word = "BUCKETTAGGING" if rest.startswith("Bucket") else "OBJECT_TAGGING"
    else:
        word = _WORDS.get(part, "OBJECT" if rest.startswith("Object") else "BUCKET")
    if name.startswith("ListObjects"):
        word = "BUCKET"
    elif name == "PostObject":
        word = "OBJECT"
    return f"REST.{method}.{word}"


def _requester(call: Call | None) -> str:
    """The canonical id of an account, the ARN of a user or session, ``-`` for nobody known."""
    if call is None or call.principal.kind == "anonymous":
        return "-"
    principal = call.principal
    if principal.kind == "root":
        return canonical_id(principal.account)
    return principal.arn or principal.name or "-"


def _meta(call: Call | None) -> Meta | None:
    found: Any = call.scratch if call is not None else None
    if isinstance(found, tuple) and len(found) == 3 and isinstance(found[2], Meta):
        return found[2]
    return None


def _code(response: HttpResponse) -> str:
    if response.status < 400 or not isinstance(response.body, bytes):
        return "-"
    found = _CODE.search(response.body)
    return found[1].decode() if found is not None else "-"


def _sent(request: HttpRequest, response: HttpResponse, told: dict[str, str]) -> str:
    if request.method == "HEAD" or response.status in (204, 304):
        return "-"
    body = response.body
    if isinstance(body, bytes):
        size = len(body)
    else:
        size = body.length if isinstance(body, FileBody) else response.length
    if size < 0:
        return told.get("content-length", "-")
    return str(size) if size else "-"


def _quoted(text: str) -> str:
    """A quoted field; quotes and line breaks in it are encoded, as S3 does."""
    clean = text.replace('"', "%22").replace("\n", "%0A").replace("\r", "%0D")
    return '"-"' if clean == "-" else f'"{clean}"'
