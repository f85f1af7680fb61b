"""Signature version 2 against botocore's signers (I1, B2): header, link, form."""

from __future__ import annotations

import base64
import hmac
import time
from email.utils import formatdate
from urllib.parse import urlsplit

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from pileus.errors import AwsError
from pileus.services.call import HttpRequest
from pileus.wire.post_form import check_policy
from pileus.wire.sigv2 import VerifierV2
from pileus.wire.sigv4 import Verifier
from tests.wire.door import KEY, SECRET, Keys


def now_ms() -> int:
    return int(time.time() * 1000)


def received(made: AWSRequest) -> HttpRequest:
    sent = made.prepare()
    parts = urlsplit(sent.url)
    headers = {k.lower(): v if isinstance(v, str) else v.decode() for k, v in sent.headers.items()}
    headers.setdefault("host", parts.netloc)
    return HttpRequest(sent.method, parts.path or "/", parts.query, headers, b"")


def signed(url: str, method: str = "GET", token: str | None = None, **headers: str) -> HttpRequest:
    told = {n.replace("_", "-"): v for n, v in headers.items()}
    request = AWSRequest(method, url, told)
    auth.HmacV1Auth(Credentials(KEY, SECRET, token)).add_auth(request)
    return received(request)


def linked(url: str, expires: int = 600, method: str = "GET", **headers: str) -> HttpRequest:
    told = {n.replace("_", "-"): v for n, v in headers.items()}
    request = AWSRequest(method, url, told)
    auth.HmacV1QueryAuth(Credentials(KEY, SECRET), expires).add_auth(request)
    return received(request)


def verify(request: HttpRequest, later_ms: int = 0) -> bool:
    at_ms = now_ms() + later_ms
    return Verifier(Keys(), lambda: at_ms).verify(request, "s3", "s3").principal.kind == "root"


URLS = (
    "http://h:4566/bucket/key",
    "http://h:4566/bucket/a%20b%2Bc/%C3%A9",
    "http://h:4566/bucket/key?versionId=abc&partNumber=2&x-id=GetObject",
    "http://h:4566/bucket?acl",
    "http://h:4566/bucket/?uploads&prefix=x",
    "http://h:4566/bucket/key?response-content-type=text%2Fplain%3B%20q",
    "http://h:4566/",
)


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("make", [signed, linked])
def test_what_botocore_signs(url, make):
    assert verify(make(url, content_type="text/plain"))
    assert verify(make(url))


def test_headers_of_other_letters_are_signed_as_their_bytes():
    request = signed("http://h/b/k", "PUT", x_amz_meta_a="Mühle")
    request.headers["x-amz-meta-a"] = "Mühle".encode().decode("latin-1")  # as they come in
    assert verify(request)


def test_signed_headers_count():
    request = signed("http://h/b/k", "PUT", x_amz_acl="public-read", x_amz_meta_a="  two   words ")
    assert verify(request)
    request.headers["x-amz-acl"] = "private"
    with pytest.raises(AwsError) as e:
        verify(request)
    assert (e.value.code, e.value.status) == ("SignatureDoesNotMatch", 403)


def test_a_bucket_named_by_the_host():
    request = AWSRequest("GET", "http://bucket.s3.localhost/key?acl", {})
    request.auth_path = "/bucket/key"
    auth.HmacV1Auth(Credentials(KEY, SECRET)).add_auth(request)
    assert verify(received(request))


@pytest.mark.parametrize(
    ("date", "code"),
    [
        ("Bad Date", "AccessDenied"),
        ("", "AccessDenied"),
        ("Tue, 07 Jul 1950 21:53:04 GMT", "AccessDenied"),
        ("Tue, 07 Jul 2010 21:53:04 GMT", "RequestTimeTooSkewed"),
        (formatdate(time.time() + 1_000_000, usegmt=True), "RequestTimeTooSkewed"),
    ],
    ids=["bad", "none", "before-1970", "old", "ahead"],
)
def test_dates(date, code):
    request = signed("http://h/b/k")
    request.headers["x-amz-date"] = date
    with pytest.raises(AwsError) as e:
        verify(request)
    assert (e.value.code, e.value.status) == (code, 403)


@pytest.mark.parametrize(
    ("text", "code", "status"),
    [
        ("AWS HAHAHA", "InvalidArgument", 400),
        ("AWS AKIANOBODY:FWeDfwojDSdS2Ztmpfeubhd9isU=", "InvalidAccessKeyId", 403),
        (f"AWS {KEY}:FWeDfwojDSdS2Ztmpfeubhd9isU=", "SignatureDoesNotMatch", 403),
        (f"AWS {KEY}:ü", "SignatureDoesNotMatch", 403),
    ],
)
def test_malformed(text, code, status):
    request = signed("http://h/b/k")
    request.headers["authorization"] = text
    with pytest.raises(AwsError) as e:
        verify(request)
    assert (e.value.code, e.value.status) == (code, status)


def test_a_link_expires_and_cannot_be_prolonged():
    request = linked("http://h/b/k", 600)
    with pytest.raises(AwsError, match="Request has expired"):
        verify(request, 700_000)
    request.query = request.query.replace("Expires=", "Expires=9")
    with pytest.raises(AwsError) as e:
        verify(request)
    assert e.value.code == "SignatureDoesNotMatch"
    for wrong in ("Expires=x", "Expires="):
        request.query = f"AWSAccessKeyId={KEY}&Signature=a&{wrong}"
        with pytest.raises(AwsError) as e:
            verify(request)
        assert e.value.code == "AccessDenied"


def test_other_services_do_not_take_it():
    with pytest.raises(AwsError) as e:
        Verifier(Keys(), now_ms).verify(linked("http://h/"), "json", "dynamodb")
    assert e.value.code == "IncompleteSignatureException"


def test_forms():
    policy = base64.b64encode(b'{"expiration": "2100-01-01T00:00:00Z", "conditions": []}').decode()
    good = base64.b64encode(hmac.digest(SECRET.encode(), policy.encode(), "sha1")).decode()
    older = VerifierV2(Keys(), now_ms)
    fields = {"awsaccesskeyid": KEY, "signature": good}
    assert older.form(fields, policy).principal.kind == "root"
    for change, code in (
        ({"signature": good[::-1]}, "SignatureDoesNotMatch"),
        ({"awsaccesskeyid": "AKIANOBODY"}, "InvalidAccessKeyId"),
        ({"awsaccesskeyid": ""}, "InvalidArgument"),
    ):
        with pytest.raises(AwsError) as e:
            older.form({**fields, **change}, policy)
        assert e.value.code == code


CONDITIONS = [
    {"bUcket": "b"},
    ["starts-with", "$key", "up/"],
    ["eq", "$acl", "private"],
    ["starts-with", "$Content-Type", "image/"],
    ["content-length-range", 0, 10],
]
FIELDS = {
    "bucket": "b",
    "key": "up/x",
    "acl": "private",
    "content-type": "image/png, image/gif",
    "policy": "…",
    "x-ignore-this": "1",
    "x-amz-checksum-sha256": "x",
}


@pytest.mark.parametrize(
    ("conditions", "fields", "error"),
    [
        (CONDITIONS, FIELDS, ""),
        (CONDITIONS[1:], FIELDS, "AccessDenied"),
        (CONDITIONS, {**FIELDS, "bucket": "c"}, "AccessDenied"),
        (CONDITIONS, {**FIELDS, "key": "down/x"}, "AccessDenied"),
        (CONDITIONS, {**FIELDS, "acl": "public-read"}, "AccessDenied"),
        (CONDITIONS, {**FIELDS, "content-type": "image/png, text/html"}, "AccessDenied"),
        (CONDITIONS, {**FIELDS, "tagging": "x"}, "AccessDenied"),
        ([*CONDITIONS[:-1], ["content-length-range", 0]], FIELDS, "InvalidPolicyDocument"),
        ([*CONDITIONS[:-1], ["content-length-range", -1, 5]], FIELDS, "InvalidPolicyDocument"),
        ([*CONDITIONS[:-1], ["content-length-range", "a", 5]], FIELDS, "AccessDenied"),
        ([*CONDITIONS, {}], FIELDS, "InvalidPolicyDocument"),
        ([*CONDITIONS, ["eq", "tagging", ""]], FIELDS, "AccessDenied"),
    ],
)
def test_policy_conditions(conditions, fields, error):
    policy = {"expiration": "2100-01-01T00:00:00Z", "conditions": conditions}
    if not error:
        assert check_policy(policy, fields, now_ms()) == policy
        return
    with pytest.raises(AwsError) as e:
        check_policy(policy, fields, now_ms())
    assert e.value.code == error


def test_a_policy_expires():
    policy = {"expiration": "2020-01-01T00:00:00Z", "conditions": []}
    with pytest.raises(AwsError, match="Policy expired"):
        check_policy(policy, {}, now_ms())
