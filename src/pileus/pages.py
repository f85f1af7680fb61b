"""Upload an application's built pages into a bucket of its stack: what changed, and nothing else.

Files that other files name (with a digest in their names) go first and the pages last, so that
nobody gets a page whose script is not there yet. Names no longer built stay: an open page may
still ask for them.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pileus.errors import Unavailable

Session = Callable[[str], Any]
HASHED = re.compile(r"[-.][0-9A-Za-z_-]{8,}\.[\w.]+$")  # app-4F2AB9QX.js, app.4f2ab9c1.css
FOR_EVER = "public, max-age=31536000, immutable"


def upload(
    session: Session, stack: str, directory: Path, wish: dict[str, Any], outputs: dict[str, str]
) -> int:
    """Copy ``wish["Directory"]`` to ``wish["Bucket"]``, the stack's outputs to ``wish["Config"]``,
    and end what ``wish["Distribution"]`` keeps of files that changed; how many were sent."""
    source = directory / wish["Directory"]
    if not source.exists():
        raise Unavailable(f"{source} does not exist", "build it first: make setup")
    found = session("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    physical = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in found}
    s3, bucket = session("s3"), physical[wish["Bucket"]]
    files = {f.relative_to(source).as_posix(): f.read_bytes() for f in _files(source)}
    if "Config" in wish:
        files[wish["Config"]] = json.dumps(outputs, sort_keys=True).encode()
    had = _etags(s3, bucket)
    changed = [name for name, data in files.items() if had.get(name) != _etag(data)]
    changed.sort(key=lambda name: (name.endswith((".html", ".htm")), name))
    if changed:
        with click.progressbar(changed, label=f"{'pages':<14}", file=sys.stderr) as bar:
            for name in bar:
                _put(s3, bucket, name, files[name])
    ended = [name for name in changed if name in had]
    if ended and "Distribution" in wish:
        session("cloudfront").create_invalidation(
            DistributionId=physical[wish["Distribution"]],
            InvalidationBatch={
                "Paths": {"Quantity": 1, "Items": ["/*"]},
                "CallerReference": str(time.time_ns()),
            },
        )
    return len(changed)


def _files(source: Path) -> list[Path]:
    return sorted(p for p in source.rglob("*") if p.is_file())


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def _etags(s3: Any, bucket: str) -> dict[str, str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {o["Key"]: o["ETag"] for page in pages for o in page.get("Contents", [])}


def _put(s3: Any, bucket: str, name: str, data: bytes) -> None:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if kind.startswith("text/") or kind in ("application/json", "application/javascript"):
        kind += "; charset=utf-8"
    s3.put_object(
        Bucket=bucket,
        Key=name,
        Body=data,
        ContentType=kind,
        CacheControl=FOR_EVER if HASHED.search(name) else "no-cache",
    )
