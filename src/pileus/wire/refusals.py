"""What AWS answers to a request it cannot authenticate, per family of services."""

from __future__ import annotations

from collections.abc import Mapping

from pileus.errors import AwsError

# family → (missing, incomplete, mismatch, unknown key, expired) as (code, status)
_CODES = {
    "json": (
        ("MissingAuthenticationTokenException", 400),
        ("IncompleteSignatureException", 400),
        ("InvalidSignatureException", 400),
        ("UnrecognizedClientException", 400),
        ("ExpiredTokenException", 400),
    ),
    "rest-json": (
        ("MissingAuthenticationTokenException", 403),
        ("IncompleteSignatureException", 403),
        ("InvalidSignatureException", 403),
        ("UnrecognizedClientException", 403),
        ("ExpiredTokenException", 403),
    ),
    "query": (
        ("MissingAuthenticationToken", 403),
        ("IncompleteSignature", 400),
        ("SignatureDoesNotMatch", 403),
        ("InvalidClientTokenId", 403),
        ("ExpiredToken", 403),
    ),
    "s3": (
        ("AccessDenied", 403),
        ("AuthorizationHeaderMalformed", 400),
        ("SignatureDoesNotMatch", 403),
        ("InvalidAccessKeyId", 403),
        ("ExpiredToken", 400),
    ),
}
_FAMILY = {"json": "json", "smithy-rpc-v2-cbor": "json", "rest-json": "rest-json"}
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your"
    " AWS Secret Access Key and signing method. Consult the service documentation for details."
)
_S3_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your"
    " key and signing method."
)


def family(protocol: str, service: str) -> str:
    """The family of codes; ``dynamodb`` is the JSON one with a text of its own."""
    if service in ("dynamodb", "dynamodbstreams"):
        return "dynamodb"
    return "s3" if service == "s3" else _FAMILY.get(protocol, "query")


def _error(kind: str, which: int, message: str) -> AwsError:
    code, status = _CODES["json" if kind == "dynamodb" else kind][which]
    return AwsError(code, message, status)


def missing(kind: str) -> AwsError:
    """No signature at all."""
    if kind == "dynamodb":
        return _error(kind, 0, "Request is missing Authentication Token")
    return _error(kind, 0, "Access Denied" if kind == "s3" else "Missing Authentication Token")


def incomplete(kind: str, message: str) -> AwsError:
    """A signature that lacks a part, or has a malformed one."""
    return _error(kind, 1, message)


def malformed(message: str, in_query: bool) -> AwsError:
    """What S3 says of a credential, by where it stands."""
    if in_query:
        head = "Error parsing the X-Amz-Credential parameter; "
        return AwsError("AuthorizationQueryParametersError", head + message)
    return incomplete("s3", f"The authorization header is malformed; {message}")


def no_blank(text: str) -> AwsError:
    """S3's word for an Authorization header of one word."""
    return AwsError(
        "InvalidArgument",
        "Authorization header is invalid -- one and only one ' ' (space) required",
        fields={"ArgumentName": "Authorization", "ArgumentValue": text[:256]},
    )


def undated() -> AwsError:
    """S3's word for a signature without a time, or with none that can be read."""
    message = "AWS authentication requires a valid Date or x-amz-date header"
    return AwsError("AccessDenied", message, 403)


def check_parts(told: list[str], has_signature: bool) -> None:
    """What S3 says of an Authorization header's parts, ``Signature`` taken from them already."""
    if len(told) + has_signature != 3:
        raise malformed(
            "the authorization header requires three components: Credential, SignedHeaders, and"
            " Signature.",
            False,
        )
    for part in told:
        if "=" not in part:
            raise malformed(f'the authorization component "{part[:256]}" is malformed.', False)
    given = {name for name, _, value in (part.partition("=") for part in told) if value}
    for name in ("Credential", "SignedHeaders"):
        if name not in given:
            raise malformed(f"missing {name}.", False)
    if not has_signature:
        raise malformed("missing Signature.", False)


def check_header(text: str, headers: Mapping[str, str], query: str) -> None:
    """What AWS's services (not S3) say of an Authorization header before they look at its parts'
    worth; returns when nothing is lacking."""
    if "X-Amz-Algorithm" in query:
        raise _error(
            "json",
            2,
            "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP"
            " header.",
        )
    if not text.strip().startswith("AWS4-"):
        raise _error("json", 0, "Request is missing Authentication Token")
    pairs = (part.partition("=") for part in text.replace(",", " ").split()[1:])
    given = {name for name, _, value in pairs if value}
    lacking = [
        f"Authorization header requires '{name}' parameter."
        for name in ("Credential", "Signature", "SignedHeaders")
        if name not in given
    ]
    if "x-amz-date" not in headers and "date" not in headers:
        lacking.append(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
        )
    if lacking:
        raise _error("json", 1, f"{' '.join(lacking)} Authorization={text[:1024]}")


def check_query(query: str) -> None:
    """The same of a signature in the query; a query without an algorithm is no signature."""
    given = {name for name, _, value in (p.partition("=") for p in query.split("&")) if value}
    lacking = [
        f"AWS query-string parameters must include '{name}'."
        for name in (
            *("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature"),
            *("X-Amz-SignedHeaders", "X-Amz-Date"),
        )
        if name not in given
    ]
    if lacking:
        told = " ".join(lacking)
        raise _error("json", 1, f"{told} Re-examine the query-string parameters.")


def mismatch(
    kind: str, key_id: str = "", provided: str = "", signed: str = "", request: str = ""
) -> AwsError:
    """A wrong signature. S3 shows what should have been signed (``signed``, and the canonical
    ``request`` within it), so that a client can tell where it went another way."""
    error = _error(kind, 2, _S3_MISMATCH if kind == "s3" else _MISMATCH)
    if kind == "s3" and signed:
        error.fields = {"AWSAccessKeyId": key_id}
        error.fields |= _shown("StringToSign", signed) | {"SignatureProvided": provided}
        error.fields |= _shown("CanonicalRequest", request) if request else {}
    return error


def no_field(name: str) -> AwsError:
    """A browser's form that lacks one of the fields that sign it."""
    return AwsError(
        "InvalidArgument",
        f"Bucket POST must contain a field named '{name}'.  If it is specified, please check the"
        " order of the fields.",
        fields={"ArgumentName": name, "ArgumentValue": ""},
    )


def _shown(name: str, text: str) -> dict[str, str]:
    """Text whose letters are bytes (or are more than bytes can be), and its bytes."""
    try:
        data = text.encode("latin-1")
    except UnicodeEncodeError:
        data = text.encode("utf-8", "replace")
    return {name: data.decode("utf-8", "replace"), f"{name}Bytes": data.hex(" ")}


def stale(kind: str, message: str) -> AwsError:
    """A signature outside the clock's tolerance (not S3, which has a code of its own)."""
    return _error(kind, 2, message)


def unknown_key(kind: str, access_key_id: str) -> AwsError:
    """No such access key, or a session token that is not its own."""
    if kind == "s3":
        error = _error(kind, 3, "The AWS Access Key Id you provided does not exist in our records.")
        error.fields = {"AWSAccessKeyId": access_key_id}
        return error
    return _error(kind, 3, "The security token included in the request is invalid.")


def expired(kind: str) -> AwsError:
    """Temporary credentials past their time."""
    if kind == "s3":
        return _error(kind, 4, "The provided token has expired.")
    return _error(kind, 4, "The security token included in the request is expired")
