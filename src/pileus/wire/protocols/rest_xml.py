"""restXml: S3 and CloudFront (Smithy, "AWS restXml protocol"; S3 API reference)."""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Callable
from hashlib import blake2s
from typing import Any
from xml.sax.saxutils import quoteattr

from pileus.errors import AwsError
from pileus.services.call import HttpResponse
from pileus.wire.protocols.rest import Rest
from pileus.wire.protocols.xml_tree import XmlCodec, parse, text_of

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACES = {
    "s3": "http://s3.amazonaws.com/doc/2006-03-01/",
    "s3control": "http://awss3control.amazonaws.com/doc/2018-08-20/",
    "cloudfront": "http://cloudfront.amazonaws.com/doc/2020-05-31/",
}
# S3's root elements, which its model does not name (S3 API reference, "Response Syntax").
_ROOTS = {
    "ListBuckets": "ListAllMyBucketsResult",
    "ListDirectoryBuckets": "ListAllMyDirectoryBucketsResult",
    "ListObjects": "ListBucketResult",
    "ListObjectsV2": "ListBucketResult",
    "ListObjectVersions": "ListVersionsResult",
    "ListMultipartUploads": "ListMultipartUploadsResult",
    "ListParts": "ListPartsResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "CompleteMultipartUpload": "CompleteMultipartUploadResult",
    "DeleteObjects": "DeleteResult",
    "GetBucketAcl": "AccessControlPolicy",
    "GetObjectAcl": "AccessControlPolicy",
    "GetBucketAccelerateConfiguration": "AccelerateConfiguration",
    "GetBucketCors": "CORSConfiguration",
    "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
    "GetBucketLogging": "BucketLoggingStatus",
    "GetBucketNotificationConfiguration": "NotificationConfiguration",
    "GetBucketRequestPayment": "RequestPaymentConfiguration",
    "GetBucketTagging": "Tagging",
    "GetObjectTagging": "Tagging",
    "GetBucketVersioning": "VersioningConfiguration",
    "GetBucketWebsite": "WebsiteConfiguration",
    "GetObjectAttributes": "GetObjectAttributesResponse",
    "CreateSession": "CreateSessionResult",
}


# Lists whose items S3 tells in one order, whatever their kind (ListObjectVersions, examples).
_TOGETHER = {"ListObjectVersions": ("Versions", "DeleteMarkers")}

# What S3 takes though its model wants more (recorded of AWS): no TagSet means no tags.
_LENIENT = frozenset({"Tagging"})

_INTEGER = re.compile(r"-?[0-9]{1,10}", re.ASCII)


class RestXml(Rest):
    content_type = "application/xml"

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._s3 = model.service_name == "s3"
        self._is_s3s = model.service_name in ("s3", "s3control")
        self._xml = XmlCodec("milliseconds", _LENIENT) if self._s3 else XmlCodec()
        self._namespace = _NAMESPACES.get(model.service_name, "")

    def request_headers(self, request_id: str) -> list[tuple[str, str]]:
        if self._is_s3s:
            return [("x-amz-request-id", request_id), ("x-amz-id-2", host_id(request_id))]
        return [("x-amzn-RequestId", request_id)]

    def integer(self, wire: str, text: str) -> int:
        if not self._s3 or (_INTEGER.fullmatch(text) and -(2**31) <= int(text) < 2**31):
            return super().integer(wire, text)
        told = f"Provided {wire} not an integer or within integer range"
        if wire == "partNumber":
            told = "Part number must be an integer between 1 and 10000, inclusive"
        fields = {"ArgumentName": wire, "ArgumentValue": text}
        raise AwsError("InvalidArgument", told, fields=fields)

    def body_reader(self, members: dict[str, Any], required: list[str]) -> Callable[..., Any]:
        read = self._xml.structure_reader(members, required)
        return lambda body: read(parse(body)) if body else {}

    def payload_reader(self, shape: Any) -> Callable[[bytes], Any]:
        read = self._xml.reader(shape)
        return lambda body: read(parse(body))

    def body_writer(self, operation: Any, members: dict[str, Any]) -> Callable[..., bytes]:
        if self._s3 and operation.name == "GetBucketLocation":
            return self._location
        if not members:
            return lambda answer: b""
        root = _ROOTS.get(operation.name) or f"{operation.name}Result"
        if self._s3:  # which tells its lists last: some clients read from top to bottom
            members = dict(sorted(members.items(), key=lambda m: m[1].type_name == "list"))
        together = _TOGETHER.get(operation.name, ()) if self._s3 else ()
        write = self._xml.members_writer({n: s for n, s in members.items() if n not in together})
        listed = self._xml.together_writer({n: members[n] for n in together})
        start, end = f"{_DECLARATION}<{root} xmlns={quoteattr(self._namespace)}>", f"</{root}>"

        def body(answer: dict[str, Any]) -> bytes:
            out = [start]
            write(answer, out)
            if together:
                listed(answer, out)
            out.append(end)
            return "".join(out).encode("utf-8", "replace")

        return body

    def _location(self, answer: dict[str, Any]) -> bytes:
        """The one answer whose root element is itself the value."""
        start = f"{_DECLARATION}<LocationConstraint xmlns={quoteattr(self._namespace)}"
        told = answer.get("LocationConstraint")
        value = f">{text_of(str(told))}</LocationConstraint>" if told else "/>"
        return f"{start}{value}".encode()

    def payload_writer(self, shape: Any) -> Callable[[Any], bytes]:
        root = shape.serialization.get("name", shape.name)
        if "xmlNamespace" in shape.serialization:
            namespace = ""
        else:
            namespace = f" xmlns={quoteattr(self._namespace)}"
        write = self._xml.writer(shape, root)

        def body(value: Any) -> bytes:
            out: list[str] = []
            write(value, out)
            if namespace:
                out[0] = out[0].replace(f"<{root}", f"<{root}{namespace}", 1)
            return (_DECLARATION + "".join(out)).encode("utf-8", "replace")

        return body

    def error(self, error: AwsError, request_id: str, resource: str) -> HttpResponse:
        _, status = self.modelled(error)
        headers = self.request_headers(request_id)
        headers.append(("content-type", self.content_type))
        headers.extend(error.headers)
        if status == 304:
            return HttpResponse(304, headers, b"")
        body = self._s3_error(error, request_id) if self._s3 else None
        return HttpResponse(status, headers, body or self._error(error, status, request_id))

    def _s3_error(self, error: AwsError, request_id: str) -> bytes:
        return (
            f"{_DECLARATION}<Error>{_told(error)}"
            f"<RequestId>{request_id}</RequestId><HostId>{host_id(request_id)}</HostId></Error>"
        ).encode("utf-8", "replace")

    def _error(self, error: AwsError, status: int, request_id: str) -> bytes:
        """S3 Control's is S3's within that of the others (recorded: HostId beside Error)."""
        if self._is_s3s:
            return (
                f"{_DECLARATION}<ErrorResponse><Error>{_told(error)}</Error>"
                f"<RequestId>{request_id}</RequestId><HostId>{host_id(request_id)}</HostId>"
                "</ErrorResponse>"
            ).encode("utf-8", "replace")
        fault = "Sender" if status < 500 else "Receiver"
        return (
            f"{_DECLARATION}<ErrorResponse xmlns={quoteattr(self._namespace)}><Error>"
            f"<Type>{fault}</Type><Code>{text_of(error.code)}</Code>"
            f"<Message>{text_of(error.message)}</Message></Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        ).encode("utf-8", "replace")


def _told(error: AwsError) -> str:
    """What an error of S3 tells: code, message, and members of its own."""
    members = "".join(
        f"<{name}>{text_of(str(value))}</{name}>"
        for name, value in error.fields.items()
        if value is not None
    )
    code, message = text_of(error.code), text_of(error.message)
    return f"<Code>{code}</Code><Message>{message}</Message>{members}"


def host_id(request_id: str) -> str:
    """S3's second request id: opaque, derived from the first."""
    return raw_host_id(request_id.encode()).decode()


def raw_host_id(request_id: bytes) -> bytes:
    """The same in bytes."""
    return b2a_base64(blake2s(request_id).digest(), newline=False)
