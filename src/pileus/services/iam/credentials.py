"""Temporary credentials without a row: the session token is the session, sealed.

A token is AES-GCM over the principal and the expiry, under a key of the cluster that an entry
recorded at the first
start. The secret is derived from the access key id with the same key, so any node can check any
session.
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp.html
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import os
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pileus.errors import AwsError
from pileus.policy.decide import Caller, Policies, decide
from pileus.policy.document import compile_text
from pileus.services.call import Credential, Principal
from pileus.services.iam import rows
from pileus.services.sessions import SESSION_SECONDS, Minted, session_principal


class Seal:
    """Seals and opens session tokens. ``secret``: 32 bytes, the cluster's."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._box = AESGCM(hashlib.sha256(b"token" + secret).digest())

    def secret(self, access_key_id: str) -> str:
        """The secret access key that belongs to a temporary key id."""
        digest = hmac.digest(self._secret, access_key_id.encode(), "sha256")
        return base64.b64encode(digest[:30]).decode()

    def close(self, access_key_id: str, principal: Principal, expires_ms: int) -> str:
        """The session token of ``principal``."""
        told = orjson.dumps([dataclasses.asdict(principal), expires_ms])
        nonce = os.urandom(12)
        sealed = self._box.encrypt(nonce, told, access_key_id.encode())
        return base64.b64encode(nonce + sealed).decode()

    def open(self, access_key_id: str, token: str) -> Credential | None:
        """What a token was sealed with; None when it is not ours or not this key's."""
        try:
            raw = base64.b64decode(token, validate=True)
            told = self._box.decrypt(raw[:12], raw[12:], access_key_id.encode())
        except (ValueError, InvalidTag):
            return None
        fields, expires_ms = orjson.loads(told)
        return Credential(self.secret(access_key_id), Principal.restore(fields), expires_ms)


class Minter:
    """Makes temporary credentials: for roles that trust who asks, and for users."""

    def __init__(self, identities: Any, seal: Seal, clock: Any) -> None:
        self.identities = identities
        self._seal = seal
        self._clock = clock

    def issue(self, principal: Principal, duration_s: int = SESSION_SECONDS) -> Minted:
        """Credentials that act as ``principal`` for ``duration_s`` seconds."""
        key_id = rows.unique_id("ASIA", self._clock.random_bytes(24))[:20]
        now_ms = self._clock.now_ms()
        expires_ms = now_ms + duration_s * 1000
        issued = rows.moment(now_ms).strftime("%Y-%m-%dT%H:%M:%SZ")
        told = (*principal.context, ("aws:TokenIssueTime", issued))
        principal = dataclasses.replace(principal, access_key_id=key_id, context=told)
        token = self._seal.close(key_id, principal, expires_ms)
        return Minted(key_id, self._seal.secret(key_id), token, expires_ms, principal)

    def trusted(self, role_arn: str, service: str, context: dict[str, Any]) -> Any:
        """The role's record if its trust policy lets a service of ours assume it; AccessDenied
        otherwise."""
        role = self.identities.role(role_arn)
        if role is not None:
            trust, account = compile_text(role["trust"]), role_arn.split(":")[4]
            caller = Caller("service", "", (service,), service)
            verdict = decide(
                caller, Policies(), "sts:AssumeRole", role_arn, context, trust, account
            )
            if verdict.allowed:
                return role
        raise AwsError(
            "AccessDenied",
            f"User: {service} is not authorized to perform: sts:AssumeRole on resource: {role_arn}",
            403,
        )

    def account_of(self, access_key_id: str, asking: str) -> str:
        """The account a key belongs to; a session's key tells only its own account."""
        found = self.identities.lookup(access_key_id, None)
        return found.principal.account if found is not None else asking

    async def check(self, role_arn: str, service: str) -> None:
        """``AwsError`` unless the role exists and trusts ``service`` (``lambda.amazonaws.com``)."""
        self.trusted(role_arn, service, {"aws:principalisawsservice": "true"})

    async def mint(
        self,
        role_arn: str,
        session_name: str,
        *,
        service: str,
        duration_s: int = SESSION_SECONDS,
        context: dict[str, Any] | None = None,
    ) -> Minted:
        """Credentials of a role for a service that the role trusts. Raises AccessDenied."""
        told = {k.lower(): v for k, v in (context or {}).items()}
        told["aws:principalisawsservice"] = "true"
        role = self.trusted(role_arn, service, told)
        return self.issue(session_principal(role, session_name), duration_s)
