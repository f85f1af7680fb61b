"""The condition keys of a request.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
"""

from __future__ import annotations

import ipaddress
import re
import time
from datetime import UTC, datetime
from typing import Any

from pileus.policy.decide import Caller
from pileus.services.call import Access, Call, HttpRequest

TYPES = {"user": "User", "role": "AssumedRole", "root": "Account"}
_DATE = re.compile(r"X-Amz-Date=(\d{8}T\d{6}Z)(?:&|$)")
HEADERS = (("aws:useragent", "user-agent"), ("aws:referer", "referer"))


def _unheard(request: HttpRequest) -> bool:
    """Whether nobody between could read the request: TLS, or it never left this machine."""
    if request.scheme == "https":
        return True
    try:
        return ipaddress.ip_address(request.remote).is_loopback
    except ValueError:  # a client of a Unix socket that passes no address on
        return False


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
            told["aws:securetransport"] = "true" if _unheard(request) else "false"
            for key, header in HEADERS:
                if header in request.headers:
                    told[key] = request.headers[header]
            if call.service == "s3":
                told |= _of_signature(request, access.owner or call.account, now)
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


def _of_signature(request: HttpRequest, owner: str, now: float) -> dict[str, Any]:
    """What a bucket's policy may ask of a signature ("Amazon S3 Signature Version 4
    Authentication Specific Policy Keys")."""
    query = request.query
    told = {"s3:resourceaccount": owner}
    if "authorization" in request.headers:
        told["s3:authtype"] = "REST-HEADER"
        fourth = request.headers["authorization"].startswith("AWS4-")
    elif "X-Amz-Signature=" in query or "Signature=" in query:
        told["s3:authtype"] = "REST-QUERY-STRING"
        fourth = "X-Amz-Signature=" in query
    else:
        return told
    told["s3:signatureversion"] = "AWS4-HMAC-SHA256" if fourth else "AWS"
    signed = _DATE.search(query)
    if signed is not None:
        at = datetime.strptime(signed[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        told["s3:signatureage"] = str(max(0, int((now - at.timestamp()) * 1000)))
    return told
