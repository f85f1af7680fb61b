"""Signature version 4 verified: header form and presigned form (AWS, "Signing AWS API requests").

The body's hash is checked too: at once when the body is buffered, while it streams otherwise;
aws-chunked bodies are unwrapped by ``chunked``.
"""

from __future__ import annotations

import calendar
import hmac
import time
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

from pileus.errors import AwsError
from pileus.services.call import ANONYMOUS, Credential, Directory, HttpRequest, Principal
from pileus.wire import canonical, refusals, sigv2
from pileus.wire.canonical import Proof, SigningKey
from pileus.wire.claims import (
    MOMENT,
    SIGNED_BY_V2,
    Claim,
    check_signed,
    claim_of,
    disputed,
    only_v4,
    out_of_scope,
    query_error,
    query_parts,
    take_hoisted,
)
from pileus.wire.hosts import bucket_of_host
from pileus.wire.payload import check_form, check_payload

CACHE_MAX = 4096
PROOFS_MAX = 32
SKEW_S = 300
SKEW_MS = 300_000
S3_SKEW_S = 900
EXPIRES_MAX_S = 7 * 86400
ALGORITHM = "AWS4-HMAC-SHA256"
_QUERY_AUTH = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
)


class Caller(NamedTuple):
    """Who signed, for which region, and with which key (for chunk signatures)."""

    principal: Principal
    region: str
    signing_key: SigningKey | None = None


class Evidence(NamedTuple):
    """Why a request is believed: what it claims, its proven head, and whose key it was."""

    claim: Claim
    proof: Proof
    held: Credential


class Verifier:
    """Checks signatures against a ``Directory``. Caches parsed headers and signing keys, both
    bounded: the client chooses their text."""

    def __init__(
        self, directory: Directory, now_ms: Callable[[], int], owner: Principal | None = None
    ) -> None:
        """``owner``: in dev mode, who every unknown key acts as."""
        self._directory = directory
        self._now_ms = now_ms
        self._owner = owner
        self._older = sigv2.VerifierV2(directory, now_ms)
        self._claims: dict[str, Claim] = {}
        self._times: dict[str, int] = {}

    def verify(self, request: HttpRequest, kind: str, service: str) -> Caller:
        """The caller, or ANONYMOUS when nothing is signed. ``kind`` is the family of services (for
        the error codes), ``service`` the expected signing name. The body's hash is checked, and
        an aws-chunked body is unwrapped in ``request``. Raises ``AwsError``."""
        text = request.headers.get("authorization")
        if text is not None:
            if kind == "s3" and sigv2.is_header(text):
                return self._second(request, text)
            return self._header(request, text, kind, service)
        if kind == "dynamodb" and request.query:
            if "X-Amz-Algorithm" not in request.query:
                return Caller(self._owner or ANONYMOUS, "")
            refusals.check_query(request.query)
        if "X-Amz-Signature=" in request.query or "X-Amz-Algorithm=" in request.query:
            return self._presigned(request, kind, service)
        if sigv2.is_presigned(request.query):
            if kind != "s3":
                raise only_v4(kind)
            return self._second(request, "")
        if kind == "s3":
            check_payload(request, None, "", None, "", "")
        return Caller(self._owner if self._owner and kind != "s3" else ANONYMOUS, "")

    def quick(self, request: HttpRequest, service: str) -> Caller | None:
        """The caller by ``proven``."""
        evidence = self.proven(request, service)
        if evidence is None:
            return None
        claim, _, held = evidence
        return Caller(held.principal, claim.region, claim.key)

    def proven(self, request: HttpRequest, service: str) -> Evidence | None:
        """``verify`` for a POST to "/" whose head was proven before (same signed headers, same
        second, same key) around another body: only what the body changes is hashed. None: ask
        ``verify``."""
        headers = request.headers
        text = headers.get("authorization", "")
        claim = self._claims.get(text[:-74])
        if claim is None or claim.service != service or not text.startswith("Signature=", -74):
            return None
        try:
            proof = claim.proofs[claim.values(headers)]
        except KeyError:  # a head not seen before
            return None
        if list(headers) != claim.checked:
            return None
        hashed = sha256(request.body).hexdigest()
        if not proof.agrees(hashed, text[-64:].encode()):
            return None
        now_ms = self._now_ms()
        if not -SKEW_MS <= now_ms - proof.at_ms <= SKEW_MS:
            return None
        held = self._directory.lookup(claim.access_key_id, headers.get("x-amz-security-token"))
        if held is None or held.secret != claim.secret:
            return None
        if held.expires_ms is not None and held.expires_ms <= now_ms:
            return None
        if headers.get("x-amz-content-sha256", hashed) != hashed:
            return None
        return Evidence(claim, proof, held)

    def known(self, prefix: str) -> Claim | None:
        """What an Authorization text before ``Signature=`` claims, if it was met before."""
        return self._claims.get(prefix)

    def _second(self, request: HttpRequest, text: str) -> Caller:
        """Version 2: S3 only. It signs no body; an aws-chunked one is unwrapped all the same."""
        bucket = bucket_of_host(request.headers.get("host", ""))
        try:
            if text:
                held = self._older.header(request, text, bucket)
            else:
                held = self._older.presigned(request, bucket)
                take_hoisted(request, SIGNED_BY_V2)
            principal = held.principal
        except AwsError as error:
            if self._owner is None or error.code != "InvalidAccessKeyId":
                raise
            principal = self._owner
        check_payload(request, None, "", None, "", "")
        return Caller(principal, "")

    # --- header form -------------------------------------------------------------------------
    def _header(self, request: HttpRequest, text: str, kind: str, service: str) -> Caller:
        prefix, mark, signature = text.rpartition("Signature=")
        if "," in signature or " " in signature:  # the parts may come in any order
            signature, _, more = signature.strip().partition(",")
            prefix += more
        claim = self._claims.get(prefix)
        if claim is None:
            if kind == "dynamodb":
                refusals.check_header(text, request.headers, request.query)
            claim = self._claim(prefix if mark else text, bool(mark), kind)
        headers = request.headers
        date = headers.get("x-amz-date") or _http_date(headers.get("date", ""))
        if not date and kind == "s3":
            raise refusals.undated()
        if not date:
            raise refusals.incomplete(
                kind,
                "Authorization header requires existence of either a 'X-Amz-Date' or a"
                " 'Date' header.",
            )
        held = self._directory.lookup(claim.access_key_id, headers.get("x-amz-security-token"))
        if held is None:
            return self._stranger(request, claim, kind)
        names = list(headers)
        if names != claim.checked:
            check_signed(names, claim.signed, kind)
            claim.checked = names
        if claim.key is not None and claim.secret == held.secret and held.expires_ms is None:
            key = claim.key
        else:
            key = self._key(claim, held, kind)
        if claim.service != service or date[:8] != claim.date:
            raise out_of_scope(claim, date, kind, service)
        at = self._times.get(date)
        if at is None or not -SKEW_S <= self._now_ms() // 1000 - at <= SKEW_S:
            self._check_time(date, kind)
        told = headers.get("x-amz-content-sha256")
        if told is None:
            if kind == "s3":
                raise AwsError(
                    "InvalidRequest",
                    "Missing required header for this request: x-amz-content-sha256",
                )
            self._compare(
                request, claim, key, date, sha256(request.body).hexdigest(), signature, kind
            )
        else:
            check_form(told)
            self._compare(request, claim, key, date, told, signature, kind)
            check_payload(request, told, signature, key, date, claim.scope)
        return Caller(held.principal, claim.region, key)

    def _claim(self, prefix: str, has_signature: bool, kind: str) -> Claim:
        algorithm, blank, rest = prefix.strip().partition(" ")
        if algorithm != ALGORITHM:
            raise only_v4(kind, algorithm) if blank or kind != "s3" else refusals.no_blank(prefix)
        # Between the parts stand commas, blanks or both.
        told = rest.replace(",", " ").split()
        parts = {name: value for name, _, value in (part.partition("=") for part in told)}
        if kind == "s3":
            refusals.check_parts(told, has_signature)
        found = {"Signature"} if has_signature else set()
        found.update(n for n, value in parts.items() if value)
        lacking = [n for n in ("Credential", "Signature", "SignedHeaders") if n not in found]
        if lacking:
            raise refusals.incomplete(
                kind,
                " ".join(f"Authorization header requires '{n}' parameter." for n in lacking),
            )
        claim = claim_of(parts["Credential"], parts["SignedHeaders"], kind)
        if len(self._claims) >= CACHE_MAX:
            self._claims.clear()
        self._claims[prefix] = claim
        return claim

    # --- presigned form ----------------------------------------------------------------------
    def _presigned(self, request: HttpRequest, kind: str, service: str) -> Caller:
        parts = query_parts(request.query)
        for name in _QUERY_AUTH:
            if name not in parts and not (name == "X-Amz-Expires" and kind != "s3"):
                raise query_error(
                    kind,
                    "Query-string authentication version 4 requires the X-Amz-Algorithm,"
                    " X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and"
                    " X-Amz-Expires parameters.",
                )
        if parts["X-Amz-Algorithm"] != ALGORITHM:
            raise only_v4(kind, parts["X-Amz-Algorithm"], in_query=True)
        claim = claim_of(parts["X-Amz-Credential"], parts["X-Amz-SignedHeaders"], kind, True)
        check_signed(list(request.headers), claim.signed, kind)
        date = parts["X-Amz-Date"]
        token = parts.get("X-Amz-Security-Token") or request.headers.get("x-amz-security-token")
        if kind == "s3" and not MOMENT.fullmatch(date):
            raise query_error(
                kind, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""
            )
        held = self._directory.lookup(claim.access_key_id, token)
        if held is None:
            return self._stranger(request, claim, kind)
        key = self._key(claim, held, kind)
        if claim.service != service or date[:8] != claim.date:
            raise out_of_scope(claim, date, kind, service, in_query=True)
        self._check_expiry(date, parts.get("X-Amz-Expires", "900"), kind)
        told = request.headers.get("x-amz-content-sha256") or parts.get("X-Amz-Content-Sha256")
        if told is None:
            told = "UNSIGNED-PAYLOAD" if kind == "s3" else sha256(request.body).hexdigest()
        signature = parts["X-Amz-Signature"]
        self._compare(request, claim, key, date, told, signature, kind, "X-Amz-Signature")
        check_payload(request, told, signature, key, date, claim.scope)
        if kind == "s3":
            take_hoisted(request)
        return Caller(held.principal, claim.region, key)

    def _check_expiry(self, date: str, expires: str, kind: str) -> None:
        if expires.startswith("-") and expires[1:].isdigit():
            raise query_error(kind, "X-Amz-Expires must be non-negative")
        if not expires.isascii() or not expires.isdigit() or len(expires) > 9:
            raise query_error(kind, "X-Amz-Expires should be a number")
        if int(expires) > EXPIRES_MAX_S:
            raise query_error(
                kind,
                "X-Amz-Expires must be less than a week (in seconds); that is, the given"
                " X-Amz-Expires must be less than 604800 seconds",
            )
        signed_at, now = self.seconds(date, kind), self._now_ms() // 1000
        if signed_at > now + S3_SKEW_S:
            raise AwsError("AccessDenied", "Request is not valid yet", 403)
        if now > signed_at + int(expires) or int(expires) == 0:
            fields = {
                "X-Amz-Expires": expires,
                "Expires": _stamp(signed_at + int(expires), "%Y-%m-%dT%H:%M:%SZ"),
                "ServerTime": _stamp(now, "%Y-%m-%dT%H:%M:%SZ"),
            }
            if kind != "s3":
                raise refusals.stale(kind, f"Signature expired: {date} is now too old")
            raise AwsError("AccessDenied", "Request has expired", 403, fields=fields)

    # --- both --------------------------------------------------------------------------------
    def _stranger(self, request: HttpRequest, claim: Claim, kind: str) -> Caller:
        """An unknown key: refused; in dev mode it acts as the owner, unchecked."""
        if self._owner is None:
            raise refusals.unknown_key(kind, claim.access_key_id)
        check_payload(request, None, "", None, "", "")
        return Caller(self._owner, claim.region)

    def _key(self, claim: Claim, held: Credential, kind: str) -> SigningKey:
        """The signing key of a claim, by its holder's present secret."""
        if held.expires_ms is not None and held.expires_ms <= self._now_ms():
            raise refusals.expired(kind)
        if claim.key is None or claim.secret != held.secret:
            claim.key = SigningKey(held.secret, claim.date, claim.region, claim.service)
            claim.secret = held.secret
            claim.proofs.clear()  # they were of another key
        return claim.key

    def _compare(
        self,
        request: HttpRequest,
        claim: Claim,
        key: SigningKey,
        date: str,
        hashed: str,
        signature: str,
        kind: str,
        drop: str = "",
    ) -> None:
        try:
            lines = canonical.headers(claim.signed, request.headers)
        except KeyError:  # a header that was signed was not sent
            raise disputed(claim, request, date, hashed, signature, kind, drop) from None
        head = f"AWS4-HMAC-SHA256\n{date}\n{claim.scope}\n"
        tail = f"{lines}\n{claim.signed_text}\n{hashed}"
        given = signature if signature.isascii() else ""
        if request.path == "/" and not request.query and request.method == "POST":
            start = f"POST\n/\n\n{lines}\n{claim.signed_text}\n"
            proof = Proof(key, self.seconds(date, kind), head, start)
            if not (hashed.isascii() and proof.agrees(hashed, given.encode())):
                raise refusals.mismatch(kind)
            if len(claim.proofs) >= PROOFS_MAX:
                claim.proofs.clear()
            claim.proofs[claim.values(request.headers)] = proof
            return
        once = kind == "s3" or claim.service == "s3"  # S3 Control's paths, too, are encoded once
        for path, query in canonical.readings(request.path, request.query, once, drop):
            text = f"{request.method}\n{path}\n{query}\n{tail}"
            digest = sha256(text.encode("latin-1", "replace")).hexdigest()
            if hmac.compare_digest(key.sign((head + digest).encode()), given):
                return
        raise disputed(claim, request, date, hashed, signature, kind, drop)

    def _check_time(self, date: str, kind: str) -> None:
        at, now = self.seconds(date, kind), self._now_ms() // 1000
        if -SKEW_S <= now - at <= SKEW_S:
            return
        if kind == "s3":
            if abs(now - at) > S3_SKEW_S:
                raise AwsError(
                    "RequestTimeTooSkewed",
                    "The difference between the request time and the current time is too large.",
                    403,
                    fields={
                        "RequestTime": date,
                        "ServerTime": _stamp(now, "%Y-%m-%dT%H:%M:%SZ"),
                        "MaxAllowedSkewMilliseconds": S3_SKEW_S * 1000,
                    },
                )
        elif at < now:
            raise refusals.stale(
                kind,
                f"Signature expired: {date} is now earlier than {_stamp(now - SKEW_S)}"
                f" ({_stamp(now)} - 5 min.)",
            )
        else:
            raise refusals.stale(
                kind,
                f"Signature not yet current: {date} is still later than {_stamp(now + SKEW_S)}"
                f" ({_stamp(now)} + 5 min.)",
            )

    def seconds(self, date: str, kind: str) -> int:
        """A date of a signature in seconds since 1970. Raises ``AwsError``."""
        at = self._times.get(date)
        if at is None:
            try:
                at = calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ"))
            except ValueError:
                if kind == "s3":
                    raise refusals.undated() from None
                raise refusals.incomplete(
                    kind,
                    "Date must be in ISO-8601 'basic format'. Got"
                    f" '{date[:64]}'. See http://en.wikipedia.org/wiki/ISO_8601",
                ) from None
            if len(self._times) >= 256:
                self._times.clear()
            self._times[date] = at
        return at


def _http_date(text: str) -> str:
    """A Date header in the form X-Amz-Date has; '' when it is none."""
    if not text or text.endswith("Z"):
        return text
    from email.utils import parsedate

    parsed = parsedate(text)
    return time.strftime("%Y%m%dT%H%M%SZ", parsed) if parsed else ""


def _stamp(seconds: int, form: str = "%Y%m%dT%H%M%SZ") -> str:
    return time.strftime(form, time.gmtime(seconds))
