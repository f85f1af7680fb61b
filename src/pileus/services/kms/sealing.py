"""Encrypt, Decrypt, ReEncrypt: AES-256-GCM under a key's material, the context bound to it.

A ciphertext is ``01 account(5) key id(16) material(4) nonce(12) sealed``: what it was made with is
in it, so Decrypt needs no key id. The header and the encryption context are authenticated with it.
https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html
"""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.kms import faults, rows
from pileus.services.kms.room import Key, Room, check_usable
from pileus.services.vault import NONCE_BYTES

PLAINTEXT_BYTES_MAX = 4096
HEADER_BYTES = 1 + 5 + 16 + 4
ALGORITHM = "SYMMETRIC_DEFAULT"
FORM = b"\x01"


class Header(NamedTuple):
    """What a ciphertext was made with."""

    account: str
    key_id: str
    material: int


def header_of(blob: bytes) -> Header | None:
    """None for what is no ciphertext of ours."""
    if len(blob) < HEADER_BYTES + NONCE_BYTES + 16 or blob[:1] != FORM:
        return None
    account = f"{int.from_bytes(blob[1:6], 'big'):012d}"
    key_id = str(uuid.UUID(bytes=blob[6:22]))
    return Header(account, key_id, int.from_bytes(blob[22:26], "big"))


def bound(header: bytes, context: dict[str, str] | None) -> bytes:
    """The header and the context's pairs in order of keys, each with its length."""
    out = [header]
    for pair in sorted((context or {}).items()):
        for text in pair:
            raw = text.encode()
            out += [len(raw).to_bytes(4, "big"), raw]
    return b"".join(out)


def seal(room: Room, key: Key, plaintext: bytes, context: dict[str, str] | None) -> bytes:
    """A ciphertext under the key's newest material."""
    number = len(key.record["materials"]) - 1
    cipher = room.cipher(key, number)
    assert cipher is not None
    told = uuid.UUID(key.id).bytes
    header = FORM + int(key.account).to_bytes(5, "big") + told + number.to_bytes(4, "big")
    nonce = room.clock.random_bytes(NONCE_BYTES)
    return header + nonce + cipher.encrypt(nonce, plaintext, bound(header, context))


def unseal(room: Room, key: Key, blob: bytes, context: dict[str, str] | None) -> bytes:
    """The plaintext; ``InvalidCiphertextException`` when a bit or the context differs."""
    header = header_of(blob)
    cipher = room.cipher(key, header.material) if header is not None else None
    if cipher is None:
        raise faults.invalid_ciphertext()
    head, nonce = blob[:HEADER_BYTES], blob[HEADER_BYTES : HEADER_BYTES + NONCE_BYTES]
    try:
        sealed = blob[HEADER_BYTES + NONCE_BYTES :]
        return cipher.decrypt(nonce, sealed, bound(head, context))
    except InvalidTag:
        raise faults.invalid_ciphertext() from None


def source(room: Room, call: Call, blob: bytes, told: str | None) -> Key:
    """The key a ciphertext was made with; ``IncorrectKeyException`` when the caller names
    another."""
    header = header_of(blob)
    key = room.key(header.account, call.region, header.key_id) if header is not None else None
    if told is not None:
        named = room.find(call, told)
        if header is not None and (key is None or named.arn != key.arn):
            raise faults.incorrect_key()
    if key is None:
        raise faults.invalid_ciphertext()
    return key


def check_algorithm(told: str | None) -> None:
    if told not in (None, ALGORITHM):
        raise faults.invalid(f"Algorithm {told} and key spec {ALGORITHM} are incompatible.")


async def encrypt(room: Room, call: Call) -> dict[str, Any]:
    """At most 4 KB; larger data takes a data key."""
    params = call.params
    check_algorithm(params.get("EncryptionAlgorithm"))
    plaintext = params["Plaintext"]
    if not 1 <= len(plaintext) <= PLAINTEXT_BYTES_MAX:
        raise faults.invalid(
            "1 validation error detected: Value at 'plaintext' failed to satisfy constraint:"
            f" Member must have length between 1 and {PLAINTEXT_BYTES_MAX}"
        )
    key = await room.ensured(call, params["KeyId"])
    check_dry(params)
    blob = seal(room, key, plaintext, params.get("EncryptionContext"))
    return {"CiphertextBlob": blob, "KeyId": key.arn, "EncryptionAlgorithm": ALGORITHM}


def decrypt(room: Room, call: Call) -> dict[str, Any]:
    params = call.params
    check_algorithm(params.get("EncryptionAlgorithm"))
    blob = params.get("CiphertextBlob") or b""
    key = source(room, call, blob, params.get("KeyId"))
    check_usable(key)
    plaintext = unseal(room, key, blob, params.get("EncryptionContext"))
    check_dry(params)
    return {
        "KeyId": key.arn,
        "Plaintext": plaintext,
        "EncryptionAlgorithm": ALGORITHM,
        "KeyMaterialId": material_id(key, blob),
    }


async def re_encrypt(room: Room, call: Call) -> dict[str, Any]:
    """From one key or context to another; the plaintext does not leave."""
    params = call.params
    check_algorithm(params.get("SourceEncryptionAlgorithm"))
    check_algorithm(params.get("DestinationEncryptionAlgorithm"))
    blob = params.get("CiphertextBlob")
    if blob is None:
        raise faults.lacking("ciphertextBlob")
    old = source(room, call, blob, params.get("SourceKeyId"))
    check_usable(old)
    new = await room.ensured(call, params["DestinationKeyId"])
    plaintext = unseal(room, old, blob, params.get("SourceEncryptionContext"))
    check_dry(params)
    return {
        "CiphertextBlob": seal(room, new, plaintext, params.get("DestinationEncryptionContext")),
        "SourceKeyId": old.arn,
        "KeyId": new.arn,
        "SourceEncryptionAlgorithm": ALGORITHM,
        "DestinationEncryptionAlgorithm": ALGORITHM,
    }


def material_id(key: Key, blob: bytes) -> str:
    """The name of the material a ciphertext was made with: 64 hexadecimal digits."""
    header = header_of(blob)
    assert header is not None
    return named_material(key, header.material)


def named_material(key: Key, number: int) -> str:
    return uuid.UUID(key.id).hex + f"{number:032x}"


def check_dry(params: dict[str, Any]) -> None:
    """``DryRun`` learns whether the call would have been let through, as an error."""
    if params.get("DryRun"):
        raise AwsError(
            "DryRunOperationException",
            "The request would have succeeded, but the DryRun parameter is set.",
            412,
        )


def arn_of(blob: bytes, region: str) -> str:
    """The ARN of the key a ciphertext names, ``*`` for what names none."""
    header = header_of(blob)
    if header is None:
        return "*"
    return rows.arn(header.account, region, rows.KEY + header.key_id)
