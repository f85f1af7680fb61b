"""PublishVersion, ListVersionsByFunction.

https://docs.aws.amazon.com/lambda/latest/api/API_PublishVersion.html
"""

from __future__ import annotations

import copy
import hashlib
from base64 import b64encode
from typing import Any

import orjson

from pileus.services.call import Call
from pileus.services.lambda_ import rows, settings
from pileus.services.lambda_.functions import listed, page_of
from pileus.services.lambda_.names import FunctionName, called_function, invalid
from pileus.services.lambda_.room import Record, Room
from pileus.state.draft import Draft


async def publish_version(room: Room, call: Call) -> dict[str, Any]:
    """Freeze ``$LATEST`` as the next number; unchanged since the last one: answer that one."""
    params = call.params
    name = called_function(call)

    def change(draft: Draft, record: Record) -> dict[str, Any]:
        expected = params.get("CodeSha256")
        actual = b64encode(bytes.fromhex(record["code"]["digest"])).decode()
        if expected and expected != actual:
            raise invalid(
                f"CodeSHA256 ({expected}) is different from current CodeSHA256 in $LATEST"
                f" ({actual}). Please try again with the CodeSHA256 in $LATEST."
            )
        published = publish(room, draft, name, record, params.get("Description") or "")
        return settings.describe(name, published)

    return await room.edit(call, name, change, params.get("RevisionId"))


def publish(
    room: Room, draft: Draft, name: FunctionName, record: Record, description: str
) -> Record:
    """Write a version row from the function's row ``record``, which the caller then puts."""
    # A description alone makes no new version. (The empty text keeps the digests of old rows.)
    seen = orjson.dumps([record["config"], record["code"], ""], option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(seen).hexdigest()
    if record["published"] == digest:
        kept = draft.get_json(rows.version(name, record["last_version"]))
        if kept is not None:
            return kept
    record["last_version"] += 1
    record["published"] = digest
    number = str(record["last_version"])
    version = {
        "name": name.name,
        "version": number,
        "config": copy.deepcopy(record["config"]),
        "code": record["code"],
        "modified": record["modified"],
        "revision": rows.new_id(room.clock),
    }
    if description:
        version["config"]["Description"] = description
    record["revision"] = rows.new_id(room.clock)  # to be published is a change
    draft.put_json(rows.version(name, number), version)
    rows.hold_blobs(draft, name, version)
    return version


def list_versions_by_function(room: Room, call: Call) -> dict[str, Any]:
    """``$LATEST`` first, then the numbers in order."""
    name = called_function(call)
    function = room.function(name)
    marker, size = page_of(call)
    found, more = rows.page(room.store, name.place, f"v/{name.name}/", marker, size)
    items = [settings.summarize(name, version) for version in found]
    if not marker:
        items.insert(0, settings.summarize(name, function, qualified=True))
    return listed("Versions", items, more)
