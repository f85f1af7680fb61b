"""The keys of S3's own encryption (SSE-S3): one per bucket, wrapped by the root key.

A key's row outlives its bucket: a copy in another bucket shares the source's blob and so its key.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pileus.errors import Unavailable
from pileus.services.s3 import rows
from pileus.services.vault import KEY_BYTES, NONCE_BYTES, Rewrap, Vault
from pileus.state import keys

ID_BYTES = 8


class DataKeys:
    """Data keys by id, unwrapped when first needed and kept in memory; they never change."""

    def __init__(self, store: Any, clock: Any, vault: Vault) -> None:
        assert isinstance(vault, Vault), "S3 encrypts: it needs the root key"
        self._store, self._clock, self._vault = store, clock, vault
        self._secrets: dict[str, bytes] = {}

    def secret(self, key_id: str) -> bytes:
        """The key; ``Unavailable`` when it is lost or damaged."""
        found = self._secrets.get(key_id)
        if found is None:
            wrapped = self._store.get(rows.data_key(key_id))
            if wrapped is None:
                raise Unavailable(f"the data key {key_id} is missing", "pileus verify")
            found = self._secrets[key_id] = self._vault.unwrap(wrapped, _name(key_id))
        return found

    async def of_bucket(self, bucket: Any) -> str:
        """The id of the bucket's key, which is made for its first object."""
        if bucket.data_key:
            return str(bucket.data_key)
        key_id = self._clock.random_bytes(ID_BYTES).hex()
        secret, nonce = self._clock.random_bytes(KEY_BYTES), self._clock.random_bytes(NONCE_BYTES)
        wrapped = self._vault.wrap(secret, _name(key_id), nonce)
        return str(await self._store.submit("s3.data_key", [bucket.name, key_id, wrapped], b""))

    def etag(self, md5: bytes) -> str:
        """What stands for a body's MD5 where that must not be told (SSE-KMS, SSE-C): the same for
        the same bytes, so that a repeated upload is recognised."""
        return self._vault.mark(md5)[:16].hex()


def _name(key_id: str) -> str:
    return f"s3/{key_id}"


def rewrapped(store: Any, rewrap: Rewrap) -> Iterator[tuple[bytes, bytes]]:
    """Every data key's row under another root key (``pileus rekey``)."""
    start = keys.table_prefix(rows.DATA_KEYS)
    for row in store.range(start, keys.after_prefix(start), 10_000_000):
        yield row.key, rewrap(row.value, _name(keys.split(row.key)[1].decode()))
