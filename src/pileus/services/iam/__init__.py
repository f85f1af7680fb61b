"""IAM: users, groups, roles, policies, keys; who calls and what applies to them."""

from __future__ import annotations

import functools
from typing import Any

from pileus.services.call import Parts
from pileus.services.iam import (
    access_keys,
    account,
    details,
    groups,
    held_policies,
    instance_profiles,
    policies,
    roles,
    service_linked,
    users,
)
from pileus.services.iam.access import access
from pileus.services.service import Service

OPERATIONS: dict[str, Any] = {
    **users.OPERATIONS,
    **access_keys.OPERATIONS,
    **groups.OPERATIONS,
    **roles.OPERATIONS,
    **service_linked.OPERATIONS,
    **held_policies.OPERATIONS,
    **policies.OPERATIONS,
    **instance_profiles.OPERATIONS,
    **account.OPERATIONS,
    **details.OPERATIONS,
}


def build(parts: Parts) -> Service:
    """The service over ``parts``; ``parts.credentials`` is the ``Minter``."""
    return Service(
        name="iam",
        operations={n: functools.partial(f, parts) for n, f in OPERATIONS.items()},
        access=functools.partial(access, parts),
    )
