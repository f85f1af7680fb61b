"""AWS::IAM::Role, Policy, ManagedPolicy, User, Group, AccessKey, InstanceProfile."""

from __future__ import annotations

import json
from typing import Any

from pileus.errors import AwsError
from pileus.services.cloudformation.resources.kind import (
    Made,
    Properties,
    Site,
    need,
    tag_list,
    whole,
)


def _text(document: Any) -> str:
    return document if isinstance(document, str) else json.dumps(document)


SESSION_S = 3600  # of a role whose template tells none


class _Holder:
    """A role, user or group: something with inline and attached policies."""

    noun = ""
    replacing = frozenset({"RoleName", "UserName", "GroupName", "Path"})

    def _named(self, name: str) -> dict[str, str]:
        return {f"{self.noun}Name": name}

    async def _policies(self, site: Site, name: str, old: Properties, wish: Properties) -> None:
        who = self._named(name)
        before, after = (
            set(old.get("ManagedPolicyArns", [])),
            set(wish.get("ManagedPolicyArns", [])),
        )
        for arn in sorted(after - before):
            await site.call("iam", f"Attach{self.noun}Policy", PolicyArn=arn, **who)
        for arn in sorted(before - after):
            await site.gone("iam", f"Detach{self.noun}Policy", PolicyArn=arn, **who)
        had = {p["PolicyName"]: p for p in old.get("Policies", [])}
        has = {p["PolicyName"]: p for p in wish.get("Policies", [])}
        for policy in (p for n, p in has.items() if p != had.get(n)):
            text = _text(policy["PolicyDocument"])
            await site.call(
                "iam",
                f"Put{self.noun}Policy",
                PolicyName=policy["PolicyName"],
                PolicyDocument=text,
                **who,
            )
        for gone in sorted(set(had) - set(has)):
            await site.gone("iam", f"Delete{self.noun}Policy", PolicyName=gone, **who)

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await self._policies(site, made.physical_id, had, {})
        await site.gone("iam", f"Delete{self.noun}", **self._named(made.physical_id))


class Role(_Holder):
    noun = "Role"

    async def create(self, site: Site, wish: Properties) -> Made:
        (trust,) = need(wish, "AssumeRolePolicyDocument")
        name = wish.get("RoleName") or site.name(64)
        made = await site.call(
            "iam",
            "CreateRole",
            RoleName=name,
            AssumeRolePolicyDocument=_text(trust),
            Path=wish.get("Path"),
            Description=wish.get("Description"),
            MaxSessionDuration=whole(wish.get("MaxSessionDuration")),
            PermissionsBoundary=wish.get("PermissionsBoundary"),
            Tags=tag_list(wish, site) or None,
        )
        site.begun = Made(name)
        await self._policies(site, name, {}, wish)
        return Made(name, {"Arn": made["Role"]["Arn"], "RoleId": made["Role"]["RoleId"]})

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        name = made.physical_id
        if wish["AssumeRolePolicyDocument"] != old.get("AssumeRolePolicyDocument"):
            text = _text(wish["AssumeRolePolicyDocument"])
            await site.call("iam", "UpdateAssumeRolePolicy", RoleName=name, PolicyDocument=text)
        if any(wish.get(k) != old.get(k) for k in ("Description", "MaxSessionDuration")):
            await site.call(
                "iam",
                "UpdateRole",
                RoleName=name,
                Description=wish.get("Description", ""),
                MaxSessionDuration=whole(wish.get("MaxSessionDuration", SESSION_S)),
            )
        await self._policies(site, name, old, wish)
        return made


class User(_Holder):
    noun = "User"

    async def create(self, site: Site, wish: Properties) -> Made:
        name = wish.get("UserName") or site.name(64)
        tags = tag_list(wish, site) or None
        made = await site.call("iam", "CreateUser", UserName=name, Path=wish.get("Path"), Tags=tags)
        site.begun = Made(name)
        await self._policies(site, name, {}, wish)
        for group in wish.get("Groups", []):
            await site.call("iam", "AddUserToGroup", GroupName=group, UserName=name)
        return Made(name, {"Arn": made["User"]["Arn"]})

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        await self._policies(site, made.physical_id, old, wish)
        before, after = set(old.get("Groups", [])), set(wish.get("Groups", []))
        for group in sorted(after - before):
            await site.call("iam", "AddUserToGroup", GroupName=group, UserName=made.physical_id)
        for group in sorted(before - after):
            await site.gone(
                "iam", "RemoveUserFromGroup", GroupName=group, UserName=made.physical_id
            )
        return made

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        for group in had.get("Groups", []):
            await site.gone(
                "iam", "RemoveUserFromGroup", GroupName=group, UserName=made.physical_id
            )
        await super().delete(site, made, had)


class Group(_Holder):
    noun = "Group"

    async def create(self, site: Site, wish: Properties) -> Made:
        name = wish.get("GroupName") or site.name(64)
        made = await site.call("iam", "CreateGroup", GroupName=name, Path=wish.get("Path"))
        site.begun = Made(name)
        await self._policies(site, name, {}, wish)
        return Made(name, {"Arn": made["Group"]["Arn"]})

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        await self._policies(site, made.physical_id, old, wish)
        return made


class Policy:
    """An inline policy put on roles, users and groups named elsewhere."""

    replacing = frozenset({"PolicyName"})
    targets = (("Roles", "Role"), ("Users", "User"), ("Groups", "Group"))

    async def create(self, site: Site, wish: Properties) -> Made:
        name, document = need(wish, "PolicyName", "PolicyDocument")
        for property_, noun in self.targets:
            for target in wish.get(property_, []):
                await site.call(
                    "iam",
                    f"Put{noun}Policy",
                    PolicyName=name,
                    PolicyDocument=_text(document),
                    **{f"{noun}Name": target},
                )
        return Made(name, {})

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        removed = {p: sorted(set(old.get(p, [])) - set(wish.get(p, []))) for p, _ in self.targets}
        await self.delete(site, made, removed)
        return await self.create(site, wish)

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        for property_, noun in self.targets:
            for target in had.get(property_, []):
                await site.gone(
                    "iam",
                    f"Delete{noun}Policy",
                    PolicyName=made.physical_id,
                    **{f"{noun}Name": target},
                )


class ManagedPolicy:
    replacing = frozenset({"ManagedPolicyName", "Path", "Description"})

    async def create(self, site: Site, wish: Properties) -> Made:
        (document,) = need(wish, "PolicyDocument")
        made = await site.call(
            "iam",
            "CreatePolicy",
            PolicyName=wish.get("ManagedPolicyName") or site.name(128),
            PolicyDocument=_text(document),
            Path=wish.get("Path"),
            Description=wish.get("Description"),
        )
        arn = made["Policy"]["Arn"]
        site.begun = Made(arn)
        await self._attach(site, arn, {}, wish)
        return Made(arn, {"PolicyArn": arn, "PolicyId": made["Policy"]["PolicyId"]})

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        arn = made.physical_id
        if wish["PolicyDocument"] != old.get("PolicyDocument"):
            versions = (await site.call("iam", "ListPolicyVersions", PolicyArn=arn))["Versions"]
            spare = sorted(v["VersionId"] for v in versions if not v["IsDefaultVersion"])
            if len(versions) >= 5:
                await site.call("iam", "DeletePolicyVersion", PolicyArn=arn, VersionId=spare[0])
            text = _text(wish["PolicyDocument"])
            await site.call(
                "iam", "CreatePolicyVersion", PolicyArn=arn, PolicyDocument=text, SetAsDefault=True
            )
        await self._attach(site, arn, old, wish)
        return made

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        arn = made.physical_id
        await self._attach(site, arn, had, {})
        try:
            versions = (await site.call("iam", "ListPolicyVersions", PolicyArn=arn))["Versions"]
        except AwsError as e:
            if e.code != "NoSuchEntity":
                raise
            return
        for version in (v for v in versions if not v["IsDefaultVersion"]):
            await site.gone(
                "iam", "DeletePolicyVersion", PolicyArn=arn, VersionId=version["VersionId"]
            )
        await site.gone("iam", "DeletePolicy", PolicyArn=arn)

    @staticmethod
    async def _attach(site: Site, arn: str, old: Properties, wish: Properties) -> None:
        for property_, noun in Policy.targets:
            before, after = set(old.get(property_, [])), set(wish.get(property_, []))
            for target in sorted(after - before):
                who = {f"{noun}Name": target}
                await site.call("iam", f"Attach{noun}Policy", PolicyArn=arn, **who)
            for target in sorted(before - after):
                who = {f"{noun}Name": target}
                await site.gone("iam", f"Detach{noun}Policy", PolicyArn=arn, **who)


async def _set_status(site: Site, key_id: str, wish: Properties) -> None:
    status = wish.get("Status", "Active")
    who = {"UserName": wish["UserName"], "AccessKeyId": key_id}
    await site.call("iam", "UpdateAccessKey", **who, Status=status)


class AccessKey:
    replacing = frozenset({"UserName", "Serial"})

    async def create(self, site: Site, wish: Properties) -> Made:
        (user,) = need(wish, "UserName")
        key = (await site.call("iam", "CreateAccessKey", UserName=user))["AccessKey"]
        if wish.get("Status", "Active") != "Active":
            await _set_status(site, key["AccessKeyId"], wish)
        return Made(key["AccessKeyId"], {"SecretAccessKey": key["SecretAccessKey"]})

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        await _set_status(site, made.physical_id, wish)
        return made

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await site.gone(
            "iam", "DeleteAccessKey", UserName=had["UserName"], AccessKeyId=made.physical_id
        )


class InstanceProfile:
    """A name under which a machine gets a role."""

    replacing = frozenset({"InstanceProfileName", "Path"})

    async def create(self, site: Site, wish: Properties) -> Made:
        need(wish, "Roles")
        name = wish.get("InstanceProfileName") or site.name(128)
        made = await site.call(
            "iam", "CreateInstanceProfile", InstanceProfileName=name, Path=wish.get("Path")
        )
        site.begun = Made(name, {"Arn": made["InstanceProfile"]["Arn"]})
        return await self.update(site, site.begun, {}, wish)

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        before, after = set(old.get("Roles", [])), set(wish.get("Roles", []))
        named = {"InstanceProfileName": made.physical_id}
        for role in sorted(before - after):
            await site.gone("iam", "RemoveRoleFromInstanceProfile", RoleName=role, **named)
        for role in sorted(after - before):
            await site.call("iam", "AddRoleToInstanceProfile", RoleName=role, **named)
        return made

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await self.update(site, made, had, {})
        await site.gone("iam", "DeleteInstanceProfile", InstanceProfileName=made.physical_id)


KINDS: dict[str, Any] = {
    "AWS::IAM::Role": Role(),
    "AWS::IAM::User": User(),
    "AWS::IAM::Group": Group(),
    "AWS::IAM::Policy": Policy(),
    "AWS::IAM::ManagedPolicy": ManagedPolicy(),
    "AWS::IAM::AccessKey": AccessKey(),
    "AWS::IAM::InstanceProfile": InstanceProfile(),
}
