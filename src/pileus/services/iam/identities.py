"""Who holds which key, and which policies apply to whom: what the door asks on every request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pileus.policy.decide import Caller, Policies
from pileus.policy.document import Statement, compile_text
from pileus.policy.principals import canonical_id
from pileus.services.call import Credential, Principal
from pileus.services.iam import managed, rows
from pileus.services.iam.credentials import Seal

CACHED_MAX = 20_000


class Identities:
    """The directory of principals. Answers are cached until a row of ``iam`` changes."""

    def __init__(self, store: Any, seal: Seal) -> None:
        self._store = store
        self._seal = seal
        self._generation = -1
        self.changes = self._now = store.counter(rows.TABLE)  # ``generation``, as a function
        self._credentials: dict[tuple[str, str | None], Credential] = {}
        self._policies: dict[Principal, Policies] = {}
        self._callers: dict[Principal, Caller] = {}

    @property
    def generation(self) -> int:
        """Grows with every change of any identity; decisions may be cached by it."""
        return int(self._now())

    def _fresh(self) -> None:
        generation = self.generation
        sizes = (len(self._credentials), len(self._policies), len(self._callers))
        if generation != self._generation or max(sizes) > CACHED_MAX:
            self._generation = generation
            self._credentials.clear()
            self._policies.clear()
            self._callers.clear()

    def lookup(self, access_key_id: str, session_token: str | None) -> Credential | None:
        """``Directory.lookup``: the secret and the principal behind a key."""
        if self._now() != self._generation or len(self._credentials) > CACHED_MAX:
            self._fresh()
        key = (access_key_id, session_token)
        held = self._credentials.get(key)
        if held is None:
            held = self._find(access_key_id, session_token)
            if held is not None:  # what is not there is not kept: strangers choose its names
                self._credentials[key] = held
        return held

    def _find(self, access_key_id: str, session_token: str | None) -> Credential | None:
        if access_key_id.startswith("ASIA"):
            return self._seal.open(access_key_id, session_token or "")
        found = self._store.get_json(rows.access_key_key(access_key_id))
        if found is None or found["status"] != "Active" or session_token:
            return None
        account = found["account"]
        if found["user"] == "":
            principal = replace(Principal.owner(account), access_key_id=access_key_id)
            return Credential(found["secret"], principal)
        user = self._store.get_json(rows.record_key(account, "user", found["user"]))
        if user is None:
            return None
        tags = tuple((f"aws:PrincipalTag/{k}", v) for k, v in user.get("tags", {}).items())
        principal = Principal(
            "user", account, user["arn"], user["name"], user["id"], access_key_id, (), tags
        )
        return Credential(found["secret"], principal)

    def role(self, arn: str) -> rows.Record | None:
        """A role's record by its ARN."""
        parts = arn.split(":", 5)
        if len(parts) < 6 or not parts[5].startswith("role/"):
            return None
        name = parts[5].rpartition("/")[2]
        found = self._store.get_json(rows.record_key(parts[4], "role", name))
        return found if found is not None and found["arn"] == arn else None

    def policies(self, principal: Principal) -> Policies:
        """Compiled policies of a principal: identity, boundary, session."""
        self._fresh()
        found = self._policies.get(principal)
        if found is None:
            found = self._policies[principal] = self._compile(principal)
        return found

    def _compile(self, principal: Principal) -> Policies:
        session = None
        if principal.session_policies:
            session = tuple(s for text in principal.session_policies for s in compile_text(text))
        if principal.kind not in ("user", "role", "group"):  # groups, for those who simulate
            return Policies((), None, session)
        record = self._store.get_json(
            rows.record_key(principal.account, principal.kind, principal.name)
        )
        if record is None or not _same(record, principal):
            return Policies((), None, ())
        holders = [record]
        for group in record.get("groups", ()):
            holder = self._store.get_json(rows.record_key(principal.account, "group", group))
            holders += [holder] if holder else []
        statements: list[Statement] = []
        for holder in holders:
            for text in holder["inline"].values():
                statements += compile_text(text)
            for arn in holder["attached"]:
                statements += compile_text(self.policy_text(arn))
        boundary = record.get("boundary")
        limits = compile_text(self.policy_text(boundary)) if boundary else None
        return Policies(tuple(statements), limits, session)

    def policy_text(self, arn: str) -> str:
        """The default version of a managed policy, AWS's own or the account's; empty grants
        nothing."""
        text = managed.text(arn)
        if text is not None:
            return text
        account, name = arn.split(":")[4], arn.rpartition("/")[2]
        found = self._store.get_json(rows.record_key(account, "policy", name))
        return str(found["versions"][found["default"]]["text"]) if found else managed.NOTHING

    def caller(self, principal: Principal) -> Caller:
        """The principal as policies name it: a session also by its role's or user's ARN."""
        self._fresh()
        found = self._callers.get(principal)
        if found is None:
            found = self._callers[principal] = self._caller(principal)
        return found

    def _caller(self, principal: Principal) -> Caller:
        account, kind = principal.account, principal.kind
        arns: tuple[str, ...] = (principal.arn,)
        if kind in ("role", "user") and principal.arn.startswith("arn:aws:sts:"):
            record = self._store.get_json(rows.record_key(account, kind, principal.name))
            arns = (principal.arn, record["arn"]) if record else arns
        service = ""
        if kind == "service":
            service = principal.name if "." in principal.name else principal.arn
        canonical: tuple[str, ...] = (canonical_id(account),) if account else ()
        if kind == "oai":
            canonical = (principal.id,) if principal.id else ()
        return Caller(kind, account, arns, service, canonical)


def _same(record: rows.Record, principal: Principal) -> bool:
    """Whether the principal is of this record, not of a deleted one that had its name."""
    if ":federated-user/" in principal.arn or not principal.id:
        return True
    return str(record["id"]) == principal.id.partition(":")[0]
