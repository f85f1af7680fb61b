"""What time does to keys: their window ends, their rotation falls due."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pileus.config import Config
from pileus.errors import AwsError, Unavailable
from pileus.services import kms
from pileus.services.call import Call, Parts, Principal
from pileus.services.kms import rotation
from pileus.services.kms.room import DAY_MS, Room
from pileus.services.vault import Vault
from pileus.state.store import Store
from tests.beds import StepClock

ACCOUNT = "000000000000"
OWNER = Principal.owner(ACCOUNT)


class Clock(StepClock):
    """Its random bytes are counted, so that no two keys have the same name."""

    count = 0

    def random_bytes(self, n: int) -> bytes:
        self.count += 1
        return self.count.to_bytes(n, "big")


class Desk:
    """The service in this process."""

    def __init__(self, store: Any, clock: Clock) -> None:
        async def none(*args: Any, **kwargs: Any) -> dict[str, Any]:
            raise AssertionError("KMS calls no other service")

        config = Config(home=Path("/nonexistent"))
        parts = Parts(store, None, clock, config, none, vault=Vault(bytes(32)), background=False)
        self.room, self.service = Room(parts), kms.build(parts)

    async def __call__(self, operation: str, retry: bytes = b"", **params: Any) -> Any:
        call = Call("kms", operation, OWNER, "us-east-1", params, "", retry)
        self.service.access(call)
        answer = self.service.operations[operation](call)
        return await answer if asyncio.iscoroutine(answer) else answer


def on_desk(tmp_path: Path, body: Any) -> None:
    async def whole() -> None:
        clock = Clock()
        store = await Store.open(tmp_path, {}, clock)  # type: ignore[arg-type]
        try:
            await body(Desk(store, clock), clock, store)
        finally:
            await store.close()

    asyncio.run(whole())


def test_a_key_is_gone_when_its_window_is_over(tmp_path: Path) -> None:
    async def body(desk: Desk, clock: Clock, store: Store) -> None:
        key = (await desk("CreateKey"))["KeyMetadata"]["KeyId"]
        await desk("CreateAlias", AliasName="alias/a", TargetKeyId=key)
        await desk("ScheduleKeyDeletion", KeyId=key, PendingWindowInDays=7)
        clock.ms += 7 * DAY_MS - 1
        await rotation.sweep(desk.room)
        told = (await desk("DescribeKey", KeyId=key))["KeyMetadata"]
        assert told["KeyState"] == "PendingDeletion"
        clock.ms += 1
        with pytest.raises(AwsError, match="does not exist"):  # at once, swept or not
            await desk("DescribeKey", KeyId=key)
        await rotation.sweep(desk.room)
        assert (await desk("ListKeys"))["Keys"] == []
        assert (await desk("ListAliases"))["Aliases"] == []

    on_desk(tmp_path, body)


def test_a_repeated_call_has_one_effect_and_one_answer(tmp_path: Path) -> None:
    async def body(desk: Desk, clock: Clock, store: Store) -> None:
        first = await desk("CreateKey", b"1" * 16)
        clock.ms += 5
        assert await desk("CreateKey", b"1" * 16) == first
        key = first["KeyMetadata"]["KeyId"]
        assert [k["KeyId"] for k in (await desk("ListKeys"))["Keys"]] == [key]
        who = {"KeyId": key, "GranteePrincipal": OWNER.arn, "Operations": ["Decrypt"]}
        grant = await desk("CreateGrant", b"2" * 16, **who)
        assert await desk("CreateGrant", b"2" * 16, **who) == grant
        await desk("RotateKeyOnDemand", b"3" * 16, KeyId=key)
        await desk("RotateKeyOnDemand", b"3" * 16, KeyId=key)
        assert len((await desk("ListKeyRotations", KeyId=key))["Rotations"]) == 1
        going = await desk("ScheduleKeyDeletion", b"4" * 16, KeyId=key)
        clock.ms += 5
        assert await desk("ScheduleKeyDeletion", b"4" * 16, KeyId=key) == going
        with pytest.raises(AwsError, match="pending deletion"):
            await desk("ScheduleKeyDeletion", KeyId=key)

    on_desk(tmp_path, body)


def test_a_key_rotates_when_its_period_is_over(tmp_path: Path) -> None:
    async def body(desk: Desk, clock: Clock, store: Store) -> None:
        key = (await desk("CreateKey"))["KeyMetadata"]["KeyId"]
        await desk("EnableKeyRotation", KeyId=key, RotationPeriodInDays=90)
        blob = (await desk("Encrypt", KeyId=key, Plaintext=b"p"))["CiphertextBlob"]
        for passed, count in ((90 * DAY_MS - 1, 0), (1, 1), (DAY_MS, 1), (89 * DAY_MS, 2)):
            clock.ms += passed
            await rotation.sweep(desk.room)
            done = (await desk("ListKeyRotations", KeyId=key))["Rotations"]
            assert len(done) == count
        assert {r["RotationType"] for r in done} == {"AUTOMATIC"}
        assert (await desk("Decrypt", CiphertextBlob=blob))["Plaintext"] == b"p"

    on_desk(tmp_path, body)


def test_a_wrapped_key_opens_under_its_own_name_and_root_only() -> None:
    vault = Vault(bytes(32))
    wrapped = vault.wrap(b"k" * 32, "kms/a/0", bytes(12))
    assert vault.unwrap(wrapped, "kms/a/0") == b"k" * 32
    changed = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
    for other, name, data in (
        (vault, "kms/a/1", wrapped),
        (vault, "kms/a/0", changed),
        (vault, "kms/a/0", b""),
        (Vault(b"r" * 32), "kms/a/0", wrapped),
    ):
        with pytest.raises(Unavailable, match="damaged"):
            other.unwrap(data, name)
