"""The three kinds of error, named once.

- ``AwsError``: the client's. Carries AWS's code, text and HTTP status; modelled members travel in
``fields``.
- ``Unavailable``: operating. The caller may retry; ``hint`` says what the operator should do.
- Everything else is the programmer's: the process crashes and is restarted, or the request answers
500.
"""

from __future__ import annotations

from typing import Any


class AwsError(Exception):
    """An answer the service's documentation describes: wrong input, missing resource, failed
    condition.

    ``code`` is the wire code (``ResourceNotFoundException``), ``status`` the HTTP status,
    ``fields`` further modelled members of the error shape (``{"Item": …}``), ``headers`` extra
    response headers as (name, value) pairs.
    """

    def __init__(
        self,
        code: str,
        message: str = "",
        status: int = 400,
        *,
        fields: dict[str, Any] | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.fields = fields or {}
        self.headers = headers

    def __repr__(self) -> str:
        return f"AwsError({self.code!r}, {self.message!r}, {self.status})"


class Unavailable(Exception):
    """An operating error: nothing was acknowledged, the caller may retry, ``hint`` tells the
    operator what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Conflict(Exception):
    """A transaction's reads no longer hold; its author reads again and retries."""


class WrongDigest(ValueError):
    """The bytes of a blob hash to ``found`` (SHA-256, hex), not to what its writer was told."""

    def __init__(self, found: str, told: str) -> None:
        super().__init__(f"the bytes hash to {found or 'nothing known'}, not to {told}")
        self.found = found


def access_denied(principal: str, action: str, resource: str, why: str = "") -> AwsError:
    """AWS's wording of a refused call (IAM user guide, "Troubleshoot access denied error
    messages")."""
    reason = why or f"because no identity-based policy allows the {action} action"
    return AwsError(
        "AccessDeniedException",
        f"User: {principal} is not authorized to perform: {action}"
        f" on resource: {resource} {reason}",
        403,
    )
