"""Signature v4 against botocore's signers and AWS's published examples (I1)."""

from __future__ import annotations

import asyncio
import base64
import calendar
import datetime as dt
import hashlib
from unittest import mock
from urllib.parse import quote, urlsplit

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from pileus.errors import AwsError
from pileus.services.call import Credential, HttpRequest
from pileus.wire.sigv4 import Verifier
from tests.wire.door import KEY, ROOT, SECRET, Keys

NOW = calendar.timegm((2026, 11, 21, 5, 0, 0)) * 1000
EXAMPLE_DAY = calendar.timegm((2013, 5, 24, 0, 0, 0)) * 1000


class Documentation:
    """The key of AWS's examples."""

    def lookup(self, access_key_id, session_token):
        return Credential("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ROOT)


def received(request: AWSRequest) -> HttpRequest:
    """What the server gets of a request botocore prepared."""
    made = request.prepare()
    parts = urlsplit(made.url)
    headers = {
        k.lower(): v.decode() if isinstance(v, bytes) else v for k, v in made.headers.items()
    }
    headers.setdefault("host", parts.netloc)
    body = made.body or b""
    return HttpRequest(
        made.method,
        parts.path or "/",
        parts.query,
        headers,
        body.encode() if isinstance(body, str) else bytes(body),
    )


def sign(
    signer,
    url="http://h:4566/",
    method="POST",
    data=b"{}",
    headers=None,
    token=None,
    service="dynamodb",
    **more,
) -> HttpRequest:
    request = AWSRequest(method, url, headers or {}, data)
    at = dt.datetime.fromtimestamp(NOW / 1000, dt.UTC)
    with mock.patch.object(auth, "get_current_datetime", lambda *a, **k: at.replace(tzinfo=None)):
        signer(
            Credentials(KEY if token is None else "ASIATEMPORARY", SECRET, token),
            service,
            "eu-west-3",
            **more,
        ).add_auth(request)
    return received(request)


def verify(request, kind="json", service="dynamodb", now=NOW, directory=None, verifier=None):
    verifier = verifier or Verifier(directory or Keys(), lambda: now)
    return verifier.verify(request, kind, service)


URLS = [
    "http://h:4566/",
    "http://h:4566/a/b%20c/%C3%BC/d~e-f_g.h",
    "http://h:4566/a?b=c&a=1&a=0&empty=&novalue&sp=a%20b&enc=%2F%3D",
    "http://h:4566/fn/arn%3Aaws%3Alambda%3A%3A%3Ax/inv?Qualifier=%24LATEST",
    "http://h:4566/x/../y/./z//w/",
]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("token", [None, "token"])
def test_header_form(url, token):
    request = sign(
        auth.SigV4Auth, url, headers={"X-Amz-Target": "T", "X-Odd": " a   b "}, token=token
    )
    caller = verify(request)
    assert caller.region == "eu-west-3" and caller.principal.kind == ("role" if token else "root")


@pytest.mark.parametrize("url", [*URLS[:3], "http://h:4566/b/..//./x+y%2Fz%2B%3F"])
def test_s3_header_form(url):
    request = sign(auth.S3SigV4Auth, url, "PUT", b"data", service="s3")
    assert verify(request, "s3", "s3").principal is ROOT


@pytest.mark.parametrize("url", URLS[:3])
def test_presigned_form(url):
    request = sign(auth.S3SigV4QueryAuth, url, "GET", b"", service="s3", expires=60)
    assert verify(request, "s3", "s3", NOW + 59_000).principal is ROOT
    with pytest.raises(AwsError, match="Request has expired"):
        verify(request, "s3", "s3", NOW + 61_000)
    request = sign(
        auth.SigV4QueryAuth,
        "http://h/?Action=GetCallerIdentity&Version=2011-06-15",
        "GET",
        b"",
        service="sts",
        expires=60,
        token="token",
    )
    assert verify(request, "query", "sts").principal.kind == "role"


def change(name):
    def changed(request):
        match name:
            case "body":
                request.body = b"{ }"
            case "path":
                request.path += "x"
            case "query":
                request.query = "a=b"
            case "header":
                request.headers["x-amz-target"] = "Other"
            case "method":
                request.method = "GET"
            case "host":
                request.headers["host"] = "other"
            case "signature":
                request.headers["authorization"] = request.headers["authorization"][:-1] + "é"
        return request

    return changed


@pytest.mark.parametrize("what", ["body", "path", "query", "header", "method", "host", "signature"])
def test_any_change_breaks_the_signature(what):
    request = sign(auth.SigV4Auth, headers={"X-Amz-Target": "T"})
    with pytest.raises(AwsError) as e:
        verify(change(what)(request))
    assert e.value.code == "InvalidSignatureException"


@pytest.mark.parametrize(
    ("kind", "offset_s", "code", "text"),
    [
        (
            "json",
            301,
            "InvalidSignatureException",
            "Signature expired: 20261121T050000Z is now"
            " earlier than 20261121T050001Z (20261121T050501Z - 5 min.)",
        ),
        ("json", -301, "InvalidSignatureException", "Signature not yet current"),
        ("query", 301, "SignatureDoesNotMatch", "Signature expired"),
        ("json", 299, "", ""),
        ("s3", 899, "", ""),
        ("s3", 901, "RequestTimeTooSkewed", "too large"),
        ("s3", -901, "RequestTimeTooSkewed", "too large"),
    ],
)
def test_clock_skew(kind, offset_s, code, text):
    service = "s3" if kind == "s3" else "dynamodb"
    signer = auth.S3SigV4Auth if kind == "s3" else auth.SigV4Auth
    request = sign(signer, service=service)
    if not code:
        verify(request, kind, service, NOW + offset_s * 1000)
        return
    with pytest.raises(AwsError) as e:
        verify(request, kind, service, NOW + offset_s * 1000)
    assert e.value.code == code and text in e.value.message


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [
        ("AWS4-HMAC-SHA256 Credential=a", "json", "IncompleteSignatureException"),
        (
            "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host, Signature=b",
            "query",
            "IncompleteSignature",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host, Signature=b",
            "s3",
            "AuthorizationHeaderMalformed",
        ),
        ("AWS4-ECDSA-P256-SHA256 Credential=a/b", "json", "IncompleteSignatureException"),
        ("AWS AKID:signature", "json", "IncompleteSignatureException"),
        ("Bearer x", "json", "IncompleteSignatureException"),
        ("", "json", "IncompleteSignatureException"),
        ("AWS4-HMAC-SHA256 " + "Credential=a" * 1000, "json", "IncompleteSignatureException"),
        (
            f"AWS4-HMAC-SHA256 Credential={KEY}/20261121/r/dynamodb/aws4_request,"
            " SignedHeaders=x, Signature=b",
            "json",
            "IncompleteSignatureException",
        ),
        (
            f"AWS4-HMAC-SHA256 Credential={KEY}/20261121/r/iam/aws4_request,"
            " SignedHeaders=host;x-amz-date, Signature=b",
            "json",
            "InvalidSignatureException",
        ),
        (
            f"AWS4-HMAC-SHA256 Credential={KEY}/20261120/r/dynamodb/aws4_request,"
            " SignedHeaders=host;x-amz-date, Signature=b",
            "json",
            "InvalidSignatureException",
        ),
    ],
)
def test_malformed(text, kind, code):
    headers = {"host": "h", "authorization": text, "x-amz-date": "20261121T050000Z"}
    request = HttpRequest("POST", "/", "", headers)
    with pytest.raises(AwsError) as e:
        verify(request, kind, "s3" if kind == "s3" else "dynamodb")
    assert e.value.code == code


S3_CREDENTIAL = f"{KEY}/20261121/us-east-1/s3/aws4_request"


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("nonsense", "InvalidArgument", "one and only one ' ' (space) required"),
        ("Bearer token", "InvalidArgument", "Unsupported Authorization Type"),
        ("Credential=a/b", "Malformed", "requires three components"),
        ("Credential=a,SignedHeaders-b,Signature=c", "Malformed", 'component "SignedHeaders-b"'),
        ("Credential=,SignedHeaders=b,Signature=c", "Malformed", "missing Credential."),
        ("Credential=a,SignedHeaders=,Signature=c", "Malformed", "missing SignedHeaders."),
        ("Credential=a,SignedHeaders=b,hello=c", "Malformed", "missing Signature."),
        ("Credential=a,SignedHeaders=b,Signature=c", "Malformed", "the Credential is mal-formed"),
        ("a/20261121/r/s3/aws5_request", "Malformed", 'incorrect terminal "aws5_request"'),
        ("a/21-11-2026/r/s3/aws4_request", "Malformed", 'incorrect date format "21-11-2026"'),
        (S3_CREDENTIAL.replace("s3", "iam"), "Malformed", 'incorrect service "iam"'),
        (S3_CREDENTIAL.replace("1121", "1120"), "Malformed", "Invalid credential date"),
    ],
)
def test_what_s3_says_of_a_malformed_header(text, code, message):
    if text.endswith("_request"):
        text = f"Credential={text},SignedHeaders=host;x-amz-date,Signature=c"
    if "=" in text:
        text = f"AWS4-HMAC-SHA256 {text}"
    headers = {"host": "h", "authorization": text, "x-amz-date": "20261121T050000Z"}
    with pytest.raises(AwsError) as e:
        verify(HttpRequest("GET", "/", "", headers), "s3", "s3")
    assert e.value.code == code.replace("Malformed", "AuthorizationHeaderMalformed")
    assert message in e.value.message


@pytest.mark.parametrize("date", ["", "03032006"])
def test_what_s3_says_without_a_time(date):
    request = sign(auth.S3SigV4Auth, service="s3")
    request.headers["x-amz-date"] = date
    with pytest.raises(AwsError) as e:
        verify(request, "s3", "s3")
    assert (e.value.code, e.value.status) == ("AccessDenied", 403)
    assert e.value.message == "AWS authentication requires a valid Date or x-amz-date header"


def test_s3_says_of_a_body_hash_what_it_may_be_before_it_compares():
    request = sign(auth.S3SigV4Auth, service="s3")
    request.headers["x-amz-content-sha256"] = "no hash"
    with pytest.raises(AwsError) as e:
        verify(request, "s3", "s3")
    assert e.value.code == "InvalidArgument"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("Algorithm", "AWS4-HMAC-MD5", "X-Amz-Algorithm only supports"),
        ("Credential", "a/b", "Error parsing the X-Amz-Credential parameter; the Credential is"),
        ("Credential", "a/20261121/r/s3/aws", 'incorrect terminal "aws"'),
        ("Credential", "a/today/r/s3/aws4_request", 'incorrect date format "today"'),
        ("Credential", S3_CREDENTIAL.replace("s3", "iam"), 'incorrect service "iam"'),
        ("Credential", S3_CREDENTIAL.replace("1121", "1120"), 'date "20261120". This date is not'),
        ("Expires", "-1", "X-Amz-Expires must be non-negative"),
        ("Date", "21-11-2026", "X-Amz-Date must be in the ISO8601 Long Format"),
    ],
)
def test_what_s3_says_of_a_malformed_address(name, value, message):
    told = {
        "Algorithm": "AWS4-HMAC-SHA256",
        "Credential": S3_CREDENTIAL,
        "Date": "20261121T050000Z",
        "Expires": "60",
        "SignedHeaders": "host",
        "Signature": "0" * 64,
    }
    query = "&".join(f"X-Amz-{n}={quote(v, '')}" for n, v in {**told, name: value}.items())
    with pytest.raises(AwsError) as e:
        verify(HttpRequest("GET", "/b/k", query, {"host": "h"}), "s3", "s3")
    assert e.value.code == "AuthorizationQueryParametersError" and message in e.value.message


def test_unsigned_amz_headers_are_refused():
    request = sign(auth.SigV4Auth)
    request.headers["x-amz-target"] = "DynamoDB_20120810.DeleteTable"
    with pytest.raises(AwsError, match="must be signed"):
        verify(request)
    request = sign(auth.S3SigV4Auth, service="s3")
    request.headers["x-amz-acl"] = "public-read"
    with pytest.raises(AwsError, match="not signed") as e:
        verify(request, "s3", "s3")
    assert e.value.code == "AccessDenied"


def test_caches_do_not_outlive_a_key():
    class Changing(Keys):
        secret = SECRET

        def lookup(self, access_key_id, session_token):
            return Credential(self.secret, ROOT) if self.secret else None

    directory = Changing()
    verifier = Verifier(directory, lambda: NOW)
    for _ in range(2):
        verify(sign(auth.SigV4Auth), verifier=verifier)
    directory.secret = "rotated"
    with pytest.raises(AwsError) as e:
        verify(sign(auth.SigV4Auth), verifier=verifier)
    assert e.value.code == "InvalidSignatureException"
    directory.secret = ""
    with pytest.raises(AwsError) as e:
        verify(sign(auth.SigV4Auth), verifier=verifier)
    assert e.value.code == "UnrecognizedClientException"


@pytest.mark.parametrize("between", [",", " ", " , "])
def test_commas_and_blanks_part_the_members_of_a_signature(between):
    request = sign(auth.SigV4Auth)
    request.headers["authorization"] = request.headers["authorization"].replace(", ", between)
    assert verify(request)


def test_caches_are_bounded():
    verifier = Verifier(Keys(), lambda: NOW)
    for i in range(10_000):
        text = (
            f"AWS4-HMAC-SHA256 Credential=A{i}/20261121/r/dynamodb/aws4_request,"
            " SignedHeaders=host, Signature=b"
        )
        headers = {"host": "h", "authorization": text, "x-amz-date": "20261121T050000Z"}
        with pytest.raises(AwsError):
            verify(HttpRequest("POST", "/", "", headers), verifier=verifier)
    assert len(verifier._claims) <= 4096


# --- aws-chunked: the two worked examples of the S3 user guide ------------------------------
SCOPE = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"
CHUNKED = {
    "host": "s3.amazonaws.com",
    "x-amz-date": "20130524T000000Z",
    "x-amz-storage-class": "REDUCED_REDUNDANCY",
    "authorization": f"AWS4-HMAC-SHA256 Credential={SCOPE},SignedHeaders=content-encoding;"
    "content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;"
    "x-amz-storage-class,"
    "Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "content-encoding": "aws-chunked",
    "x-amz-decoded-content-length": "66560",
    "content-length": "66824",
}
SIGNATURES = (
    b"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    b"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    b"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
)


def chunked_body(signatures=SIGNATURES, trailer=b"\r\n", fill=b"a") -> bytes:
    return b"".join(
        (
            b"10000;chunk-signature=",
            signatures[0],
            b"\r\n",
            fill * 65536,
            b"\r\n",
            b"400;chunk-signature=",
            signatures[1],
            b"\r\n",
            fill * 1024,
            b"\r\n",
            b"0;chunk-signature=",
            signatures[2],
            b"\r\n",
            trailer,
        )
    )


class Stream:
    def __init__(self, body: bytes, step: int) -> None:
        self.length = len(body)
        self._body, self._step = body, step

    async def __aiter__(self):
        for at in range(0, len(self._body), self._step):
            yield self._body[at : at + self._step]


def read_chunked(headers, body: bytes, step: int = 0) -> bytes:
    request = HttpRequest("PUT", "/examplebucket/chunkObject.txt", "", dict(headers))
    if step:
        request.stream = Stream(body, step)
    else:
        request.body = body
    verify(request, "s3", "s3", EXAMPLE_DAY, Documentation())
    assert "content-encoding" not in request.headers
    return asyncio.run(request.read())


@pytest.mark.parametrize("step", [0, 1, 7, 1000, 65536, 10**6])
def test_signed_chunks(step):
    body = chunked_body()
    assert len(body) == 66824
    assert read_chunked(CHUNKED, body, step) == b"a" * 66560


@pytest.mark.parametrize("step", [0, 1000])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (chunked_body(fill=b"b"), "SignatureDoesNotMatch"),
        (chunked_body((SIGNATURES[1], SIGNATURES[0], SIGNATURES[2])), "SignatureDoesNotMatch"),
        (chunked_body((*SIGNATURES[:2], SIGNATURES[1])), "SignatureDoesNotMatch"),
        (chunked_body()[:-100], "IncompleteBody"),
        (chunked_body()[:65000], "IncompleteBody"),
        (b"zz;chunk-signature=" + SIGNATURES[0] + b"\r\n", "IncompleteBody"),
        (b"ffffffffff;chunk-signature=" + SIGNATURES[0] + b"\r\n", "IncompleteBody"),
        (b"10000\r\n" + b"a" * 65536 + b"\r\n0\r\n\r\n", "IncompleteBody"),
        (b"a" * 2000, "IncompleteBody"),
        (b"", "IncompleteBody"),
    ],
)
def test_broken_chunks(body, code, step):
    if not body and step:
        return
    with pytest.raises(AwsError) as e:
        read_chunked(CHUNKED, body, step)
    assert e.value.code == code


TRAILED = CHUNKED | {
    "authorization": f"AWS4-HMAC-SHA256 Credential={SCOPE},SignedHeaders=content-encoding;host;"
    "x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;"
    "x-amz-trailer,"
    "Signature=106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
    "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    "x-amz-trailer": "x-amz-checksum-crc32c",
}
TRAILER_SIGNATURES = (
    b"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    b"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    b"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
)
TRAILER = (
    b"x-amz-checksum-crc32c:sOO8/Q==\n\r\nx-amz-trailer-signature:"
    b"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
)


@pytest.mark.parametrize("step", [0, 3, 1000])
def test_signed_trailer(step):
    body = chunked_body(TRAILER_SIGNATURES, TRAILER)
    assert read_chunked(TRAILED, body, step) == b"a" * 66560


@pytest.mark.parametrize(
    ("trailer", "code"),
    [
        (TRAILER.replace(b"sOO8", b"sOO9"), "SignatureDoesNotMatch"),
        (TRAILER.replace(b"d81f", b"d81e"), "SignatureDoesNotMatch"),
        (b"\r\n", "SignatureDoesNotMatch"),
    ],
)
def test_broken_trailer(trailer, code):
    with pytest.raises(AwsError) as e:
        read_chunked(TRAILED, chunked_body(TRAILER_SIGNATURES, trailer))
    assert e.value.code == code


def trailed(name: str, body: bytes, length: int) -> HttpRequest:
    """A request of unsigned chunks that announces one trailer ('': none)."""
    headers = {
        "Content-Encoding": "gzip,aws-chunked",
        "X-Amz-Content-SHA256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "X-Amz-Decoded-Content-Length": str(length),
    }
    request = sign_with(headers | ({"X-Amz-Trailer": name} if name else {}))
    request.body = body
    return request


def test_unsigned_trailer_checks_its_checksum():
    digest = base64.b64encode(hashlib.sha1(b"body").digest())
    body = b"4\r\nbody\r\n0\r\nx-amz-checksum-sha1:%s\r\n\r\n"
    request = trailed("x-amz-checksum-sha1", body % digest, 4)
    verify(request, "s3", "s3")
    assert request.body == b"body" and request.headers["content-encoding"] == "gzip"
    assert request.headers["x-amz-checksum-sha1"] == digest.decode()
    assert request.headers["content-length"] == "4"


OTHER_SHA1 = base64.b64encode(hashlib.sha1(b"other").digest())


@pytest.mark.parametrize(
    ("name", "trailer", "code", "message"),
    [
        ("x-amz-checksum-sha1", b"x-amz-checksum-sha1:" + OTHER_SHA1, "BadDigest", "The SHA1 you"),
        ("x-amz-checksum-sha1", b"x-amz-checksum-sha1:AAAA", "InvalidRequest", "trailing header"),
        ("x-amz-checksum-sha1", b"", "MalformedTrailerError", "trailing data"),
        ("x-amz-checksum-sha1", b"no colon", "MalformedTrailerError", "trailing data"),
        ("x-amz-checksum-md6", b"x-amz-checksum-md6:AAAA", "InvalidRequest", "not supported"),
        ("x-amz-meta-a", b"x-amz-meta-a:b", "InvalidRequest", "x-amz-trailer header"),
        ("", b"x-amz-checksum-sha1:" + OTHER_SHA1, "MalformedTrailerError", "trailing data"),
    ],
)
def test_a_trailer_that_is_not_what_was_announced(name, trailer, code, message):
    with pytest.raises(AwsError) as e:
        verify(trailed(name, b"4\r\nbody\r\n0\r\n" + trailer + b"\r\n\r\n", 4), "s3", "s3")
    assert e.value.code == code and message in str(e.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"4\r\nbody\r\n0\r\n\r\n", "number of bytes specified by the Content-Length"),
        (b"6\r\nbodies\r\n0\r\n\r\n", "number of bytes specified by the Content-Length"),
        (b"5\r\nbody", "terminated unexpectedly"),
    ],
)
def test_fewer_or_more_bytes_than_told(body, message):
    with pytest.raises(AwsError, match=message) as e:
        verify(trailed("", body, 5), "s3", "s3")
    assert e.value.code == "IncompleteBody"


@pytest.mark.parametrize("sizes", [(8192, 1), (100,), (9000, 8192, 8191), (8192, 10, 100), (1, 1)])
def test_only_the_last_chunk_may_be_small(sizes):
    body = b"".join(b"%x\r\n%s\r\n" % (n, b"a" * n) for n in sizes) + b"0\r\n\r\n"
    request = trailed("", body, sum(sizes))
    small = [(at, n) for at, n in enumerate(sizes[:-1], 1) if n < 8192]
    if not small:
        verify(request, "s3", "s3")
        assert len(request.body) == sum(sizes)
        return
    with pytest.raises(AwsError) as e:
        verify(request, "s3", "s3")
    assert e.value.code == "InvalidChunkSizeError"
    assert (e.value.fields["Chunk"], e.value.fields["BadChunkSize"]) == small[0]


class TrailerAuth(auth.S3SigV4Auth):
    def payload(self, request):
        return "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def sign_with(headers) -> HttpRequest:
    return sign(TrailerAuth, "http://h/b/k", "PUT", b"", headers, service="s3")


def test_payload_hash_of_s3_is_checked_buffered_and_streamed():
    for streamed in (False, True):
        request = sign(auth.S3SigV4Auth, "http://h/b/k", "PUT", b"data", service="s3")
        if streamed:
            request.stream, request.body = Stream(b"date", 2), b""
            verify(request, "s3", "s3")
            with pytest.raises(AwsError) as e:
                asyncio.run(request.read())
        else:
            request.body = b"date"
            with pytest.raises(AwsError) as e:
                verify(request, "s3", "s3")
        assert e.value.code == "XAmzContentSHA256Mismatch"


def test_a_proven_head_is_checked_around_every_body():
    held = {"secret": SECRET, "known": True}

    class Changing(Keys):
        def lookup(self, access_key_id, session_token):
            return Credential(held["secret"], ROOT) if held["known"] else None

    now = [NOW]
    verifier = Verifier(Changing(), lambda: now[0])
    first, second = (sign(auth.SigV4Auth, data=data) for data in (b'{"a":1}', b'{"b":22}'))
    assert verifier.quick(first, "dynamodb") is None  # nothing is proven yet
    verify(first, verifier=verifier)
    for request in (first, second):
        assert verifier.quick(request, "dynamodb").principal is ROOT
    second.body = b'{"b":23}'
    assert verifier.quick(second, "dynamodb") is None
    second.body = b'{"b":22}'
    assert verifier.quick(second, "sqs") is None
    for name, value in (
        ("authorization", second.headers["authorization"][:-1] + "\xe9"),
        ("authorization", second.headers["authorization"][:-4] + "0000"),
        ("x-amz-date", "20261121T050001Z"),
        ("x-amz-content-sha256", "0" * 64),
        ("x-amz-unsigned", "1"),
    ):
        headers = {**second.headers, name: value}
        other = HttpRequest("POST", "/", "", headers, second.body)
        assert verifier.quick(other, "dynamodb") is None, name
    now[0] = NOW + 301_000
    assert verifier.quick(first, "dynamodb") is None
    now[0] = NOW
    held["known"] = False
    assert verifier.quick(first, "dynamodb") is None
    held["known"], held["secret"] = True, "another"
    assert verifier.quick(first, "dynamodb") is None
    with pytest.raises(AwsError):
        verify(first, verifier=verifier)
    assert verifier.quick(first, "dynamodb") is None
