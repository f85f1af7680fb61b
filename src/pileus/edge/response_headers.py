"""Response headers policies: CORS, security and custom headers added to what viewers get.

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/understanding-response-headers-policies.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Headers
from pileus.services.cloudfront.rows import items


class ResponseHeaders:
    """One policy, ready to be applied."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._fixed: list[tuple[str, str, bool]] = _security(config.get("SecurityHeadersConfig"))
        for custom in items(config.get("CustomHeadersConfig")):
            header = custom["Header"].lower()
            self._fixed.append((header, custom["Value"], custom["Override"]))
        removed = items(config.get("RemoveHeadersConfig"))
        self._removed = {r["Header"].lower() for r in removed}
        self._cors: dict[str, Any] = config.get("CorsConfig") or {}
        self._origins = [o.lower() for o in items(self._cors.get("AccessControlAllowOrigins"))]

    def apply(self, headers: Headers, origin: str, preflight: bool) -> Headers:
        """``headers`` with the policy's added (or put in place of the origin's)."""
        if self._removed:
            headers = [h for h in headers if h[0] not in self._removed]
        added = list(self._fixed)
        if self._cors and origin:
            added += self._cors_headers(origin, preflight)
        names = {name for name, _ in headers}
        replaced = {name for name, _, override in added if override}
        if replaced & names:
            headers = [h for h in headers if h[0] not in replaced]
        return headers + [(n, v) for n, v, override in added if override or n not in names]

    def _cors_headers(self, origin: str, preflight: bool) -> list[tuple[str, str, bool]]:
        cors, override = self._cors, self._cors["OriginOverride"]
        allow = self._allowed(origin)
        if not allow:
            return []
        out = [("access-control-allow-origin", allow, override)]
        if allow != "*":
            out.append(("vary", "Origin", False))
        if cors.get("AccessControlAllowCredentials"):
            out.append(("access-control-allow-credentials", "true", override))
        exposed = items(cors.get("AccessControlExposeHeaders"))
        if exposed:
            out.append(("access-control-expose-headers", ", ".join(exposed), override))
        if preflight:
            for name, member in (
                ("methods", "AccessControlAllowMethods"),
                ("headers", "AccessControlAllowHeaders"),
            ):
                values = items(cors.get(member))
                if values:
                    out.append((f"access-control-allow-{name}", ", ".join(values), override))
            if cors.get("AccessControlMaxAgeSec") is not None:
                age = str(cors["AccessControlMaxAgeSec"])
                out.append(("access-control-max-age", age, override))
        return out

    def _allowed(self, origin: str) -> str:
        lowered = origin.lower()
        host = lowered.partition("://")[2]
        for known in self._origins:
            if known == "*":
                return "*"
            if known in (lowered, host):
                return origin
            if known.startswith("*.") and host.endswith(known[1:]):
                return origin
        return ""


def _security(config: dict[str, Any] | None) -> list[tuple[str, str, bool]]:
    config = config or {}
    out = []
    for member, header, value in (
        ("ContentTypeOptions", "x-content-type-options", lambda c: "nosniff"),
        ("FrameOptions", "x-frame-options", lambda c: c["FrameOption"]),
        ("ReferrerPolicy", "referrer-policy", lambda c: c["ReferrerPolicy"]),
        ("ContentSecurityPolicy", "content-security-policy", lambda c: c["ContentSecurityPolicy"]),
        ("StrictTransportSecurity", "strict-transport-security", _hsts),
        ("XSSProtection", "x-xss-protection", _xss),
    ):
        part = config.get(member)
        if part:
            out.append((header, value(part), bool(part["Override"])))
    return out


def _hsts(part: dict[str, Any]) -> str:
    text = f"max-age={part['AccessControlMaxAgeSec']}"
    text += "; includeSubDomains" if part.get("IncludeSubdomains") else ""
    return text + ("; preload" if part.get("Preload") else "")


def _xss(part: dict[str, Any]) -> str:
    if not part["Protection"]:
        return "0"
    text = "1; mode=block" if part.get("ModeBlock") else "1"
    return text + (f"; report={part['ReportUri']}" if part.get("ReportUri") else "")
