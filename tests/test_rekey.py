"""Another root key: every key opens under it, whenever the change was cut off (I1, B3)."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from pileus import rekey
from pileus.assembly import RULES
from pileus.config import Config
from pileus.engine.embedded.clock import SystemClock
from pileus.errors import Unavailable
from pileus.services import vault
from pileus.services.kms import rows as kms_rows
from pileus.services.s3 import rows as s3_rows
from pileus.services.sns import rows as sns_rows
from pileus.state.store import Store
from tests.conftest import Cloud, pileus

KEYS = 30


class Cut(BaseException):
    """The process dies here."""


def secret(n: int) -> bytes:
    return bytes([n]) * 32


def kms_key(n: int) -> bytes:
    return kms_rows.key("1", "us-east-1", f"k{n}")


async def opened(config: Config) -> Store:
    return await Store.open(config.home, RULES, SystemClock())


def made(config: Config) -> None:
    """A state with keys of every kind."""

    async def go() -> None:
        store, clock = await opened(config), SystemClock()
        await vault.prepare(store, clock, config)
        root = vault.unlocked(store, config)
        assert root is not None
        for n in range(KEYS):
            wrapped = root.wrap(secret(n), f"s3/d{n}", clock.random_bytes(12))
            told = base64.b64encode(root.wrap(secret(n), f"kms/k{n}/0", clock.random_bytes(12)))
            row = json.dumps({"materials": [{"wrapped": told.decode()}]}).encode()
            await store.submit("write", [[s3_rows.data_key(f"d{n}"), wrapped], [kms_key(n), row]])
        told = base64.b64encode(root.wrap(secret(KEYS), "sns/signing", clock.random_bytes(12)))
        row = json.dumps({"wrapped": told.decode(), "certificate": "c"}).encode()
        await store.submit("write", [[sns_rows.SIGNING_KEY, row]])
        await store.close()

    config.home.mkdir(parents=True, exist_ok=True)
    asyncio.run(go())


def all_open(config: Config) -> str:
    """Start as a cloud does and open every key; answers the root key's fingerprint."""
    vault.check(config)

    async def go() -> str:
        store = await opened(config)
        root = vault.unlocked(store, config)
        assert root is not None
        for n in range(KEYS):
            found = store.get(s3_rows.data_key(f"d{n}"))
            assert found is not None and root.unwrap(found, f"s3/d{n}") == secret(n)
            row: Any = store.get_json(kms_key(n))
            wrapped = base64.b64decode(row["materials"][0]["wrapped"])
            assert root.unwrap(wrapped, f"kms/k{n}/0") == secret(n)
        row = store.get_json(sns_rows.SIGNING_KEY)
        opens = root.unwrap(base64.b64decode(row["wrapped"]), "sns/signing")
        assert (opens, row["certificate"]) == (secret(KEYS), "c")
        await store.close()
        return root.fingerprint

    return asyncio.run(go())


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = Config(home=tmp_path / "home")
    made(config)
    return config


def test_every_key_opens_under_the_new_root_key_alone(config: Config) -> None:
    before, old = all_open(config), vault.root_key_path(config).read_bytes()
    done = rekey.rekey(config, lambda line: None)
    assert (done.keys, done.entries) == (2 * KEYS + 1, 1)
    assert done.old.read_bytes() == old and done.old.stat().st_mode & 0o777 == 0o600
    assert all_open(config) != before
    vault.root_key_path(config).write_bytes(old)
    with pytest.raises(Unavailable, match="not the root key"):
        vault.check(config)


@pytest.mark.parametrize("parts", (1, 5))
def test_a_change_that_was_cut_off(
    config: Config, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    """Before each entry, after the last one, and between the files' renamings."""
    if parts > 1:
        monkeypatch.setattr(rekey, "ENTRY_BYTES_MAX", 1500)
    before = all_open(config)
    cuts = 0
    while cut_off(config, cuts):
        cuts += 1
        try:
            all_open(config)  # the cloud starts, with the one key or the other
        except Unavailable as error:
            assert "pileus rekey" in error.hint and parts > 1
    assert cuts > parts and all_open(config) != before


def cut_off(config: Config, after: int) -> bool:
    """Whether the process died, at its step number ``after``: an entry, or the files' renaming."""
    steps = iter(range(after + 1))

    def step() -> None:
        if next(steps) == after:
            raise Cut

    submit, changed = Store.submit, vault.changed

    async def cut_submit(self: Store, *args: Any) -> Any:
        step()
        return await submit(self, *args)

    def cut_changed(config: Config) -> Path:
        step()
        return changed(config)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "submit", cut_submit)
        patch.setattr(vault, "changed", cut_changed)
        try:
            rekey.rekey(config, lambda line: None)
        except Cut:
            return True
    return False


def test_a_lost_next_key_is_asked_for(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rekey, "ENTRY_BYTES_MAX", 1500)
    submit, seen = Store.submit, []

    async def second_fails(self: Store, *args: Any) -> Any:
        seen.append(args)
        if len(seen) == 2:
            raise Cut
        return await submit(self, *args)

    monkeypatch.setattr(Store, "submit", second_fails)
    with pytest.raises(Cut):
        rekey.rekey(config, lambda line: None)
    monkeypatch.setattr(Store, "submit", submit)
    path = vault.root_key_path(config)
    following = path.with_name("root.key.next")
    kept = following.read_bytes()
    following.unlink()
    with pytest.raises(Unavailable, match="wrapped with it already"):
        rekey.rekey(config, lambda line: None)
    following.write_bytes(kept)
    rekey.rekey(config, lambda line: None)
    all_open(config)


def test_through_the_command(own_cloud: Cloud) -> None:
    s3, kms = own_cloud.client("s3"), own_cloud.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    sealed = kms.encrypt(KeyId=key, Plaintext=b"hello")["CiphertextBlob"]
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="own", Body=b"x" * 100_000)
    how = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
    s3.put_object(Bucket="kept", Key="kms", Body=b"y", **how)
    home = ("--home", str(own_cloud.home))
    refused = pileus("rekey", *home)
    assert refused.returncode and "already runs" in refused.stderr
    own_cloud.down()
    root = (own_cloud.home / "root.key").read_bytes()
    done = pileus("rekey", *home, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["keys"] >= 2 and Path(told["old"]).read_bytes() == root
    assert (own_cloud.home / "root.key").read_bytes() != root
    Path(told["old"]).unlink()
    own_cloud.up()
    s3, kms = own_cloud.client("s3"), own_cloud.client("kms")
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"hello"
    assert s3.get_object(Bucket="kept", Key="own")["Body"].read() == b"x" * 100_000
    assert s3.get_object(Bucket="kept", Key="kms")["Body"].read() == b"y"
