"""IAM, STS and the authoriser over a real store, driven without a door."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pileus.config import Config
from pileus.services import iam, sts
from pileus.services.call import Access, Call, HttpRequest, Parts, Principal
from pileus.services.iam.bootstrap import bootstrap, seal
from pileus.services.iam.credentials import Minter
from pileus.services.iam.identities import Identities
from pileus.state.store import Store
from pileus.wire.authorize import Authorizer
from tests.beds import Run, StepClock, over

ACCOUNT = "000000000000"
ROOT = Principal.owner(ACCOUNT)


class Cloud:
    """``await cloud("CreateUser", UserName="bob")``; ``as_`` says who calls."""

    def __init__(self, parts: Parts, identities: Identities) -> None:
        self.store, self.clock, self.identities = parts.store, parts.clock, identities
        self.services = {"iam": iam.build(parts), "sts": sts.build(parts)}
        self.authorizer = Authorizer(identities)

    async def __call__(self, operation: str, as_: Principal = ROOT, **params: Any) -> Any:
        name = next(n for n, s in self.services.items() if operation in s.operations)
        service = self.services[name]
        call = Call(name, operation, as_, "us-east-1", params)
        self.authorizer.check(call, service.access(call))
        answer = service.operations[operation](call)
        return (await answer if inspect.isawaitable(answer) else answer) or {}

    def ask(
        self, who: Principal, action: str, resource: str = "*", policy: Any = None, owner: str = "",
        remote: str = "127.0.0.1", **context: Any,
    ) -> None:  # fmt: skip
        """Raises AccessDenied unless ``who`` may."""
        request = HttpRequest("POST", "/", "", {"user-agent": "test"}, remote=remote)
        call = Call(action.split(":")[0], "X", who, "us-east-1", {}, request=request)
        self.authorizer.check(call, [Access(action, resource, policy, owner, context)])

    def who(self, key: dict[str, Any]) -> Principal:
        """The principal behind credentials as IAM or STS answer them."""
        held = self.identities.lookup(key["AccessKeyId"], key.get("SessionToken"))
        assert held is not None and held.secret == key["SecretAccessKey"]
        return held.principal

    async def user(self, name: str, *statements: dict[str, Any], **more: Any) -> Principal:
        """A user with an access key and an inline policy of these statements."""
        await self("CreateUser", UserName=name, **more)
        if statements:
            await self(
                "PutUserPolicy", UserName=name, PolicyName="p", PolicyDocument=text(*statements)
            )
        return self.who((await self("CreateAccessKey", UserName=name))["AccessKey"])

    async def role(self, name: str, trust: Any, *statements: dict[str, Any], **more: Any) -> str:
        """A role's ARN; ``trust`` is the Principal element or a whole statement."""
        whole = trust if isinstance(trust, dict) and "Effect" in trust else {
            "Effect": "Allow", "Principal": trust, "Action": "sts:AssumeRole"}  # fmt: skip
        made = await self("CreateRole", RoleName=name, AssumeRolePolicyDocument=text(whole), **more)
        if statements:
            await self(
                "PutRolePolicy", RoleName=name, PolicyName="p", PolicyDocument=text(*statements)
            )
        return str(made["Role"]["Arn"])


def text(*statements: dict[str, Any]) -> str:
    import json

    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(*actions: str, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource, **more}


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[Cloud]:
    clock = StepClock()
    config = Config(home=home)
    store = await Store.open(home, {}, clock)
    try:
        await bootstrap(store, clock, config)
        box = seal(store)
        assert box is not None
        identities = Identities(store, box)

        async def no_dispatch(*args: Any, **kwargs: Any) -> dict[str, Any]:
            raise AssertionError("IAM calls no other service")

        parts = Parts(store, None, clock, config, no_dispatch)
        parts.credentials = Minter(identities, box, clock)
        yield Cloud(parts, identities)
    finally:
        await store.close()


@pytest.fixture
def run(tmp_path: Path) -> Run[Cloud]:
    """Run a coroutine function over fresh services."""
    return over(lambda: opened(tmp_path))
