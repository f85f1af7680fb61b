"""AWS's order of evaluation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.policy.decide import Caller, Decision, Policies, decide
from pileus.policy.document import Malformed, compile_document, compile_text

ACCOUNT, OTHER = "111111111111", "222222222222"
USER_ARN = f"arn:aws:iam::{ACCOUNT}:user/bob"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/r"
SESSION_ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s"
USER = Caller("user", ACCOUNT, (USER_ARN,))
SESSION = Caller("role", ACCOUNT, (SESSION_ARN, ROLE_ARN))
ROOT = Caller("root", ACCOUNT, (f"arn:aws:iam::{ACCOUNT}:root",))
SERVICE = Caller("service", ACCOUNT, ("x.amazonaws.com",), "x.amazonaws.com")
ANYBODY = Caller("anonymous", "")
BUCKET = "arn:aws:s3:::b/k"


def document(*statements: dict[str, Any]) -> Any:
    given = []
    for statement in statements:
        whole = {"Effect": "Allow", "Action": "*", "Resource": "*"} | statement
        for name in ("Action", "Resource"):
            if f"Not{name}" in whole:
                del whole[name]
        given.append(whole)
    return compile_document({"Version": "2012-10-17", "Statement": given})


ALLOW, DENY = document({}), document({"Effect": "Deny"})
NOTHING = document({"Action": "none:none"})


def on_resource(principal: Any, **more: Any) -> Any:
    return document({"Principal": principal, **more})


def ask(
    caller: Caller,
    identity: Any = (),
    resource: Any = None,
    *,
    boundary: Any = None,
    session: Any = None,
    owner: str = "",
    action: str = "s3:GetObject",
) -> Decision:
    policies = Policies(identity, boundary, session)
    return decide(caller, policies, action, BUCKET, {}, resource, owner)


def test_nothing_said_is_refused() -> None:
    assert ask(USER).reason == "because no identity-based policy allows the s3:GetObject action"


def test_owner_may_all_but_what_the_resource_denies() -> None:
    assert ask(ROOT).allowed
    denied = ask(ROOT, resource=on_resource("*", Effect="Deny"))
    assert denied.reason == "with an explicit deny in a resource-based policy"
    assert not ask(ROOT, owner=OTHER).allowed
    assert ask(ROOT, owner=OTHER, resource=on_resource({"AWS": ACCOUNT})).allowed


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("resource", "a resource-based policy"),
        ("identity", "an identity-based policy"),
        ("boundary", "a permissions boundary"),
        ("session", "a session policy"),
    ],
)
def test_explicit_deny_wins_and_says_where(place: str, words: str) -> None:
    deny = on_resource("*", Effect="Deny") if place == "resource" else DENY
    verdict = ask(
        USER,
        **{"identity": ALLOW, "resource": on_resource({"AWS": USER_ARN}), place: deny},
    )
    assert verdict.denied and verdict.reason == f"with an explicit deny in {words}"


EFFECTS = st.sampled_from([(), ALLOW, DENY, ALLOW + DENY])
LIMITS = st.sampled_from([None, ALLOW, DENY, NOTHING])
PRINCIPALS = st.sampled_from(["*", {"AWS": ACCOUNT}, {"AWS": USER_ARN}, {"AWS": ROLE_ARN}])


@given(st.sampled_from([USER, SESSION]), EFFECTS, PRINCIPALS, LIMITS, LIMITS,
       st.sampled_from([ACCOUNT, OTHER]))  # fmt: skip
def test_what_policies_can_add_up_to(
    caller: Caller, identity: Any, principal: Any, boundary: Any, session: Any, owner: str
) -> None:
    given = {"boundary": boundary, "session": session, "owner": owner}
    policy = on_resource(principal)
    verdict = ask(caller, identity, policy, **given)
    everything = [*identity, *(boundary or ()), *(session or ())]
    if any(not s.allow for s in everything):
        assert not verdict.allowed
    if owner == OTHER and verdict.allowed:
        assert ask(caller, identity, **given | {"owner": ACCOUNT}).allowed
        assert not ask(caller, (), policy, **given).allowed
    if verdict.allowed and boundary is not None:
        assert ask(caller, identity, policy, **given | {"boundary": None}).allowed
    if not ask(caller, identity, policy, **given).allowed:
        assert not ask(caller, identity, policy, **given | {"session": DENY}).allowed


def test_account_as_principal_leaves_it_to_the_account() -> None:
    for principal in (ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root"):
        policy = on_resource({"AWS": principal})
        assert not ask(USER, (), policy).allowed
        assert ask(USER, ALLOW, policy).allowed


def test_naming_a_role_keeps_its_limits_naming_the_session_does_not() -> None:
    role, session = on_resource({"AWS": ROLE_ARN}), on_resource({"AWS": SESSION_ARN})
    assert ask(SESSION, (), role).allowed
    assert ask(SESSION, (), role, session=NOTHING).reason.startswith("because no session policy")
    assert ask(SESSION, (), role, boundary=NOTHING).reason.startswith("because no permissions")
    assert ask(SESSION, (), session, session=NOTHING, boundary=NOTHING).allowed
    assert ask(USER, (), on_resource({"AWS": USER_ARN}), boundary=NOTHING).allowed


def test_boundary_and_session_grant_nothing() -> None:
    assert not ask(USER, (), boundary=ALLOW, session=ALLOW).allowed
    assert ask(USER, ALLOW, boundary=ALLOW, session=ALLOW).allowed


def test_another_account_needs_both() -> None:
    policy = on_resource({"AWS": USER_ARN})
    assert ask(USER, ALLOW, policy, owner=OTHER).allowed
    lacking = ask(USER, (), policy, owner=OTHER)
    assert lacking.reason == "because no identity-based policy allows the s3:GetObject action"
    lacking = ask(USER, ALLOW, owner=OTHER)
    assert lacking.reason == "because no resource-based policy allows the s3:GetObject action"
    assert not ask(USER, ALLOW, policy, owner=OTHER, boundary=NOTHING).allowed


def test_services_and_strangers_live_by_the_resource_policy() -> None:
    assert ask(SERVICE, (), on_resource({"Service": "x.amazonaws.com"}), owner=ACCOUNT).allowed
    assert not ask(SERVICE, (), on_resource({"Service": "y.amazonaws.com"})).allowed
    assert not ask(SERVICE, (), on_resource({"AWS": ACCOUNT})).allowed
    assert ask(ANYBODY, (), on_resource("*"), owner=ACCOUNT).allowed
    assert ask(ANYBODY, (), on_resource({"AWS": "*"}), owner=ACCOUNT).allowed
    assert not ask(ANYBODY, (), on_resource({"AWS": ACCOUNT}), owner=ACCOUNT).allowed
    assert not ask(ANYBODY, owner=ACCOUNT).allowed


def test_origin_identity_by_arn_and_by_canonical_id() -> None:
    arn = "arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity E1"
    identity = Caller("oai", "", (arn,), canonical=("abc",))
    assert ask(identity, (), on_resource({"AWS": arn}), owner=ACCOUNT).allowed
    assert ask(identity, (), on_resource({"CanonicalUser": "abc"}), owner=ACCOUNT).allowed
    assert not ask(identity, (), on_resource({"AWS": f"{arn}2"}), owner=ACCOUNT).allowed


def test_not_principal() -> None:
    deny = document({"Effect": "Deny", "NotPrincipal": {"AWS": [USER_ARN]}})
    assert ask(USER, ALLOW, deny).allowed
    assert not ask(SESSION, ALLOW, deny).allowed


def test_a_role_is_assumed_only_by_leave_of_its_trust_policy() -> None:
    assert not ask(USER, ALLOW, action="sts:AssumeRole").allowed
    assert not ask(USER, (), on_resource({"AWS": ACCOUNT}), action="sts:AssumeRole").allowed
    assert ask(USER, ALLOW, on_resource({"AWS": ACCOUNT}), action="sts:AssumeRole").allowed
    assert ask(USER, (), on_resource({"AWS": USER_ARN}), action="sts:AssumeRole").allowed


def test_a_key_is_used_only_by_leave_of_its_policy() -> None:
    """An identity's policy counts as far as the key's policy leaves it to the account."""
    named, direct, other = ({"AWS": a} for a in (ACCOUNT, USER_ARN, OTHER))
    for action in ("kms:Decrypt", "KMS:Encrypt"):
        assert not ask(USER, ALLOW, on_resource(other), action=action).allowed
        assert not ask(ROOT, (), on_resource(other), action=action).allowed
        assert not ask(USER, (), on_resource(named), action=action).allowed
        assert ask(USER, ALLOW, on_resource(named), action=action).allowed
        assert ask(USER, (), on_resource(direct), action=action).allowed
    assert ask(USER, ALLOW, action="kms:ListKeys").allowed  # no key, no policy of one


def test_elements_with_not_and_case() -> None:
    but = document({"NotAction": ["s3:Put*"], "NotResource": "arn:aws:s3:::c/*"})
    assert ask(USER, but).allowed
    assert ask(USER, document({"Action": "S3:getobject"})).allowed
    assert not ask(USER, document({"NotAction": "s3:get*"})).allowed
    assert not ask(USER, document({"NotResource": "arn:aws:s3:::b/*"})).allowed
    assert not ask(USER, document({"Resource": "arn:aws:s3:::B/*"})).allowed


def test_only_what_looked_at_the_context_is_contextual() -> None:
    assert not ask(USER, ALLOW).contextual
    other = document({"Action": "sqs:*", "Condition": {"Bool": {"a:b": "true"}}})
    assert not ask(USER, ALLOW + other).contextual
    assert ask(USER, ALLOW + document({"Condition": {"Bool": {"a:b": "true"}}})).contextual
    assert ask(USER, ALLOW + document({"Resource": "arn:aws:s3:::${aws:username}"})).contextual


def test_older_version_has_no_variables() -> None:
    statement = {"Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::${aws:username}"}
    old = compile_document({"Version": "2008-10-17", "Statement": statement})
    context = {"aws:username": "bob"}
    bob = decide(USER, Policies(old), "s3:x", "arn:aws:s3:::bob", context)
    literal = decide(USER, Policies(old), "s3:x", "arn:aws:s3:::${aws:username}", context)
    assert (bob.allowed, literal.allowed) == (False, True)


GOOD = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}


@pytest.mark.parametrize(
    "statement",
    [
        {},
        GOOD | {"Effect": "allow"},
        GOOD | {"Action": "GetObject"},
        GOOD | {"Action": []},
        GOOD | {"Action": 1},
        GOOD | {"NotAction": "s3:*"},
        GOOD | {"Resource": "b"},
        GOOD | {"Principal": "*"},
        GOOD | {"Other": 1},
        {k: v for k, v in GOOD.items() if k != "Resource"},
        GOOD | {"Condition": {"Sounds": {"a:b": "c"}}},
    ],
)
def test_identity_policies_refused(statement: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        compile_document({"Version": "2012-10-17", "Statement": [statement]}, identity=True)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"Version": "2020-01-01"}', "{"])
def test_texts_refused(text: str) -> None:
    with pytest.raises(Malformed):
        compile_text(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["Version", "Statement", "Effect", "Action", "Resource", "Condition",
                         "Principal", "AWS", "StringEquals", "Sid"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_any_document_compiles_or_is_malformed(value: Any) -> None:
    try:
        compile_text(json.dumps(value))
    except Malformed:
        return
    assert isinstance(value, dict) and value["Statement"]
