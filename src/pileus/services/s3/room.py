"""What the operations of this service share: the parts, and buckets read once per change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from pileus.errors import AwsError, Conflict
from pileus.services.call import Call, Parts
from pileus.services.s3 import faults, rows
from pileus.services.s3.datakeys import DataKeys
from pileus.services.s3.kms_answers import KmsAnswers
from pileus.services.s3.names import canonical_id, check_bucket, owner_of
from pileus.services.s3.publicness import is_public
from pileus.services.s3.rows import Meta
from pileus.services.s3.rules import locate
from pileus.services.s3.segments import Scratch
from pileus.state import keys

BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
ATTEMPTS_MAX = 10
# Rules that change an object; a bucket's notifications may ask for them.
NOTED = frozenset({"s3.put", "s3.delete", "s3.edit", "s3.complete_upload", "s3.restore"})
Told = Callable[["Bucket", str, Any, Call], list[Any]]


@dataclass(slots=True)
class Bucket:
    """A bucket and its settings, parsed. ``policy`` is the document; ``public`` whether it makes
    the bucket public; ``blocks`` bucket and account settings joined; ``accounts`` the cloud's
    accounts by canonical id."""

    name: str
    owner: str
    region: str
    created_ms: int
    versioning: str
    settings: dict[str, Any]
    policy: dict[str, Any] | None = None
    public: bool = False
    blocks: dict[str, bool] = field(default_factory=dict)
    acls: bool = False
    data_key: str = ""  # the id of the key of S3's own encryption, '' before the first object
    lock: dict[str, Any] | None = None  # None: no locks; else the default retention
    accounts: Mapping[str, str] = field(default_factory=dict)
    parsed: dict[str, Any] = field(default_factory=dict)  # settings as their readers parsed them
    meters: dict[str, int] = field(default_factory=dict)  # operation → its block of counters
    location: str = ""  # the old name of its region that it was asked for by, if it was

    @property
    def labels(self) -> dict[str, str]:
        """Its name to whoever counts."""
        return {"bucket": self.name, "account": self.owner, "region": self.region}

    def __post_init__(self) -> None:
        """Whether access control lists count in this bucket: not where its owner owns all."""
        told = self.settings.get("ownership")
        owned = told["Rules"][0]["ObjectOwnership"] if told else "ObjectWriter"
        self.acls = owned != "BucketOwnerEnforced"


class Room:
    """The parts of the service, bound to its operations by ``build``."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.store = parts.store
        self.blobs = parts.blobs
        self.clock = parts.clock
        self.config = parts.config
        self.dispatch = parts.dispatch
        self.keys = DataKeys(parts.store, parts.clock, parts.vault)
        self.kms = KmsAnswers(parts.store, parts.clock)
        self.scratch = Scratch()
        self.told: Told | None = None
        self.accounts = {canonical_id(a): a for a in parts.config.all_accounts()}
        self._buckets: dict[str, Bucket] = {}
        self._generation = -1
        self._watched: tuple[int, frozenset[str]] = (-1, frozenset())

    def count(self, call: Call, bucket: Bucket) -> None:
        """Have the request counted as one for this bucket."""
        if call.request is None:
            return
        block = bucket.meters.get(call.operation)
        if block is None:
            block = bucket.meters[call.operation] = self.parts.meters.requests(
                "pileus_request", service="s3", operation=call.operation, **bucket.labels
            )
        call.request.meter = block

    def owner_of(self, account: str) -> dict[str, str]:
        """Who owns a thing, as answers tell it."""
        return owner_of(account, self.config.s3_legacy_defaults)

    def bucket(self, name: str) -> Bucket:
        """The bucket, or ``NoSuchBucket`` / ``InvalidBucketName``."""
        generation = self.store.generation(rows.TABLE)
        if generation != self._generation:
            self._buckets = {}
            self._generation = generation
        found = self._buckets.get(name)
        if found is None:
            found = self._buckets[name] = self._read(name)
        return found

    def setting(self, call: Call, kind: str, code: str, message: str) -> Any:
        """A setting of the bucket that ``call`` names; 404 ``code`` where it has none."""
        name = call.params["Bucket"]
        told = self.bucket(name).settings.get(kind)
        if not told:
            raise AwsError(code, message, 404, fields={"BucketName": name})
        return told

    def _read(self, name: str) -> Bucket:
        record = self.store.get_json(rows.bucket(name))
        if record is None:
            check_bucket(name)
            raise faults.no_such_bucket(name)
        settings = {}
        for row in self.store.partition(rows.TABLE, rows.settings_partition(name)):
            settings[keys.split(row.key)[2].decode()] = orjson.loads(row.value)
        bucket = Bucket(
            name,
            record["owner"],
            record["region"],
            record["created_ms"],
            record.get("versioning", ""),
            settings,
            accounts=self.accounts,
        )
        bucket.lock = record.get("lock")
        bucket.data_key = record.get("data_key", "")
        bucket.location = record.get("location", "")
        told = settings.get("policy")
        bucket.policy = orjson.loads(told["text"]) if told else None
        bucket.public = is_public(bucket.policy)
        account = self.account_block(record["owner"])
        own = settings.get("public-access-block") or {}
        bucket.blocks = {b: bool(own.get(b) or account.get(b)) for b in BLOCKS}
        return bucket

    def account_block(self, account: str) -> dict[str, bool]:
        """The account's own public access block."""
        at = rows.account_setting(account, "public-access-block")
        return dict(self.store.get_json(at) or {})

    async def submit(self, rule: str, args: Any, call: Call) -> Any:
        """One entry of this call; a repeated call gets the first one's result."""
        if self.told is not None:
            events = self.told(self.bucket(args[0]), rule, args, call) if rule in NOTED else None
            if events:
                rule, args = "s3.noted", [rule, args, events]
        return await self.store.submit(rule, args, call.invocation_id)

    def watched(self) -> frozenset[str]:
        """The buckets whose every request matters: logged ones, those whose requesters pay."""
        generation = self.store.generation(rows.TABLE)
        if generation != self._watched[0]:
            found = self.store.partition(rows.TABLE, rows.WATCHED)
            names = (keys.split(row.key)[2].decode().partition("/")[0] for row in found)
            self._watched = (generation, frozenset(names))
        return self._watched[1]

    async def configure(self, call: Call, name: str, kind: str, value: Any) -> None:
        """Put (or remove, with None) one setting of a bucket."""
        told = None if value is None else orjson.dumps(value)
        await self.submit("s3.configure", [name, kind, told], call)

    # -- objects -------------------------------------------------------------------------------

    def version(self, call: Call, method: str) -> Meta:
        """The version that ``call`` means: one that has tags and locks, which a delete marker has
        not. ``method``: by which it is refused then."""
        params = call.params
        try:
            meta = self.find(params["Bucket"], params["Key"], params.get("VersionId"))[2]
        except AwsError as error:
            if ("x-amz-delete-marker", "true") in error.headers:
                raise faults.marker_in_the_way(method) from error
            raise
        if meta.marker:
            raise faults.marker_in_the_way(method)
        return meta

    def find(self, name: str, key: str, version: str | None = None) -> tuple[bytes, bytes, Meta]:
        """(row key, row value, description) of a version; delete markers included. Raises
        ``NoSuchKey`` (telling of a delete marker) or ``NoSuchVersion``."""
        at = rows.current(name, key)
        value = self.store.get(at)
        if version is None:
            if value is None:
                raise faults.no_such_key(key, self._marker_headers(name, key))
            return at, value, rows.describe(value)
        if version == "":
            raise faults.invalid_argument(
                "Version id cannot be the empty string", "versionId", version
            )
        wanted = "" if version == "null" else version
        if value is not None:
            meta = rows.describe(value)
            if meta.version == wanted:
                return at, value, meta
        if wanted and rows.order_of(version) is None:
            raise faults.invalid_argument("Invalid version id specified", "versionId", version)
        found = locate(self.store, name, key, version)
        value = self.store.get(found[0]) if found else None
        if found is None or value is None:
            raise faults.no_such_version(key, version)
        return found[0], value, found[1]

    def _marker_headers(self, name: str, key: str) -> tuple[tuple[str, str], ...]:
        if not self.bucket(name).versioning:
            return ()
        start, end = rows.versions_of(name, key)
        found = self.store.range(start, end, 1)
        if not found:
            return ()
        meta = rows.describe(found[0].value)
        if not meta.marker:
            return ()
        return (
            ("x-amz-delete-marker", "true"),
            ("x-amz-version-id", meta.version or "null"),
        )

    async def may_list(self, call: Call, name: str, key: str) -> bool:
        """Whether the caller may learn that a key does not exist (s3:ListBucket)."""
        try:
            await self.dispatch(
                "s3",
                "ListObjectsV2",
                {"Bucket": name, "Prefix": key, "MaxKeys": 0},
                principal=call.principal,
                region=call.region,
            )
        except AwsError as error:
            if error.status == 403:
                return False
            raise
        return True


async def again(work: Any) -> Any:
    """Run ``work()`` until nothing it read has changed meanwhile."""
    for _ in range(ATTEMPTS_MAX):
        try:
            return await work()
        except Conflict:
            continue
    raise AwsError(
        "OperationAborted",
        "A conflicting conditional operation is currently in progress against this resource."
        " Please try again.",
        409,
    )
