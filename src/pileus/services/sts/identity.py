"""GetCallerIdentity, GetAccessKeyInfo."""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call, Parts


def get_caller_identity(parts: Parts, call: Call) -> dict[str, Any]:
    principal = call.principal
    return {
        "UserId": principal.id or principal.account,
        "Account": principal.account,
        "Arn": principal.arn,
    }


def get_access_key_info(parts: Parts, call: Call) -> dict[str, Any]:
    return {"Account": parts.credentials.account_of(call.params["AccessKeyId"], call.account)}
