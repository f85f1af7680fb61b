"""The condition keys of a request.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from pileus.policy.decide import Caller
from pileus.services.call import Access, Call

TYPES = {"user": "User", "role": "AssumedRole", "root": "Account"}
HEADERS = (("aws:useragent", "user-agent"), ("aws:referer", "referer"))


class RequestContext:
    """Keys in lower case and their values, put together when the first is asked for: most
    decisions ask for none."""

    def __init__(self, call: Call, access: Access, caller: Caller) -> None:
        self._call, self._access, self._caller = call, access, caller
        self._told: dict[str, Any] | None = None

    def get(self, key: str, default: Any = None, /) -> Any:
        """The value of a key, a list where it has several; ``default`` where the request has
        none."""
        if self._told is None:
            self._told = self._all()
        return self._told.get(key, default)

    def _all(self) -> dict[str, Any]:
        call, access = self._call, self._access
        now = time.time()
        told: dict[str, Any] = {
            "aws:currenttime": datetime.fromtimestamp(int(now), UTC).isoformat(),
            "aws:epochtime": str(int(now)),
            "aws:requestedregion": call.region,
            "aws:viaawsservice": "false",
        }
        if access.resource.startswith("arn:"):
            told["aws:resourceaccount"] = access.owner or call.account
        told |= self._of_principal()
        request = call.request
        if request is not None:
            told["aws:sourceip"] = request.remote
            told["aws:securetransport"] = "true" if request.scheme == "https" else "false"
            for key, header in HEADERS:
                if header in request.headers:
                    told[key] = request.headers[header]
        for key, value in access.context.items():
            told[key.lower()] = value
        # What was sealed into a session or told by a service of ours outweighs the call's own.
        for key, value in call.principal.context:
            told[key.lower()] = value
        return told

    def _of_principal(self) -> dict[str, Any]:
        principal = self._call.principal
        kind = principal.kind
        if kind == "anonymous":
            return {"aws:principaltype": "Anonymous", "aws:userid": "anonymous"}
        if kind == "service":
            return {
                "aws:principalisawsservice": "true",
                "aws:principalservicename": self._caller.service,
            }
        if kind not in TYPES:
            return {}
        federated = ":federated-user/" in principal.arn
        told = {
            "aws:principaltype": "FederatedUser" if federated else TYPES[kind],
            "aws:principalarn": principal.arn if kind != "role" else self._caller.arns[-1],
            "aws:principalaccount": principal.account,
            "aws:principalisawsservice": "false",
            "aws:userid": principal.id or principal.account,
        }
        if kind == "user" and not federated:
            told["aws:username"] = principal.name
        if principal.access_key_id.startswith("ASIA"):
            told["aws:multifactorauthpresent"] = "false"
        return told
