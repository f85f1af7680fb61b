"""JWT authorizers: RS256/384/512 and ES256 tokens, checked by the issuer's published keys.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html, RFC 7519
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from pileus.errors import Unavailable
from pileus.services.outbound import Outbound

HASHES: dict[str, Any] = {"RS256": hashes.SHA256, "RS384": hashes.SHA384, "RS512": hashes.SHA512}
KEYS_S, RETRY_S, SKEW_S = 7200.0, 10.0, 0.0
DOCUMENT_BYTES_MAX, TOKEN_CHARS_MAX = 256 * 1024, 16 * 1024


class BadToken(Exception):
    """The token proves nothing; the message says why."""


class KeySets:
    """Issuers' public keys by key id, fetched when needed. One per process."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound
        self._known: dict[str, tuple[float, dict[str, Any]]] = {}

    async def key(self, issuer: str, key_id: str, now_s: float) -> Any:
        """The issuer's public key ``key_id``; asks again for an unknown one, at most each 10 s."""
        fetched, keys = self._known.get(issuer, (-KEYS_S, {}))
        age = now_s - fetched
        if age >= KEYS_S or (key_id not in keys and age >= RETRY_S):
            keys = await self._fetch(issuer)
            self._known[issuer] = (now_s, keys)
        if key_id not in keys:
            raise BadToken(f"the issuer has no key {key_id!r}")
        return keys[key_id]

    async def _fetch(self, issuer: str) -> dict[str, Any]:
        base = issuer.rstrip("/")
        try:
            about = await self._document(f"{base}/.well-known/openid-configuration")
            found = await self._document(about["jwks_uri"])
            return {str(k.get("kid", "")): _public_key(k) for k in found["keys"]}
        except (Unavailable, TimeoutError, KeyError, TypeError, ValueError) as e:
            raise BadToken(f"the issuer {issuer} publishes no usable keys: {e}") from e

    async def _document(self, url: str) -> Any:
        answer = await self._outbound.send("GET", url, [], connect_s=3, read_s=3)
        body = await answer.read(DOCUMENT_BYTES_MAX)
        if answer.status != 200:
            raise ValueError(f"{url} answers {answer.status}")
        return orjson.loads(body)


def _public_key(jwk: dict[str, Any]) -> Any:
    """A public key of JWK form (RFC 7517); None for a kind that is not used here."""
    if jwk.get("kty") == "RSA":
        return rsa.RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"])).public_key()
    if jwk.get("kty") == "EC" and jwk.get("crv") == "P-256":
        numbers = ec.EllipticCurvePublicNumbers(
            _number(jwk["x"]), _number(jwk["y"]), ec.SECP256R1()
        )
        return numbers.public_key()
    return None


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _number(text: str) -> int:
    return int.from_bytes(_bytes(text), "big")


async def claims(
    token: str, configuration: dict[str, Any], keys: KeySets, now_s: float, monotonic_s: float
) -> dict[str, Any]:
    """The claims of a token that is genuine, current and meant for us; ``BadToken`` otherwise."""
    try:
        if len(token) > TOKEN_CHARS_MAX:
            raise BadToken("the token is too long")
        head_text, body_text, signature_text = token.split(".")
        head, told = orjson.loads(_bytes(head_text)), orjson.loads(_bytes(body_text))
        signature = _bytes(signature_text)
        algorithm = head["alg"]
        # The issuer is compared before its keys are asked for: a token cannot choose its judge.
        _check_claims(told, configuration, now_s)
        key = await keys.key(configuration["Issuer"], str(head.get("kid", "")), monotonic_s)
        _verify(key, algorithm, f"{head_text}.{body_text}".encode(), signature)
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as e:
        raise BadToken(f"malformed: {e}") from e
    return dict(told)


def _verify(key: Any, algorithm: str, signed: bytes, signature: bytes) -> None:
    try:
        if isinstance(key, rsa.RSAPublicKey) and algorithm in HASHES:
            key.verify(signature, signed, padding.PKCS1v15(), HASHES[algorithm]())
        elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm == "ES256":
            if len(signature) != 64:
                raise BadToken("invalid signature")
            r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
        else:
            raise BadToken(f"the algorithm {algorithm!r} does not fit the key")
    except InvalidSignature:
        raise BadToken("invalid signature") from None


def _check_claims(told: dict[str, Any], configuration: dict[str, Any], now_s: float) -> None:
    if told.get("iss") != configuration["Issuer"]:
        raise BadToken("another issuer")
    meant = told.get("aud", told.get("client_id"))
    meant = meant if isinstance(meant, list) else [meant]
    if not set(meant) & set(configuration["Audience"]):
        raise BadToken("another audience")
    if now_s >= float(told["exp"]) + SKEW_S:
        raise BadToken("expired")
    if now_s < float(told.get("nbf", 0)) - SKEW_S or now_s < float(told.get("iat", 0)) - SKEW_S:
        raise BadToken("not valid yet")


def scopes(told: dict[str, Any]) -> list[str]:
    """The scopes a token grants: ``scope`` (text) or ``scp`` (text or list)."""
    granted = told.get("scope", told.get("scp", ""))
    return [str(s) for s in granted] if isinstance(granted, list) else str(granted).split()


def as_text(told: dict[str, Any]) -> dict[str, str]:
    """Claims as events carry them: every value a string, lists in brackets."""
    out = {}
    for name, value in told.items():
        if isinstance(value, list):
            out[name] = "[" + " ".join(map(str, value)) + "]"
        elif isinstance(value, bool):
            out[name] = "true" if value else "false"
        else:
            out[name] = str(value)
    return out
