"""KMS: keys that never leave, what they encrypt, and who may use them (DESIGN.md says how)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pileus.services.background import Background
from pileus.services.call import Call, Parts
from pileus.services.kms import (
    aliases,
    datakeys,
    grants,
    keyring,
    policies,
    rotation,
    sealing,
    tags,
)
from pileus.services.kms.access import access
from pileus.services.kms.room import Room, rewrapped
from pileus.services.service import Service

__all__ = ["OPERATIONS", "build", "rewrapped"]

OPERATIONS: dict[str, Callable[[Room, Call], Any]] = {
    "CreateKey": keyring.create_key,
    "DescribeKey": keyring.describe_key,
    "ListKeys": keyring.list_keys,
    "EnableKey": keyring.enable_key,
    "DisableKey": keyring.disable_key,
    "UpdateKeyDescription": keyring.update_description,
    "ScheduleKeyDeletion": keyring.schedule_deletion,
    "CancelKeyDeletion": keyring.cancel_deletion,
    "CreateAlias": aliases.create_alias,
    "UpdateAlias": aliases.update_alias,
    "DeleteAlias": aliases.delete_alias,
    "ListAliases": aliases.list_aliases,
    "Encrypt": sealing.encrypt,
    "Decrypt": sealing.decrypt,
    "ReEncrypt": sealing.re_encrypt,
    "GenerateDataKey": datakeys.generate_data_key,
    "GenerateDataKeyWithoutPlaintext": datakeys.generate_without_plaintext,
    "GenerateRandom": datakeys.generate_random,
    "GetKeyPolicy": policies.get_policy,
    "PutKeyPolicy": policies.put_policy,
    "ListKeyPolicies": policies.list_policies,
    "TagResource": tags.tag,
    "UntagResource": tags.untag,
    "ListResourceTags": tags.list_tags,
    "EnableKeyRotation": rotation.enable_rotation,
    "DisableKeyRotation": rotation.disable_rotation,
    "GetKeyRotationStatus": rotation.rotation_status,
    "RotateKeyOnDemand": rotation.rotate_on_demand,
    "ListKeyRotations": rotation.list_rotations,
    "CreateGrant": grants.create_grant,
    "ListGrants": grants.list_grants,
    "ListRetirableGrants": grants.list_retirable,
    "RevokeGrant": grants.revoke_grant,
    "RetireGrant": grants.retire_grant,
}


def build(parts: Parts) -> Service:
    """The service; who does the work for all ends and rotates keys."""
    room = Room(parts)
    background = Background()

    async def begin() -> None:
        background.begin(rotation.sweep_forever(room), "kms-sweep")

    operations = {name: partial(function, room) for name, function in OPERATIONS.items()}
    return Service("kms", operations, partial(access, room), begin=begin, cease=background.end)
