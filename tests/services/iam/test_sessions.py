"""Keys, role switching, boundaries, sessions: scenarios of AWS's user guide."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from pileus.errors import AwsError
from pileus.services.call import Principal
from pileus.services.iam.bootstrap import bootstrap
from tests.services.iam.conftest import ACCOUNT, ROOT, Cloud, allow, text

BOB = f"arn:aws:iam::{ACCOUNT}:user/bob"


def refused(error: Any, code: str = "AccessDenied") -> str:
    status = 400 if "dynamodb:" in error.value.message else 403  # as each service answers
    assert error.value.code == code and error.value.status == status
    return str(error.value.message)


def test_first_start_makes_one_owner_key(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        from pileus.config import Config

        file = cloud.store.home / "credentials.json"
        first = json.loads(file.read_text())
        for kept in (file, *cloud.store.home.glob("state.db*")):
            assert kept.stat().st_mode & 0o077 == 0
        await bootstrap(cloud.store, cloud.clock, Config(home=cloud.store.home))
        assert json.loads(file.read_text()) == first
        held = cloud.identities.lookup(first["access_key_id"], None)
        assert held is not None and held.principal.kind == "root"
        assert held.secret == first["secret_access_key"]

    run(body)


def test_key_of_a_user(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        bob = await cloud.user("bob", allow("s3:GetObject", resource="arn:aws:s3:::b/*"))
        assert await cloud("GetCallerIdentity", bob) == {
            "UserId": bob.id, "Account": ACCOUNT, "Arn": BOB}  # fmt: skip
        cloud.ask(bob, "s3:GetObject", "arn:aws:s3:::b/k")
        with pytest.raises(AwsError) as error:
            cloud.ask(bob, "s3:PutObject", "arn:aws:s3:::b/k")
        assert refused(error) == (
            f"User: {BOB} is not authorized to perform: s3:PutObject on resource: arn:aws:s3:::b/k"
            " because no identity-based policy allows the s3:PutObject action"
        )
        with pytest.raises(AwsError) as error:
            cloud.ask(bob, "dynamodb:PutItem", "*")
        refused(error, "AccessDeniedException")
        key = bob.access_key_id
        await cloud("UpdateAccessKey", UserName="bob", AccessKeyId=key, Status="Inactive")
        assert cloud.identities.lookup(key, None) is None
        await cloud("UpdateAccessKey", UserName="bob", AccessKeyId=key, Status="Active")
        assert cloud.identities.lookup(key, None) is not None
        assert cloud.identities.lookup(key, "token") is None

    run(body)


def test_what_was_allowed_is_forgotten_when_policies_change(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        bob = await cloud.user("bob", allow("s3:*"))
        for _ in range(3):
            cloud.ask(bob, "s3:GetObject", "arn:aws:s3:::b/k")
        deny = {"Effect": "Deny", "Action": "s3:Get*", "Resource": "*"}
        await cloud("PutUserPolicy", UserName="bob", PolicyName="d", PolicyDocument=text(deny))
        with pytest.raises(AwsError) as error:
            cloud.ask(bob, "s3:GetObject", "arn:aws:s3:::b/k")
        assert refused(error).endswith("with an explicit deny in an identity-based policy")

    run(body)


def test_conditions_are_asked_each_time(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        near = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
        bob = await cloud.user("bob", allow("s3:*", Condition=near))
        cloud.ask(bob, "s3:GetObject", remote="10.1.2.3")
        with pytest.raises(AwsError):
            cloud.ask(bob, "s3:GetObject", remote="192.0.2.1")
        home = allow("sqs:*", resource="arn:aws:sqs:*:*:${aws:username}-*")
        eve = await cloud.user("eve", home)
        cloud.ask(eve, "sqs:SendMessage", "arn:aws:sqs:us-east-1:1:eve-q")
        with pytest.raises(AwsError):
            cloud.ask(eve, "sqs:SendMessage", "arn:aws:sqs:us-east-1:1:bob-q")

    run(body)


def test_resource_policy_changes_are_seen(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        bob = await cloud.user("bob")
        open_ = json.loads(text({**allow("s3:*"), "Principal": {"AWS": BOB}}))
        shut = json.loads(text({**allow("s3:*"), "Effect": "Deny", "Principal": "*"}))
        for _ in range(2):
            cloud.ask(bob, "s3:GetObject", "arn:aws:s3:::b/k", open_)
            with pytest.raises(AwsError):
                cloud.ask(bob, "s3:GetObject", "arn:aws:s3:::b/k", shut)
            with pytest.raises(AwsError):
                cloud.ask(bob, "s3:GetObject", "arn:aws:s3:::b/k")
        with pytest.raises(AwsError):
            cloud.ask(ROOT, "s3:GetObject", "arn:aws:s3:::b/k", shut)
        cloud.ask(ROOT, "s3:DeleteBucketPolicy", "arn:aws:s3:::b", shut)

    run(body)


def test_switch_to_a_role_and_lose_the_users_rights(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        bob = await cloud.user("bob", allow("sqs:*"), allow("sts:AssumeRole"))
        arn = await cloud.role("r", {"AWS": ACCOUNT}, allow("s3:*"))
        with pytest.raises(AwsError) as error:
            await cloud("AssumeRole", RoleArn=arn, RoleSessionName="s1")
        assert refused(error) == "Roles may not be assumed by root accounts."
        made = await cloud("AssumeRole", bob, RoleArn=arn, RoleSessionName="s1")
        session = cloud.who(made["Credentials"])
        assert session.arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s1"
        assert made["AssumedRoleUser"]["Arn"] == session.arn
        assert (await cloud("GetCallerIdentity", session))["UserId"].endswith(":s1")
        cloud.ask(session, "s3:GetObject")
        with pytest.raises(AwsError):
            cloud.ask(session, "sqs:SendMessage")
        token = made["Credentials"]["SessionToken"]
        assert cloud.identities.lookup(session.access_key_id, None) is None
        assert cloud.identities.lookup(session.access_key_id, token[:-8] + "AAAAAAA=") is None
        assert cloud.identities.lookup(bob.access_key_id, token) is None

    run(body)


def test_trust_names_the_account_the_user_or_somebody_else(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        may, may_not = await cloud.user("bob", allow("sts:*")), await cloud.user("eve")
        account = await cloud.role("account", {"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
        eve = await cloud.role("eve", {"AWS": may_not.arn})
        service = await cloud.role("service", {"Service": "lambda.amazonaws.com"})
        cases = [(may, account, True), (may_not, account, False), (may, eve, False),
                 (may_not, eve, True), (may, service, False),
                 (may, f"arn:aws:iam::{ACCOUNT}:role/none", False)]  # fmt: skip
        for who, arn, good in cases:
            if good:
                await cloud("AssumeRole", who, RoleArn=arn, RoleSessionName="s1")
                continue
            with pytest.raises(AwsError) as error:
                await cloud("AssumeRole", who, RoleArn=arn, RoleSessionName="s1")
            assert refused(error) == (
                f"User: {who.arn} is not authorized to perform: sts:AssumeRole on resource: {arn}"
            )

    run(body)


def test_external_id_duration_and_names(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        bob = await cloud.user("bob")
        trust = {
            "Effect": "Allow", "Principal": {"AWS": bob.arn}, "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": "42"}},
        }  # fmt: skip
        arn = await cloud.role("r", trust, MaxSessionDuration=7200)
        with pytest.raises(AwsError):
            await cloud("AssumeRole", bob, RoleArn=arn, RoleSessionName="s1")
        given: dict[str, Any] = {"RoleArn": arn, "RoleSessionName": "s1", "ExternalId": "42"}
        made = await cloud("AssumeRole", bob, **given, DurationSeconds=7200)
        left = made["Credentials"]["Expiration"].timestamp() * 1000 - cloud.clock.ms
        assert left == 7_200_000
        for bad in ({"DurationSeconds": 7201}, {"DurationSeconds": 899}, {"RoleSessionName": "a b"},
                    {"RoleArn": "r"}, {"Policy": "{"}):  # fmt: skip
            with pytest.raises(AwsError) as error:
                await cloud("AssumeRole", bob, **given | bad)
            assert error.value.code in ("ValidationError", "MalformedPolicyDocument")

    run(body)


def test_session_policies_and_tags_limit_and_identify(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        bob = await cloud.user("bob")
        actions = ["sts:AssumeRole", "sts:TagSession"]
        trust = {"Effect": "Allow", "Principal": {"AWS": bob.arn}, "Action": actions}
        own = allow("sqs:*", Condition={"StringEquals": {"aws:PrincipalTag/team": "${aws:x, 'a'}"}})
        arn = await cloud.role("r", trust, allow("s3:*"), own)
        given: dict[str, Any] = {"RoleArn": arn, "RoleSessionName": "s1"}
        made = await cloud("AssumeRole", bob, **given, Policy=text(allow("s3:Get*")))
        narrow = cloud.who(made["Credentials"])
        cloud.ask(narrow, "s3:GetObject")
        with pytest.raises(AwsError) as error:
            cloud.ask(narrow, "s3:PutObject")
        assert "because no session policy allows the s3:PutObject action" in refused(error)
        tags = [{"Key": "team", "Value": "a"}]
        tagged = cloud.who((await cloud("AssumeRole", bob, **given, Tags=tags))["Credentials"])
        cloud.ask(tagged, "sqs:SendMessage")
        with pytest.raises(AwsError):
            cloud.ask(narrow, "sqs:SendMessage")
        plain = await cloud.role("plain", {"AWS": bob.arn})
        with pytest.raises(AwsError) as error:
            await cloud("AssumeRole", bob, RoleArn=plain, RoleSessionName="s1", Tags=tags)
        assert "sts:TagSession" in refused(error)

    run(body)


def test_chained_roles_last_an_hour(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        bob = await cloud.user("bob")
        first = await cloud.role("one", {"AWS": bob.arn})
        second = await cloud.role("two", {"AWS": first}, MaxSessionDuration=43200)
        made = await cloud("AssumeRole", bob, RoleArn=first, RoleSessionName="s1")
        one = cloud.who(made["Credentials"])
        with pytest.raises(AwsError) as error:
            await cloud(
                "AssumeRole", one, RoleArn=second, RoleSessionName="s2", DurationSeconds=3601
            )
        assert "role chaining" in error.value.message
        two = await cloud("AssumeRole", one, RoleArn=second, RoleSessionName="s2")
        assert cloud.who(two["Credentials"]).arn.endswith("assumed-role/two/s2")

    run(body)


def test_boundary_takes_away(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        made = await cloud("CreatePolicy", PolicyName="edge", PolicyDocument=text(allow("s3:*")))
        edge = made["Policy"]["Arn"]
        bob = await cloud.user("bob", allow("*"), PermissionsBoundary=edge)
        cloud.ask(bob, "s3:GetObject")
        with pytest.raises(AwsError) as error:
            cloud.ask(bob, "sqs:SendMessage")
        assert "because no permissions boundary allows the sqs:SendMessage" in refused(error)
        await cloud("DeleteUserPermissionsBoundary", UserName="bob")
        cloud.ask(bob, "sqs:SendMessage")

    run(body)


def test_sessions_die_with_their_role_or_user(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        bob = await cloud.user("bob", allow("s3:*"))
        arn = await cloud.role("r", {"AWS": bob.arn}, allow("s3:*"))
        made = await cloud("AssumeRole", bob, RoleArn=arn, RoleSessionName="s1")
        session = cloud.who(made["Credentials"])
        user = cloud.who((await cloud("GetSessionToken", bob))["Credentials"])
        cloud.ask(session, "s3:GetObject")
        cloud.ask(user, "s3:GetObject")
        await cloud("DeleteRolePolicy", RoleName="r", PolicyName="p")
        await cloud("DeleteRole", RoleName="r")
        await cloud.role("r", {"AWS": bob.arn}, allow("s3:*"))
        with pytest.raises(AwsError):
            cloud.ask(session, "s3:GetObject")
        await cloud("DeleteAccessKey", UserName="bob", AccessKeyId=bob.access_key_id)
        await cloud("DeleteUserPolicy", UserName="bob", PolicyName="p")
        await cloud("DeleteUser", UserName="bob")
        with pytest.raises(AwsError):
            cloud.ask(user, "s3:GetObject")

    run(body)


def test_sessions_are_revoked_by_their_time(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        bob = await cloud.user("bob")
        arn = await cloud.role("r", {"AWS": bob.arn}, allow("s3:*"))
        given = {"RoleArn": arn, "RoleSessionName": "s1"}
        old = cloud.who((await cloud("AssumeRole", bob, **given))["Credentials"])
        cloud.ask(old, "s3:GetObject")
        cloud.clock.ms += 60_000
        revoke = {
            "Effect": "Deny", "Action": "*", "Resource": "*",
            "Condition": {"DateLessThan": {"aws:TokenIssueTime": "2023-11-14T22:14:00Z"}},
        }  # fmt: skip
        await cloud("PutRolePolicy", RoleName="r", PolicyName="x", PolicyDocument=text(revoke))
        with pytest.raises(AwsError):
            cloud.ask(old, "s3:GetObject")
        new = cloud.who((await cloud("AssumeRole", bob, **given))["Credentials"])
        cloud.ask(new, "s3:GetObject")

    run(body)


def test_federated_user_has_what_both_allow(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        bob = await cloud.user("bob", allow("s3:*", "sts:GetFederationToken"))
        policy = text(allow("s3:Get*", "sqs:*"))
        made = await cloud("GetFederationToken", bob, Name="guest", Policy=policy)
        guest = cloud.who(made["Credentials"])
        assert guest.arn == f"arn:aws:sts::{ACCOUNT}:federated-user/guest"
        cloud.ask(guest, "s3:GetObject")
        for action in ("s3:PutObject", "sqs:SendMessage"):
            with pytest.raises(AwsError):
                cloud.ask(guest, action)
        bare = await cloud("GetFederationToken", bob, Name="guest")
        with pytest.raises(AwsError):
            cloud.ask(cloud.who(bare["Credentials"]), "s3:GetObject")
        with pytest.raises(AwsError):
            await cloud("GetFederationToken", guest, Name="guest")

    run(body)


def test_lambda_assumes_what_trusts_it(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        minter = cloud.services["sts"].operations["AssumeRole"].args[0].credentials
        arn = await cloud.role("f", {"Service": "lambda.amazonaws.com"}, allow("logs:*"))
        await minter.check(arn, "lambda.amazonaws.com")
        minted = await minter.mint(arn, "fn", service="lambda.amazonaws.com")
        held = cloud.identities.lookup(minted.access_key_id, minted.session_token)
        assert held is not None and held.secret == minted.secret_access_key
        assert held.expires_ms == minted.expires_ms == cloud.clock.ms + 3_600_000
        cloud.ask(held.principal, "logs:PutLogEvents")
        cloud.ask(minted.principal, "logs:PutLogEvents")
        with pytest.raises(AwsError):
            await minter.check(arn, "events.amazonaws.com")

    run(body)


def test_services_by_resource_policy_with_source(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        policy = json.loads(text({
            **allow("lambda:InvokeFunction"), "Principal": {"Service": "apigateway.amazonaws.com"},
            "Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws:execute-api:*:*:api1/*"}},
        }))  # fmt: skip
        for api, good in (("api1", True), ("api2", False)):
            source = ("aws:SourceArn", f"arn:aws:execute-api:us-east-1:{ACCOUNT}:{api}/$default")
            gateway = Principal("service", ACCOUNT, "apigateway.amazonaws.com", context=(source,))
            if good:
                cloud.ask(gateway, "lambda:InvokeFunction", "arn:f", policy)
                continue
            with pytest.raises(AwsError):
                cloud.ask(gateway, "lambda:InvokeFunction", "arn:f", policy)
        named = dataclasses.replace(gateway, arn="x", name="apigateway.amazonaws.com")
        with pytest.raises(AwsError):
            cloud.ask(named, "lambda:InvokeFunction", "arn:f")

    run(body)
