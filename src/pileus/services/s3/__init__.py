"""S3: buckets, objects, versions, multipart uploads, web sites (DESIGN.md says how)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pileus.services.call import Call, Operation, Parts, Service
from pileus.services.s3 import acl, buckets, cors, delete_object, list_objects
from pileus.services.s3.access import access
from pileus.services.s3.get_object import get_object, head_object
from pileus.services.s3.put_object import put_object
from pileus.services.s3.room import Room
from pileus.services.s3.rules import RULES

__all__ = ["RULES", "build"]

OPERATIONS: dict[str, Callable[[Room, Call], Any]] = {
    "CreateBucket": buckets.create_bucket,
    "HeadBucket": buckets.head_bucket,
    "ListBuckets": buckets.list_buckets,
    "DeleteBucket": buckets.delete_bucket,
    "GetBucketLocation": buckets.get_location,
    "DeleteObjects": delete_object.delete_objects,
    "ListObjects": list_objects.list_objects,
    "ListObjectsV2": list_objects.list_objects_v2,
    "ListObjectVersions": list_objects.list_object_versions,
    "GetBucketAcl": acl.get_bucket_acl,
    "PutBucketAcl": acl.put_bucket_acl,
    "GetObjectAcl": acl.get_object_acl,
    "PutObjectAcl": acl.put_object_acl,
    "GetBucketCors": cors.get_cors,
    "PutBucketCors": cors.put_cors,
    "DeleteBucketCors": cors.delete_cors,
    "PreflightRequest": cors.preflight,
}
DIRECT: dict[str, Callable[[Room, Call], Any]] = {
    "GetObject": get_object,
    "HeadObject": head_object,
    "PutObject": put_object,
    "DeleteObject": delete_object.delete_object,
}


def build(parts: Parts) -> Service:
    """The service over ``parts``."""
    room = Room(parts)
    operations: dict[str, Operation] = {n: partial(f, room) for n, f in OPERATIONS.items()}
    return Service(
        "s3",
        operations,
        partial(access, room),
        direct={n: partial(f, room) for n, f in DIRECT.items()},
    )
