"""GetBucketEncryption, PutBucketEncryption, DeleteBucketEncryption.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketEncryption.html
Since January 2023 every bucket encrypts: without a configuration, with S3's own keys.
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call
from pileus.services.s3 import faults
from pileus.services.s3.room import Room
from pileus.services.s3.rows import AES256, KMS

KIND = "encryption"
BLOCKABLE = ("NONE", "SSE-C")
USUAL = {
    "Rules": [
        {
            "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": AES256},
            "BucketKeyEnabled": False,
        }
    ]
}


def get_encryption(room: Room, call: Call) -> dict[str, Any]:
    if not room.config.s3_legacy_defaults:
        told = room.bucket(call.params["Bucket"]).settings.get(KIND, USUAL)
    else:
        absent = (
            "ServerSideEncryptionConfigurationNotFoundError",
            "The server side encryption configuration was not found",
        )
        told = room.setting(call, KIND, *absent)
    return {"ServerSideEncryptionConfiguration": told}


async def put_encryption(room: Room, call: Call) -> None:
    told = call.params.get("ServerSideEncryptionConfiguration") or {}
    rules = told.get("Rules") or []
    if len(rules) != 1:
        raise faults.malformed_xml()
    await room.configure(call, call.params["Bucket"], KIND, {"Rules": [_rule(rules[0])]})


def _rule(told: dict[str, Any]) -> dict[str, Any]:
    apply = told.get("ApplyServerSideEncryptionByDefault")
    out: dict[str, Any] = {"BucketKeyEnabled": bool(told.get("BucketKeyEnabled"))}
    if apply is not None:
        method, key_id = apply.get("SSEAlgorithm"), apply.get("KMSMasterKeyID")
        if method == "aws:kms:dsse":
            raise faults.not_built("SSEAlgorithm", method)
        if method not in (AES256, KMS):
            raise faults.malformed_xml()
        if key_id and method != KMS:
            raise faults.invalid_argument(
                "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or"
                " aws:kms:dsse",
                "ApplyServerSideEncryptionByDefault",
                None,
            )
        out["ApplyServerSideEncryptionByDefault"] = {
            "SSEAlgorithm": method,
            **({"KMSMasterKeyID": key_id} if key_id else {}),
        }
    blocked = (told.get("BlockedEncryptionTypes") or {}).get("EncryptionType")
    if blocked is not None:
        if any(kind not in BLOCKABLE for kind in blocked):
            raise faults.malformed_xml()
        out["BlockedEncryptionTypes"] = {"EncryptionType": blocked}
    return out


async def delete_encryption(room: Room, call: Call) -> None:
    """Back to S3's own keys."""
    await room.configure(call, call.params["Bucket"], KIND, None)
