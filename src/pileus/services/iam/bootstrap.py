"""The first start: the owner's access key and the key that seals sessions, recorded by one
entry."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

from pileus.config import Config
from pileus.services.iam import rows
from pileus.services.iam.credentials import Seal
from pileus.state import keys

SEAL = keys.key(rows.TABLE, "cluster", "seal")


async def bootstrap(store: Any, clock: Any, config: Config) -> None:
    """Make what is missing; write the owner's key to ``credentials.json``, readable by its owner
    only."""
    seal = base64.b64encode(clock.random_bytes(32)).decode()
    fresh = {account: _fresh_key(clock, account) for account in config.all_accounts()}

    def change(draft: Any) -> dict[str, dict[str, str]]:
        if draft.get(SEAL) is None:
            draft.put_json(SEAL, {"secret": seal})
        return {account: _owner(draft, account, key) for account, key in fresh.items()}

    _protect(store.home)
    owners = await store.transact(change)
    _write(config, owners.pop(config.account) | ({"accounts": owners} if owners else {}))


def _fresh_key(clock: Any, account: str) -> dict[str, str]:
    return {
        "id": rows.unique_id("AKIA", clock.random_bytes(24))[:20],
        "secret": base64.b64encode(clock.random_bytes(30)).decode(),
        "account": account,
        "user": "",
        "status": "Active",
    }


def _owner(draft: Any, account: str, fresh: dict[str, str]) -> dict[str, str]:
    """The account's owner key, made when there is none yet."""
    place = keys.key(rows.TABLE, "cluster", f"owner/{account}")
    owner = draft.get_json(place)
    if owner is not None:
        return dict(owner)
    owner = {"access_key_id": fresh["id"], "secret_access_key": fresh["secret"]}
    draft.put_json(place, owner)
    draft.put_json(rows.access_key_key(fresh["id"]), fresh | {"created": draft.now_ms})
    return owner


def _protect(home: Path) -> None:
    """The state holds secrets: its files are for the home's owner only (SQLite gives files it
    adds the mode of the first)."""
    for file in home.glob("state.db*"):
        file.chmod(0o600)


def _write(config: Config, owner: dict[str, Any]) -> None:
    file = config.path("credentials.json")
    text = json.dumps(owner)
    if file.exists() and file.read_text() == text:
        return
    new = file.with_suffix(".new")
    fd = os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as f:
        f.write(text)
        f.flush()
        os.fsync(f.fileno())
    new.rename(file)


def seal(store: Any) -> Seal | None:
    """The cluster's seal, once ``bootstrap`` has run."""
    found = store.get_json(SEAL)
    return None if found is None else Seal(base64.b64decode(found["secret"]))
