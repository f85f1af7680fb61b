"""Requests whose head was proven before, read by one look-up (AWS, "Signing AWS API requests").

Within one second a busy client sends the same head again and again: only the signature, the
length and the SDK's retry id differ. Those three are cut out; what remains names a head that the
strict reader, the router and the verifier have all accepted, with everything that follows from it.
What the request itself decides is checked each time: its length, its body under its signature, its
age, and that its key still stands. Anything else is None: read it from the start.

The cuts are the first places in the head where their markers stand, and everything before a cut
is part of the name: two heads of one name differ in the cut values alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from pileus.services.call import Credential, Directory, HttpRequest
from pileus.wire.canonical import Proof
from pileus.wire.plan import Plan
from pileus.wire.router import Route
from pileus.wire.sigv4 import SKEW_MS, Evidence

HEADS_MAX = 1024
BYTES_MAX = 64 * 1024
END = b"\r\n\r\n"
_SIGNATURE = b"Signature="
_REPEATED = b"\r\namz-sdk-invocation-id: "
_LENGTHS = (b"\r\nContent-Length: ", b"\r\ncontent-length: ")
UUID = b"0123456789abcdef-"
# Headers of which a proven head says nothing: they differ from request to request.
# Headers that tell of the body itself: what follows from them is not in the head.
_OWN = frozenset({"x-amz-content-sha256", "content-encoding"})
_CUT = frozenset({"authorization", "content-length", "amz-sdk-invocation-id"})


@dataclass(slots=True, frozen=True)
class KnownHead:
    """What follows from a head. ``held``: the credential it was proven with. ``met``: how often it
    came; ``swift``: how requests under it are answered from their bytes (both of one element)."""

    headers: dict[str, str]
    route: Route
    plan: Plan
    region: str
    access_key_id: str
    token: str | None
    proof: Proof
    held: Credential
    met: list[int] = field(default_factory=lambda: [0], compare=False)
    swift: list[Any] = field(default_factory=lambda: [None], compare=False)


class KnownHeads:
    """Bounded: clients choose the text. One per process."""

    def __init__(self, directory: Directory, now_ms: Callable[[], int]) -> None:
        self._directory = directory
        self._now_ms = now_ms
        self._heads: dict[bytes, KnownHead] = {}

    def read(self, data: bytes, remote: str) -> HttpRequest | None:
        """The request ``data`` is, with its known head and the SDK's retry id; or None."""
        head, mark, body = data.partition(END)
        found = _name(head, b"%d" % len(body))
        known = None if found is None else self._heads.get(found[0])
        if known is None or not mark or len(body) > BYTES_MAX:
            return None
        _, signature, told = found  # type: ignore[misc]
        proof, held, plan = known.proof, known.held, known.plan
        if told.translate(None, UUID) or not proof.agrees(sha256(body).hexdigest(), signature):
            return None
        now_ms = self._now_ms()
        if not -SKEW_MS <= now_ms - proof.at_ms <= SKEW_MS:
            return None
        if self._directory.lookup(known.access_key_id, known.token) is not held:
            return None
        if held.expires_ms is not None and held.expires_ms <= now_ms:
            return None
        return HttpRequest(
            "POST", "/", "", known.headers, body, None, remote, "http", (known, told), plan.meter
        )

    def stands(self, known: KnownHead) -> bool:
        """Whether the key a head was signed with is still the one that proved it."""
        return self._directory.lookup(known.access_key_id, known.token) is known.held

    def learn(self, request: HttpRequest, route: Route, plan: Plan, evidence: Evidence) -> None:
        """Keep the head of a request that was read strictly and proven by ``evidence``."""
        raw, headers, claim = request.head, request.headers, evidence.claim
        if type(raw) is not bytes or raw.count(_SIGNATURE) != 1 or route.labels:
            return
        sized = b"%d" % len(request.body)
        found = _name(raw, sized)
        if found is None or not _OWN.isdisjoint(headers):
            return
        name, signature, told = found
        if headers.get("amz-sdk-invocation-id", "").encode() != told or (
            "amz-sdk-invocation-id" in claim.signed or "content-length" in claim.signed
        ):
            return
        if headers["authorization"][-64:].encode() != signature:
            return
        known = self._heads.get(name)
        if known is not None and known.held is evidence.held:
            return
        if len(self._heads) >= HEADS_MAX:
            self._heads.clear()
        self._heads[name] = KnownHead(
            {n: value for n, value in headers.items() if n not in _CUT},
            route,
            plan,
            claim.region,
            claim.access_key_id,
            headers.get("x-amz-security-token"),
            evidence.proof,
            evidence.held,
        )


def _name(head: bytes, sized: bytes) -> tuple[bytes, bytes, bytes] | None:
    """A head without what differs from request to request, its signature and retry id; None where
    it is not signed in its head or its length is not ``sized``."""
    at = head.find(_SIGNATURE) + 10
    if at < 10:
        return None
    signature, head = head[at : at + 64], head[:at] + head[at + 64 :]
    told = b""
    at = head.find(_REPEATED) + 25
    if at >= 25:
        told, head = head[at : at + 36], head[:at] + head[at + 36 :]
    at = head.find(_LENGTHS[0]) + 18
    if at < 18:
        at = head.find(_LENGTHS[1]) + 18
    end = at + len(sized)
    if at < 18 or head[at:end] != sized:
        return None
    return head[:at] + head[end:], signature, told


def cuts(head: bytes, size: int, told: bytes) -> tuple[slice, slice, slice]:
    """Where the signature, the length and the retry id lie in a head that has a name; the last is
    empty, at the end, where there is none."""
    signed = head.find(_SIGNATURE) + len(_SIGNATURE)
    sized = next(head.find(mark) + len(mark) for mark in _LENGTHS if mark in head)
    repeated = head.find(_REPEATED) + len(_REPEATED) if told else len(head)
    return (
        slice(signed, signed + 64),
        slice(sized, sized + len(b"%d" % size)),
        slice(repeated, repeated + len(told)),
    )
