"""The root key: what every key kept in the state is wrapped with, and itself never in the state.

It is 32 random bytes in a file of its own (``Config.root_key_file``, else ``root.key`` in the home)
that only the home's owner can read. Whoever holds the rest of the disk but not this file reads no
encrypted byte. The state keeps a fingerprint, so that a wrong or missing file stops the start
instead of being replaced by a new key under which nothing opens. decisions/0004 says what for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from pathlib import Path
from typing import Any

import apsw
import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pileus.config import Config
from pileus.engine.damage import damaged
from pileus.errors import Unavailable
from pileus.state import keys
from pileus.state.database import VALUE, connect_reader

MARK = keys.key("vault", "cluster", "root")
KEY_BYTES, NONCE_BYTES = 32, 12


class Vault:
    """Wraps keys under the root key, each bound to its name."""

    def __init__(self, root: bytes) -> None:
        assert len(root) == KEY_BYTES
        self._wrapping = AESGCM(_derived(root, b"pileus-wrap"))
        self._marking = _derived(root, b"pileus-etag")
        self.fingerprint = _derived(root, b"pileus-mark").hex()[:32]

    def wrap(self, secret: bytes, name: str, nonce: bytes) -> bytes:
        """``secret`` sealed, to be opened under the same ``name``; ``nonce``: 12 random bytes."""
        return nonce + self._wrapping.encrypt(nonce, secret, name.encode())

    def mark(self, data: bytes) -> bytes:
        """32 bytes that stand for ``data`` and tell nothing of it to who has not the root key."""
        return hashlib.blake2b(data, key=self._marking, digest_size=32).digest()

    def unwrap(self, wrapped: bytes, name: str) -> bytes:
        """The secret; ``Unavailable`` when the bytes are damaged or belong to another name."""
        try:
            nonce, sealed = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
            return self._wrapping.decrypt(nonce, sealed, name.encode())
        except (InvalidTag, ValueError) as error:
            raise Unavailable(
                f"the wrapped key {name} is damaged", "pileus verify; restore a backup"
            ) from error


class Rewrap:
    """From one root key to the next; what has made it already (a run was interrupted) stays."""

    def __init__(self, old: Vault, new: Vault, clock: Any) -> None:
        self._old, self._new, self._clock = old, new, clock
        self.count = 0

    def __call__(self, wrapped: bytes, name: str) -> bytes:
        """``wrapped`` under the next root key. ``Unavailable`` when neither opens it."""
        self.count += 1
        try:
            self._new.unwrap(wrapped, name)
            return wrapped
        except Unavailable:
            secret = self._old.unwrap(wrapped, name)
            return self._new.wrap(secret, name, self._clock.random_bytes(NONCE_BYTES))


def _derived(root: bytes, purpose: bytes) -> bytes:
    return hashlib.blake2b(key=root, person=purpose, digest_size=KEY_BYTES).digest()


def root_key_path(config: Config) -> Path:
    """Where the root key lies."""
    told = config.root_key_file
    return Path(told).expanduser() if told else config.path("root.key")


async def prepare(store: Any, clock: Any, config: Config) -> None:
    """The first start makes the root key and records its fingerprint; later ones change nothing.
    Run by the writer before ``unlocked``."""
    if store.get(MARK) is not None:
        return
    path = root_key_path(config)
    if not path.exists():
        _write(path, clock.random_bytes(KEY_BYTES))
    fingerprint = Vault(_read(path)).fingerprint
    await store.transact(lambda draft: draft.put_json(MARK, {"fingerprint": fingerprint}))


def unlocked(store: Any, config: Config) -> Vault | None:
    """The vault of this cloud; None until ``prepare`` has run. ``Unavailable`` when the root key
    is not there, cannot be read, or is another cloud's."""
    mark = store.get_json(MARK)
    return None if mark is None else _open(mark, config)


def check(config: Config) -> None:
    """``Unavailable`` where ``unlocked`` would raise it: to be asked before anything is started.
    A change of the root key that the state has made is finished here."""
    state = config.path("state.db")
    if not state.exists():
        return
    connection = connect_reader(state)
    try:
        found: list[Any] = connection.execute(VALUE, (MARK,)).fetchall()
    except apsw.Error as error:
        if not damaged(error):
            raise
        return  # the writer sees to it first, and asks again
    finally:
        connection.close()
    if not found:
        return
    mark = orjson.loads(found[0][0])
    if _fits(_beside(config, ".next"), mark["fingerprint"]):
        changed(config)
    _open(mark, config)


def _open(mark: dict[str, str], config: Config) -> Vault:
    path = root_key_path(config)
    if "next" in mark:
        raise Unavailable(
            "a change of the root key was interrupted", "run `pileus rekey` again: it goes on"
        )
    vault = Vault(_read(path))
    if vault.fingerprint != mark["fingerprint"]:
        raise Unavailable(
            f"{path} is not the root key of this cloud",
            "put its own root key there: what is encrypted opens under no other",
        )
    return vault


# -- another root key --------------------------------------------------------------------------


def _beside(config: Config, suffix: str) -> Path:
    path = root_key_path(config)
    return path.with_name(path.name + suffix)


def _fits(path: Path, fingerprint: str) -> bool:
    return path.exists() and Vault(_read(path)).fingerprint == fingerprint


def next_keys(mark: dict[str, str], config: Config, clock: Any) -> tuple[Vault, Vault]:
    """The root key the state is wrapped with and the next one, which is durable from here on: one
    that an interrupted change has left is used again."""
    if _fits(_beside(config, ".next"), mark["fingerprint"]):
        changed(config)  # the last change lacked only this
    old = _open({"fingerprint": mark["fingerprint"]}, config)
    path = _beside(config, ".next")
    if not path.exists():
        if "next" in mark:
            raise Unavailable(
                f"{path} is not there, but keys are wrapped with it already",
                "put it back: it was made when `pileus rekey` was interrupted",
            )
        _write(path, clock.random_bytes(KEY_BYTES))
    new = Vault(_read(path))
    if mark.get("next", new.fingerprint) != new.fingerprint:
        raise Unavailable(
            f"{path} is not the key that an interrupted `pileus rekey` made", "put that one back"
        )
    return old, new


def changed(config: Config) -> Path:
    """Give the next root key the name of the present one, which is kept beside it; answers where.
    Safe at every moment: a start finds the right one by its fingerprint."""
    path, old = root_key_path(config), _beside(config, ".old")
    if path.exists():
        _write(old, _read(path))
    _beside(config, ".next").rename(path)
    _sync(path.parent)
    return old


def _read(path: Path) -> bytes:
    try:
        root = base64.b64decode(path.read_bytes().strip(), validate=True)
    except OSError as error:
        raise Unavailable(
            f"the root key {path} cannot be read ({error.strerror})",
            "put the copy you kept there (docs/operations.md): without it nothing encrypted opens",
        ) from error
    except (binascii.Error, ValueError):
        root = b""
    if len(root) != KEY_BYTES:
        raise Unavailable(f"{path} holds no root key", "put the copy you kept there")
    return root


def _write(path: Path, root: bytes) -> None:
    """Durable before anything is wrapped with it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(path.name + ".new")
    fd = os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(base64.b64encode(root) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
    _sync(path.parent)


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
