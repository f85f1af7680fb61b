"""What each kind of configuration must fulfil (CloudFront API reference, data types)."""

from __future__ import annotations

import re
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from pileus.services.call import Call
from pileus.services.cloudfront import rows
from pileus.services.cloudfront.room import Room

NAME = re.compile(r"[A-Za-z0-9_\-]{1,128}")


def identity(room: Room, call: Call, config: dict[str, Any]) -> None:
    if not config.get("CallerReference"):
        raise rows.bad("CallerReference is required")
    if len(config.get("Comment") or "") > 128:
        raise rows.bad("Comment must have at most 128 characters")


def named(room: Room, call: Call, config: dict[str, Any]) -> None:
    if not NAME.fullmatch(config.get("Name") or ""):
        raise rows.bad("Name must have 1 to 128 letters, digits, hyphens or underscores")


def access_control(room: Room, call: Call, config: dict[str, Any]) -> None:
    if not 1 <= len(config.get("Name") or "") <= 64:
        raise rows.bad("Name must have 1 to 64 characters")
    if config.get("SigningProtocol") != "sigv4":
        raise rows.bad("SigningProtocol must be sigv4")
    if config.get("SigningBehavior") not in ("always", "never", "no-override"):
        raise rows.bad("SigningBehavior must be always, never or no-override")
    if config.get("OriginAccessControlOriginType") != "s3":
        raise rows.bad("OriginAccessControlOriginType: only s3 is offered")


def cache_policy(room: Room, call: Call, config: dict[str, Any]) -> None:
    named(room, call, config)
    minimum = config["MinTTL"]
    default = config.setdefault("DefaultTTL", max(86_400, minimum))
    maximum = config.setdefault("MaxTTL", max(31_536_000, default))
    if not 0 <= minimum <= default <= maximum <= 3_155_760_000:
        raise rows.bad(
            "MinTTL must not exceed DefaultTTL, and DefaultTTL must not exceed MaxTTL.",
            "InvalidArgument",
        )


def public_key(room: Room, call: Call, config: dict[str, Any]) -> None:
    named(room, call, config)
    try:
        key = load_pem_public_key(config["EncodedKey"].encode())
    except (ValueError, UnsupportedAlgorithm):
        raise rows.bad("The public key is not a valid PEM key.", "InvalidArgument") from None
    rsa_2048 = isinstance(key, rsa.RSAPublicKey) and key.key_size == 2048
    p256 = isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1"
    if not (rsa_2048 or p256):
        raise rows.bad("The public key must be RSA with 2048 bits or ECDSA with P-256.")


def key_group(room: Room, call: Call, config: dict[str, Any]) -> None:
    named(room, call, config)
    if not config.get("Items"):
        raise rows.bad("A key group needs at least one public key")
    for key_id in config["Items"]:
        if room.find(call, "public-key", key_id) is None:
            raise rows.bad(f"The public key {key_id} does not exist.", "InvalidArgument")
