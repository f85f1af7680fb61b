"""The account itself: alias, summary; and what policies would decide (simulation).

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from __future__ import annotations

import re
from typing import Any

from pileus.errors import AwsError
from pileus.policy.decide import Caller, Decision, Policies, decide
from pileus.policy.document import compile_text
from pileus.services.call import Call, Parts, Principal
from pileus.services.iam import rows

Record = dict[str, Any]
ALIAS = re.compile(r"[a-z0-9](?:[a-z0-9]|-(?!-)){1,61}[a-z0-9]")


async def create_account_alias(parts: Parts, call: Call) -> Record:
    alias = call.params["AccountAlias"]
    if not ALIAS.fullmatch(alias):
        raise AwsError("ValidationError", "The account alias is not valid")

    def change(draft: Any) -> None:
        draft.put_json(rows.record_key(call.account, "alias", ""), {"alias": alias})

    await parts.store.transact(change, call.invocation_id)
    return {}


async def delete_account_alias(parts: Parts, call: Call) -> Record:
    def change(draft: Any) -> None:
        key = rows.record_key(call.account, "alias", "")
        found = draft.get_json(key)
        if found is None or found["alias"] != call.params["AccountAlias"]:
            raise rows.missing("account alias", call.params["AccountAlias"])
        draft.delete(key)

    await parts.store.transact(change, call.invocation_id)
    return {}


def list_account_aliases(parts: Parts, call: Call) -> Record:
    found = parts.store.get_json(rows.record_key(call.account, "alias", ""))
    return {"AccountAliases": [found["alias"]] if found else [], "IsTruncated": False}


def get_account_summary(parts: Parts, call: Call) -> Record:
    counts = {
        member: len(rows.listing(parts.store, call.account, kind))
        for member, kind in (
            ("Users", "user"), ("Groups", "group"), ("Roles", "role"), ("Policies", "policy"),
        )
    }  # fmt: skip
    quotas = {"UsersQuota": 5000, "GroupsQuota": 300, "RolesQuota": 1000, "PoliciesQuota": 1500}
    return {"SummaryMap": counts | quotas | {"AccessKeysPerUserQuota": 2}}


def list_providers(parts: Parts, call: Call) -> Record:
    """Identity providers of the web: an account has none, for none can be made here."""
    return {"OpenIDConnectProviderList": []}


def _context(call: Call) -> dict[str, Any]:
    entries = call.params.get("ContextEntries", [])
    return {
        e["ContextKeyName"].lower(): _value(e.get("ContextKeyType", ""), e["ContextKeyValues"])
        for e in entries
        if e.get("ContextKeyName") and e.get("ContextKeyValues")
    }


def _value(kind: str, values: list[str]) -> Any:
    return values if kind.endswith("List") or len(values) != 1 else values[0]


def _results(call: Call, caller: Caller, policies: Policies) -> Record:
    context, results = _context(call), []
    text = call.params.get("ResourcePolicy")
    on_resource = compile_text(rows.check_policy(text, resource=True)) if text else None
    limits = [
        rows.check_policy(t) for t in call.params.get("PermissionsBoundaryPolicyInputList", [])
    ]
    if limits:  # stands in for the principal's own boundary
        boundary = tuple(s for t in limits for s in compile_text(t))
        policies = Policies(policies.identity, boundary)
    for action in call.params["ActionNames"]:
        for resource in call.params.get("ResourceArns", ["*"]):
            verdict = decide(caller, policies, action, resource, context, on_resource)
            matched = [{"SourcePolicyId": s.sid} for s in verdict.statements]
            beside = {"MatchedStatements": matched, "MissingContextValues": []}
            results.append(
                {
                    "EvalActionName": action,
                    "EvalResourceName": resource,
                    "EvalDecision": _word(verdict),
                    "EvalDecisionDetails": {},
                    "ResourceSpecificResults": [
                        {
                            "EvalResourceName": resource,
                            "EvalResourceDecision": _word(verdict),
                            **beside,
                        }
                    ],
                    **beside,
                }
            )
    return rows.page(call.params, results, "EvaluationResults")


def _word(verdict: Decision) -> str:
    if verdict.allowed:
        return "allowed"
    return "explicitDeny" if verdict.denied else "implicitDeny"


def _texts(call: Call) -> list[str]:
    return [rows.check_policy(t) for t in call.params.get("PolicyInputList", [])]


def simulate_custom_policy(parts: Parts, call: Call) -> Record:
    statements = tuple(s for t in _texts(call) for s in compile_text(t))
    caller = Caller("user", call.account, (call.params.get("CallerArn", "*"),))
    return _results(call, caller, Policies(statements))


def simulate_principal_policy(parts: Parts, call: Call) -> Record:
    arn = call.params["PolicySourceArn"]
    kind, _, path = arn.split(":", 5)[5].partition("/") if arn.count(":") >= 5 else ("", "", "")
    if kind not in ("user", "role", "group"):
        raise AwsError(
            "InvalidInput",
            f"Invalid Entity Arn: {arn} does not clearly define entity type and name.",
        )
    record = rows.find(parts.store, call.account, kind, path.rpartition("/")[2])
    principal = Principal(kind, call.account, record["arn"], record["name"], record["id"])
    found = parts.credentials.identities.policies(principal)
    extra = tuple(s for t in _texts(call) for s in compile_text(t))
    policies = Policies((*found.identity, *extra), found.boundary)
    return _results(call, Caller(kind, call.account, (arn,)), policies)


OPERATIONS = {
    "CreateAccountAlias": create_account_alias,
    "DeleteAccountAlias": delete_account_alias,
    "ListAccountAliases": list_account_aliases,
    "GetAccountSummary": get_account_summary,
    "ListOpenIDConnectProviders": list_providers,
    "SimulateCustomPolicy": simulate_custom_policy,
    "SimulatePrincipalPolicy": simulate_principal_policy,
}
