"""SecureString: the key service encrypts and decrypts, asked as the caller through this service.

https://docs.aws.amazon.com/kms/latest/developerguide/services-parameter-store.html
"""

from __future__ import annotations

import base64
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call, Parts
from pileus.services.ssm import faults, rows

OWN_KEY = "alias/aws/ssm"


async def sealed(parts: Parts, call: Call, name: str, value: str, key_id: str) -> str:
    """The ciphertext, base64; ``InvalidKeyId`` where the key does not serve."""
    told = await _ask(parts, call, name, "Encrypt", KeyId=key_id, Plaintext=value.encode())
    return base64.b64encode(told["CiphertextBlob"]).decode()


async def opened(parts: Parts, call: Call, name: str, sealed_value: str, key_id: str) -> str:
    blob = base64.b64decode(sealed_value)
    told = await _ask(parts, call, name, "Decrypt", KeyId=key_id, CiphertextBlob=blob)
    return bytes(told["Plaintext"]).decode()


async def _ask(
    parts: Parts, call: Call, name: str, operation: str, **params: Any
) -> dict[str, Any]:
    params["EncryptionContext"] = {"PARAMETER_ARN": rows.arn(call, name)}
    through = {"kms:ViaService": f"ssm.{call.region}.amazonaws.com"}
    try:
        return await parts.dispatch(
            "kms", operation, params, principal=call.principal, region=call.region, context=through
        )
    except AwsError as error:
        if error.code == "AccessDeniedException":
            raise
        raise faults.error("InvalidKeyId", f"{error.message} ({error.code})") from error
