"""AssumeRole, GetSessionToken, GetFederationToken.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.policy.document import Malformed, compile_document
from pileus.services.call import Access, Call, Parts, Principal
from pileus.services.sessions import Minted, session_principal

Record = dict[str, Any]
SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}")
SECONDS_MIN = 900
SECONDS_MAX = 129_600
USERS_SECONDS = 43_200
CHAINED_SECONDS_MAX = 3600
PACKED_CHARACTERS_MAX = 2048
TRANSITIVE = "pileus:transitive-tag/"
ROLE_ARN = re.compile(r"arn:aws:iam::[0-9]{12}:role/.{1,2000}")


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


def _duration(p: Record, longest: int, usual: int = 3600) -> int:
    seconds = int(p.get("DurationSeconds", usual))
    if seconds < SECONDS_MIN:
        raise AwsError(
            "ValidationError",
            f"1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy"
            f" constraint: Member must have value greater than or equal to {SECONDS_MIN}",
        )
    if seconds > SECONDS_MAX:
        raise AwsError(
            "ValidationError",
            f"1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy"
            f" constraint: Member must have value less than or equal to {SECONDS_MAX}",
        )
    if seconds > longest:
        raise AwsError(
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        )
    return seconds


def assume_role(parts: Parts, call: Call) -> Record:
    """The door has asked the trust policy and the caller's own (``access``)."""
    p = call.params
    name = _name(p)
    role = parts.credentials.identities.role(p["RoleArn"])
    if role is None:  # deleted since the door looked
        raise refused(call, p["RoleArn"])
    longest = role["session_s"]
    asked = _duration(p, longest)
    if call.principal.kind == "role" and asked > CHAINED_SECONDS_MAX:
        raise AwsError(
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by"
            " role chaining",
        )
    principal = session_principal(role, name, _session_policies(p), _session_tags(p, call))
    minted = parts.credentials.issue(principal, asked)
    return {
        "Credentials": _shape(minted),
        "AssumedRoleUser": {"AssumedRoleId": principal.id, "Arn": principal.arn},
    }


def _session_tags(p: Record, call: Call) -> tuple[tuple[str, str], ...]:
    """Tags of the session; a chained one keeps those its parent marked as transitive."""
    tags = p.get("Tags", [])
    mine = {t["Key"].lower() for t in tags}
    if len(mine) < len(tags):
        raise AwsError(
            "InvalidParameterValue",
            "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
        )
    if not {k.lower() for k in p.get("TransitiveTagKeys", [])} <= mine:
        raise AwsError(
            "InvalidParameterValue",
            "The specified transitive tag key must be included in the requested tags.",
        )
    passed = [k for k, _ in call.principal.context if k.startswith(TRANSITIVE)]
    if any(k.removeprefix(TRANSITIVE) in mine for k in passed):
        raise AwsError(
            "InvalidParameterValue",
            "One of the specified transitive tag keys can't be set because it conflicts with a"
            " transitive tag key from the calling session.",
        )
    out = [(f"aws:PrincipalTag/{t['Key']}", t["Value"]) for t in tags]
    kept = {k.removeprefix(TRANSITIVE) for k in passed}
    for key, value in call.principal.context:
        if key.startswith(TRANSITIVE) or key.removeprefix("aws:PrincipalTag/").lower() in kept:
            out.append((key, value))
    out += [(f"{TRANSITIVE}{k.lower()}", "true") for k in p.get("TransitiveTagKeys", [])]
    if p.get("SourceIdentity"):
        out.append(("aws:SourceIdentity", p["SourceIdentity"]))
    return tuple(out)


def refused(call: Call, arn: str) -> AwsError:
    return AwsError(
        "AccessDenied",
        f"User: {call.principal.arn} is not authorized to perform: sts:AssumeRole on resource:"
        f" {arn}",
        403,
    )


def access(parts: Parts, call: Call) -> list[Access]:
    """What AssumeRole needs: the role's trust policy and, unless that names the caller itself, the
    caller's own policies."""
    p = call.params
    arn = p["RoleArn"]
    if not ROLE_ARN.fullmatch(arn):
        raise AwsError("ValidationError", f"{arn} is invalid")
    role = parts.credentials.identities.role(arn)
    account = arn.split(":")[4]
    if call.principal.kind == "root":
        raise AwsError("AccessDenied", "Roles may not be assumed by root accounts.", 403)
    context: Record = {"sts:RoleSessionName": p["RoleSessionName"]}
    for member, key in (("ExternalId", "sts:ExternalId"), ("SourceIdentity", "sts:SourceIdentity")):
        if member in p:
            context[key] = p[member]
    tags = p.get("Tags", [])
    if tags:
        context |= {f"aws:RequestTag/{t['Key']}": t["Value"] for t in tags}
        context["aws:TagKeys"] = [t["Key"] for t in tags]
    if p.get("TransitiveTagKeys"):
        context["sts:TransitiveTagKeys"] = p["TransitiveTagKeys"]
    if role is not None:
        context |= {f"aws:ResourceTag/{k}": v for k, v in role.get("tags", {}).items()}
        context |= {f"iam:ResourceTag/{k}": v for k, v in role.get("tags", {}).items()}
    trust = orjson.loads(role["trust"]) if role is not None else {}
    actions = ["sts:AssumeRole"]
    actions += ["sts:TagSession"] if tags else []
    actions += ["sts:SetSourceIdentity"] if p.get("SourceIdentity") else []
    return [Access(action, arn, trust, account, context) for action in actions]


def get_session_token(parts: Parts, call: Call) -> Record:
    if call.principal.access_key_id.startswith("ASIA"):
        raise AwsError("AccessDenied", "Cannot call GetSessionToken with session credentials", 403)
    seconds = _duration(call.params, SECONDS_MAX, USERS_SECONDS)
    if call.principal.kind == "root":  # an owner's session is cut to an hour, without an error
        seconds = min(seconds, 3600)
    return {"Credentials": _shape(parts.credentials.issue(call.principal, seconds))}


def get_federation_token(parts: Parts, call: Call) -> Record:
    p, me = call.params, call.principal
    if me.kind != "user" or me.access_key_id.startswith("ASIA"):
        raise AwsError(
            "AccessDenied", "Cannot call GetFederationToken with session credentials", 403
        )
    name = _name({"RoleSessionName": p["Name"]})
    arn = f"arn:aws:sts::{me.account}:federated-user/{name}"
    id_ = f"{me.account}:{name}"
    nothing = '{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}'
    policies = _session_policies(p) or (nothing,)
    principal = Principal("user", me.account, arn, me.name, id_, "", policies, me.context)
    minted = parts.credentials.issue(principal, _duration(p, SECONDS_MAX, USERS_SECONDS))
    return {
        "Credentials": _shape(minted),
        "FederatedUser": {"FederatedUserId": id_, "Arn": arn},
        "PackedPolicySize": 100 * len(p.get("Policy", "")) // PACKED_CHARACTERS_MAX,
    }
