"""GenerateDataKey, GenerateDataKeyWithoutPlaintext, GenerateRandom.

https://docs.aws.amazon.com/kms/latest/APIReference/API_GenerateDataKey.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call
from pileus.services.kms import faults, sealing
from pileus.services.kms.room import Room

SPECS = {"AES_128": 16, "AES_256": 32}
BYTES_MAX = 1024


async def generate_data_key(room: Room, call: Call) -> dict[str, Any]:
    """A fresh key, in the clear and sealed under the KMS key."""
    key = await room.ensured(call, call.params["KeyId"])
    secret = room.clock.random_bytes(_size(call.params))
    sealing.check_dry(call.params)
    blob = sealing.seal(room, key, secret, call.params.get("EncryptionContext"))
    number = len(key.record["materials"]) - 1
    return {
        "CiphertextBlob": blob,
        "Plaintext": secret,
        "KeyId": key.arn,
        "KeyMaterialId": sealing.named_material(key, number),
    }


async def generate_without_plaintext(room: Room, call: Call) -> dict[str, Any]:
    answer = await generate_data_key(room, call)
    del answer["Plaintext"]
    return answer


def generate_random(room: Room, call: Call) -> dict[str, Any]:
    size = call.params.get("NumberOfBytes")
    if size is None:
        raise faults.invalid("NumberOfBytes is required.")
    return {"Plaintext": room.clock.random_bytes(_bytes(size))}


def _size(params: dict[str, Any]) -> int:
    spec, size = params.get("KeySpec"), params.get("NumberOfBytes")
    if (spec is None) == (size is None):
        raise faults.invalid(
            "Please specify either number of bytes or key spec."
            if spec is None
            else "Please specify either number of bytes or key spec, not both."
        )
    if spec is None:
        return _bytes(size)
    if spec not in SPECS:
        raise faults.invalid(
            f"1 validation error detected: Value '{spec}' at 'keySpec' failed to satisfy"
            " constraint: Member must satisfy enum value set: [AES_256, AES_128]"
        )
    return SPECS[spec]


def _bytes(size: Any) -> int:
    if not 1 <= size <= BYTES_MAX:
        raise faults.invalid(
            f"1 validation error detected: Value '{size}' at 'numberOfBytes' failed to satisfy"
            f" constraint: Member must have value between 1 and {BYTES_MAX}"
        )
    return int(size)
