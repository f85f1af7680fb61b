"""One decision for a whole prefix must be right for each resource of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pileus.policy.decide import Caller, Policies, decide
from pileus.policy.document import compile_document
from pileus.policy.uniform import uniform

PREFIX = "arn:aws:s3:::b/"
PATTERN = st.one_of(
    st.sampled_from(["*", "arn:aws:s3:::*", "arn:aws:s3:::b/*", "arn:aws:s3:::b*", "?*"]),
    st.text("ab/*?:", max_size=4).map(lambda t: "arn:aws:s3:::" + t),
    st.text("ab/*?:", max_size=4).map(lambda t: PREFIX + t),
)
STATEMENT = st.builds(
    lambda effect, action, resource, negated: {
        "Effect": effect,
        "Action": action,
        ("NotResource" if negated else "Resource"): resource,
    },
    st.sampled_from(["Allow", "Deny"]),
    st.sampled_from(["s3:*", "s3:GetObject", "s3:PutObject"]),
    st.lists(PATTERN, min_size=1, max_size=3),
    st.booleans(),
)


def told(statements, resource):
    caller = Caller("user", "1", ("arn:aws:iam::1:user/u",))
    return decide(caller, Policies(statements), "s3:GetObject", resource, {}).allowed


@given(st.lists(STATEMENT, min_size=1, max_size=4), st.lists(st.text("ab/*?:"), max_size=8))
def test_what_is_uniform_decides_alike(documents, keys):
    statements = compile_document({"Version": "2012-10-17", "Statement": documents})
    if uniform(statements, "s3:getobject", PREFIX):
        assert len({told(statements, PREFIX + key) for key in ["", *keys]}) == 1


def test_the_usual_policies_are_uniform():
    for resource in ("*", "arn:aws:s3:::*", "arn:aws:s3:::b/*", "arn:aws:s3:::other/*"):
        statement = {"Effect": "Allow", "Action": "s3:*", "Resource": resource}
        statements = compile_document({"Version": "2012-10-17", "Statement": [statement]})
        assert uniform(statements, "s3:getobject", PREFIX), resource


def test_a_part_of_the_bucket_and_conditions_are_not():
    part = {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::b/home/*"}
    tied = {
        "Effect": "Deny",
        "Action": "s3:*",
        "Resource": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    own = {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::b/${aws:username}/*"}
    for statement in (part, tied, own):
        statements = compile_document({"Version": "2012-10-17", "Statement": [statement]})
        assert not uniform(statements, "s3:getobject", PREFIX)
