"""Sessions of roles: the credentials STS and Lambda hand out, and the principal behind them."""

from __future__ import annotations

from typing import Any, NamedTuple

from pileus.services.call import Principal

SESSION_SECONDS = 3600


class Minted(NamedTuple):
    """Credentials as STS hands them out."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    expires_ms: int
    principal: Principal


def session_principal(
    role: dict[str, Any],
    session_name: str,
    policies: tuple[str, ...] = (),
    context: tuple[tuple[str, str], ...] = (),
) -> Principal:
    """A session of ``role``: ``arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION``."""
    account = role["arn"].split(":")[4]
    arn = f"arn:aws:sts::{account}:assumed-role/{role['name']}/{session_name}"
    tags = tuple((f"aws:PrincipalTag/{k}", v) for k, v in role.get("tags", {}).items())
    own = {k.lower() for k, _ in context}
    kept = tuple(t for t in tags if t[0].lower() not in own)
    return Principal(
        "role", account, arn, role["name"], f"{role['id']}:{session_name}", "", policies,
        (*kept, *context),
    )  # fmt: skip
