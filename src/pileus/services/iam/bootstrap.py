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
OWNER = keys.key(rows.TABLE, "cluster", "owner")


async def bootstrap(store: Any, clock: Any, config: Config) -> None:
    """Make what is missing; write the owner's key to ``credentials.json``, readable by its owner
    only."""
    seal = base64.b64encode(clock.random_bytes(32)).decode()
    key_id = rows.unique_id("AKIA", clock.random_bytes(24))[:20]
    secret = base64.b64encode(clock.random_bytes(30)).decode()

    def change(draft: Any) -> dict[str, str]:
        if draft.get(SEAL) is None:
            draft.put_json(SEAL, {"secret": seal})
        owner = draft.get_json(OWNER)
        if owner is not None:
            return dict(owner)
        owner = {"access_key_id": key_id, "secret_access_key": secret}
        draft.put_json(OWNER, owner)
        draft.put_json(
            rows.access_key_key(key_id),
            {
                "id": key_id,
                "secret": secret,
                "account": config.account,
                "user": "",
                "status": "Active",
                "created": draft.now_ms,
            },
        )
        return owner

    _protect(store.home)
    _write(config, await store.transact(change))


def _protect(home: Path) -> None:
    """The state holds secrets: its files are for the home's owner only (SQLite gives files it
    adds the mode of the first)."""
    for file in home.glob("state.db*"):
        file.chmod(0o600)


def _write(config: Config, owner: dict[str, str]) -> None:
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
