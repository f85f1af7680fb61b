"""What a bucket's listings must show: keys, common prefixes, versions, uploads, parts."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

from pileus.services.s3 import tally
from tests.simulation.buckets import KEYS, Buckets
from tests.simulation.promises import require

PREFIXES = ("", "", "a", "a/", "b", "ä", "nothing")
Shown = tuple[str, str, bool, bool]


async def check(buckets: Buckets) -> None:
    """Every object and version, and random listings of them."""
    for key in KEYS:
        await buckets.check_object(key, buckets.current(key), {})
        for version in buckets.versions.get(key, []):
            await buckets.check_object(key, version, {"versionId": version.id})
    for _ in range(4):
        await keys(buckets)
        await versions(buckets)
    await uploads(buckets)
    counted(buckets)


def counted(buckets: Buckets) -> None:
    """What the bucket's figures say it holds."""
    wanted: Counter[tuple[str, int]] = Counter()
    for version in itertools.chain(*buckets.versions.values()):
        kind = tally.MARKERS if version.marker else "STANDARD"
        wanted[kind, 0] += 1
        wanted[kind, 1] += len(version.body)
    for upload in buckets.uploads:
        wanted[tally.UPLOADS, 0] += len(upload.parts)
        wanted[tally.UPLOADS, 1] += sum(map(len, upload.parts.values()))
    told = tally.read(buckets.machine.life.store, buckets.name)
    found = {(kind, n): held[n] for kind, held in told.items() for n in (0, 1)}
    require(+wanted == +Counter(found), f"figures {told}, not {dict(wanted)}")


def _asked(buckets: Buckets) -> tuple[str, str, dict[str, Any]]:
    prefix, delimiter = buckets.rng.choice(PREFIXES), buckets.rng.choice(("", "/"))
    told: dict[str, Any] = {"Prefix": prefix, "MaxKeys": buckets.rng.choice((1, 2, 3, 1000))}
    return prefix, delimiter, told | ({"Delimiter": delimiter} if delimiter else {})


def _rolled(key: str, prefix: str, delimiter: str) -> str:
    """The common prefix ``key`` belongs to, '' for none."""
    head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
    return prefix + head + found if found else ""


def _by_bytes(keys_: Any) -> list[str]:
    return sorted(keys_, key=lambda k: k.encode())


async def keys(buckets: Buckets) -> None:
    """ListObjectsV2 or ListObjects, page by page."""
    prefix, delimiter, told = _asked(buckets)
    after = buckets.rng.choice(("", "", "a", "a/c", "b/"))
    newer = buckets.rng.random() < 0.5
    operation, name = ("ListObjectsV2", "StartAfter") if newer else ("ListObjects", "Marker")
    start: dict[str, Any] = {name: after} if after else {}
    found: list[str] = []
    while True:
        page = await buckets.bucket(operation, **told, **start)
        here = [i["Key"] for i in page["Contents"]] + [p["Prefix"] for p in page["CommonPrefixes"]]
        require(len(here) <= told["MaxKeys"], f"{operation} {told}: {len(here)} at once")
        found += _by_bytes(here)
        for item in page["Contents"]:
            version = buckets.current(item["Key"])
            right = version and (item["ETag"], item["Size"]) == (
                f'"{version.etag}"',
                len(version.body),
            )
            require(bool(right), f"{operation}: {item}, not {version}")
        if not page["IsTruncated"]:
            break
        last = {"Marker": page.get("NextMarker") or found[-1]}
        start = {"ContinuationToken": page["NextContinuationToken"]} if newer else last
    there = [k for k in KEYS if buckets.current(k) and k.startswith(prefix)]
    # ListObjectsV2 shows a common prefix as long as any key in it lies behind the start, and
    # ListObjects none that its marker lies in.
    past = {_rolled(k, prefix, delimiter) or k for k in there if k.encode() > after.encode()}
    inside = _rolled(after, prefix, delimiter) if after.startswith(prefix) else ""
    if inside and (inside == after or not newer):
        past.discard(inside)
    wanted = _by_bytes(past)
    require(found == wanted, f"{operation} {told} after {after!r}: {found}, not {wanted}")


async def versions(buckets: Buckets) -> None:
    """ListObjectVersions, page by page."""
    prefix, delimiter, told = _asked(buckets)
    start: dict[str, Any] = {}
    found: list[Shown] = []
    prefixes: list[str] = []
    while True:
        page = await buckets.bucket("ListObjectVersions", **told, **start)
        shown = [(v, False) for v in page["Versions"]] + [(m, True) for m in page["DeleteMarkers"]]
        found += [(v["Key"], v["VersionId"], v["IsLatest"], marker) for v, marker in shown]
        prefixes += [p["Prefix"] for p in page["CommonPrefixes"]]
        if not page["IsTruncated"]:
            break
        start = {"KeyMarker": page["NextKeyMarker"]}
        if page["NextVersionIdMarker"]:
            start["VersionIdMarker"] = page["NextVersionIdMarker"]
    wanted: list[Shown] = []
    rolled = set()
    for key in _by_bytes(k for k in buckets.versions if k.startswith(prefix)):
        if _rolled(key, prefix, delimiter):
            rolled.add(_rolled(key, prefix, delimiter))
            continue
        for at, version in enumerate(buckets.versions[key]):
            wanted.append((key, version.id, at == 0, version.marker))
    require(sorted(found) == sorted(wanted), f"versions {told}: {found}, not {wanted}")
    require(prefixes == _by_bytes(rolled), f"versions {told}: {prefixes}, not {rolled}")
    objects = [(k, i) for k, i, _, marker in found if not marker]
    order = [(k, i) for k, i, _, marker in wanted if not marker]
    require(objects == order, f"versions {told}: the order {objects}, not {order}")


async def uploads(buckets: Buckets) -> None:
    page = await buckets.bucket("ListMultipartUploads")
    found = {(u["Key"], u["UploadId"]) for u in page["Uploads"]}
    wanted = {(u.key, u.id) for u in buckets.uploads}
    require(found == wanted, f"uploads {found}, not {wanted}")
    for upload in buckets.uploads:
        listed = await buckets.bucket("ListParts", Key=upload.key, UploadId=upload.id)
        parts = {p["PartNumber"]: p["Size"] for p in listed["Parts"]}
        held = {n: len(b) for n, b in upload.parts.items()}
        require(parts == held, f"parts of {upload.key}: {parts}, not {held}")
