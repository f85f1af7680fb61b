"""STS: who am I, and temporary credentials."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from pileus.services.call import Access, Call, Parts, Service
from pileus.services.sts import assume, identity

OPERATIONS = {
    "GetCallerIdentity": identity.get_caller_identity,
    "GetAccessKeyInfo": identity.get_access_key_info,
    "AssumeRole": assume.assume_role,
    "GetSessionToken": assume.get_session_token,
    "GetFederationToken": assume.get_federation_token,
}
# GetCallerIdentity and GetSessionToken need no permission; AssumeRole is decided with the role's
# trust policy.
FREE = {"GetCallerIdentity", "GetSessionToken", "AssumeRole"}


def access(call: Call) -> Sequence[Access]:
    return () if call.operation in FREE else [Access(f"sts:{call.operation}", "*")]


def build(parts: Parts) -> Service:
    return Service(
        name="sts",
        operations={n: functools.partial(f, parts) for n, f in OPERATIONS.items()},
        access=access,
    )
