"""STS: who am I, and temporary credentials."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from pileus.services.call import Access, Call, Parts
from pileus.services.service import Service
from pileus.services.sts import assume, identity

OPERATIONS = {
    "GetCallerIdentity": identity.get_caller_identity,
    "GetAccessKeyInfo": identity.get_access_key_info,
    "AssumeRole": assume.assume_role,
    "GetSessionToken": assume.get_session_token,
    "GetFederationToken": assume.get_federation_token,
}
# AWS asks no permission for these.
FREE = {"GetCallerIdentity", "GetSessionToken"}


def access(parts: Parts, call: Call) -> Sequence[Access]:
    """The permissions a call needs."""
    if call.operation in FREE:
        return ()
    if call.operation == "AssumeRole":
        return assume.access(parts, call)
    return [Access(f"sts:{call.operation}", "*")]


def build(parts: Parts) -> Service:
    return Service(
        name="sts",
        operations={n: functools.partial(f, parts) for n, f in OPERATIONS.items()},
        access=functools.partial(access, parts),
    )
