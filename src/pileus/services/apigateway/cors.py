"""CORS by configuration: the API answers preflights itself and replaces what a back end says.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Headers, HttpResponse


class Cors:
    """One API's configuration, ready to answer."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._origins = [origin.lower() for origin in told.get("AllowOrigins", [])]
        self._credentials = bool(told.get("AllowCredentials"))
        self._methods = ",".join(m.upper() for m in told.get("AllowMethods", []))
        self._headers = ",".join(told.get("AllowHeaders", [])).lower()
        self._exposed = ",".join(told.get("ExposeHeaders", [])).lower()
        self._max_age = told.get("MaxAge")

    def allowed(self, origin: str) -> str:
        """The value of Access-Control-Allow-Origin for a request's Origin; '' refuses it."""
        if "*" in self._origins:
            return "*"
        lowered = origin.lower()
        for known in self._origins:
            prefix, star, _ = known.partition("*")
            if lowered == known or (star and lowered.startswith(prefix)):
                return origin
        return ""

    def preflight(self, origin: str) -> HttpResponse:
        """204; without headers when the origin is not allowed, so that the browser refuses."""
        allow = self.allowed(origin)
        if not allow:
            return HttpResponse(204)
        headers = self._base(allow)
        for name, value in (
            ("access-control-allow-methods", self._methods),
            ("access-control-allow-headers", self._headers),
        ):
            if value:
                headers.append((name, value))
        if self._max_age is not None:
            headers.append(("access-control-max-age", str(self._max_age)))
        return HttpResponse(204, headers)

    def dress(self, response: HttpResponse, origin: str | None) -> HttpResponse:
        """Replace the response's CORS headers by the configured ones."""
        kept = [h for h in response.headers if not h[0].lower().startswith("access-control-")]
        allow = self.allowed(origin) if origin else ""
        response.headers = kept + (self._base(allow) if allow else [])
        return response

    def _base(self, allow: str) -> Headers:
        headers = [("access-control-allow-origin", allow)]
        if allow != "*":
            headers.append(("vary", "origin"))
        if self._credentials:
            headers.append(("access-control-allow-credentials", "true"))
        if self._exposed:
            headers.append(("access-control-expose-headers", self._exposed))
        return headers
