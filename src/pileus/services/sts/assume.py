"""AssumeRole, GetSessionToken, GetFederationToken.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.policy.decide import decide
from pileus.policy.document import Malformed, compile_document
from pileus.services.call import Call, Parts, Principal
from pileus.services.sessions import Minted, session_principal

Record = dict[str, Any]
SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}")
SECONDS_MIN = 900
CHAINED_SECONDS_MAX = 3600
PACKED_CHARACTERS_MAX = 2048


def _shape(minted: Minted) -> Record:
    return {
        "AccessKeyId": minted.access_key_id,
        "SecretAccessKey": minted.secret_access_key,
        "SessionToken": minted.session_token,
        "Expiration": datetime.fromtimestamp(minted.expires_ms // 1000, UTC),
    }


def _session_policies(p: Record) -> tuple[str, ...]:
    text = p.get("Policy")
    if text is None:
        return ()
    if len(text) > PACKED_CHARACTERS_MAX:
        raise AwsError("PackedPolicyTooLarge", "Serialized token too large for session")
    try:
        compile_document(orjson.loads(text), identity=True)
    except (Malformed, orjson.JSONDecodeError) as e:
        raise AwsError("MalformedPolicyDocument", str(e)) from e
    return (text,)


def _name(p: Record) -> str:
    name = str(p["RoleSessionName"])
    if not SESSION_NAME.fullmatch(name):
        raise AwsError(
            "ValidationError",
            f"1 validation error detected: Value '{name}' at 'roleSessionName' failed to satisfy "
            r"constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*",
        )
    return name


def _duration(p: Record, longest: int) -> int:
    seconds = int(p.get("DurationSeconds", min(3600, longest)))
    if seconds < SECONDS_MIN:
        raise AwsError(
            "ValidationError",
            f"1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy"
            f" constraint: Member must have value greater than or equal to {SECONDS_MIN}",
        )
    if seconds > longest:
        raise AwsError(
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        )
    return seconds


def assume_role(parts: Parts, call: Call) -> Record:
    p = call.params
    name, arn, minter = _name(p), p["RoleArn"], parts.credentials
    caller = minter.identities.caller(call.principal)
    context = {k.lower(): v for k, v in call.principal.context}
    if "ExternalId" in p:
        context["sts:externalid"] = p["ExternalId"]
    context["sts:rolesessionname"] = name
    context["aws:principalarn"] = call.principal.arn
    role = minter.trusted(arn, caller, "sts:AssumeRole", context)
    _check_identity_side(parts, call, arn, role, caller, context)
    chained = call.principal.kind == "role"
    longest = CHAINED_SECONDS_MAX if chained else role["session_s"]
    tags = tuple((f"aws:PrincipalTag/{t['Key']}", t["Value"]) for t in p.get("Tags", []))
    principal = session_principal(role, name, _session_policies(p), tags)
    minted = minter.issue(principal, _duration(p, longest))
    return {
        "Credentials": _shape(minted),
        "AssumedRoleUser": {"AssumedRoleId": principal.id, "Arn": principal.arn},
    }


def _check_identity_side(
    parts: Parts, call: Call, arn: str, role: Record, caller: Any, context: Record
) -> None:
    """A trust that names the account only opens the door; the caller's own policies must let it go
    through."""
    if call.principal.kind == "root" and arn.split(":")[4] == call.account:
        raise AwsError("AccessDenied", "Roles may not be assumed by root accounts.", 403)
    policies = parts.credentials.identities.policies(call.principal)
    trust = parts.credentials.trust_naming(role, caller)
    verdict = decide(caller, policies, "sts:AssumeRole", arn, context, trust, call.account)
    if not verdict.allowed:
        raise AwsError(
            "AccessDenied",
            f"User: {call.principal.arn} is not authorized to perform: sts:AssumeRole on resource: "
            f"{arn}",
            403,
        )


def get_session_token(parts: Parts, call: Call) -> Record:
    if call.principal.kind not in ("user", "root"):
        raise AwsError("AccessDenied", "Cannot call GetSessionToken with session credentials", 403)
    minted = parts.credentials.issue(call.principal, _duration(call.params, 129_600))
    return {"Credentials": _shape(minted)}


def get_federation_token(parts: Parts, call: Call) -> Record:
    p, me = call.params, call.principal
    if me.kind != "user":
        raise AwsError(
            "AccessDenied", "Cannot call GetFederationToken with session credentials", 403
        )
    name = _name({"RoleSessionName": p["Name"]})
    arn = f"arn:aws:sts::{me.account}:federated-user/{name}"
    id_ = f"{me.account}:{name}"
    nothing = '{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}'
    policies = _session_policies(p) or (nothing,)
    principal = Principal("user", me.account, arn, me.name, id_, "", policies, me.context)
    minted = parts.credentials.issue(principal, _duration(p, 129_600))
    return {
        "Credentials": _shape(minted),
        "FederatedUser": {"FederatedUserId": id_, "Arn": arn},
    }
