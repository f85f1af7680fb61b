"""S3: buckets, objects, versions, multipart uploads, web sites (DESIGN.md says how)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pileus.services.call import Call, Parts
from pileus.services.s3 import (
    accelerate,
    acl,
    attributes,
    bucket_encryption,
    bucket_policy,
    buckets,
    complete_upload,
    copy_object,
    cors,
    delete_object,
    inventory,
    lifecycle,
    list_objects,
    logging_config,
    multipart,
    notifications,
    object_lock,
    requester,
    restore_object,
    settings,
)
from pileus.services.s3.access import access
from pileus.services.s3.access_log import Journal
from pileus.services.s3.datakeys import rewrapped
from pileus.services.s3.documents import checked
from pileus.services.s3.events import Teller, noting, told
from pileus.services.s3.get_object import get_object, head_object
from pileus.services.s3.inventory_run import Inventories
from pileus.services.s3.lifecycle_apply import RULES as LIFECYCLE_RULES
from pileus.services.s3.lifecycle_run import Lifecycle
from pileus.services.s3.plain import Plain
from pileus.services.s3.post_object import post_object
from pileus.services.s3.put_object import put_object
from pileus.services.s3.room import Room
from pileus.services.s3.rules import RULES as OWN_RULES
from pileus.services.s3.settings_apply import RULES as SETTING_RULES
from pileus.services.s3.tally import RULES as TALLY_RULES
from pileus.services.s3.watching import watch
from pileus.services.s3.website import Website
from pileus.services.service import Operation, Service

__all__ = ["RULES", "Website", "build", "rewrapped"]

RULES = {
    **OWN_RULES,
    **SETTING_RULES,
    **LIFECYCLE_RULES,
    **TALLY_RULES,
    "s3.noted": noting({**OWN_RULES, **LIFECYCLE_RULES}),
}
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
    "PostObject": post_object,
    "CopyObject": copy_object.copy_object,
    "UploadPartCopy": copy_object.upload_part_copy,
    "CreateMultipartUpload": multipart.create_upload,
    "CompleteMultipartUpload": complete_upload.complete_upload,
    "AbortMultipartUpload": multipart.abort_upload,
    "ListParts": multipart.list_parts,
    "ListMultipartUploads": multipart.list_uploads,
    "GetObjectAttributes": attributes.get_attributes,
    "GetBucketPolicy": bucket_policy.get_policy,
    "PutBucketPolicy": bucket_policy.put_policy,
    "DeleteBucketPolicy": bucket_policy.delete_policy,
    "GetBucketPolicyStatus": bucket_policy.get_policy_status,
    "GetPublicAccessBlock": bucket_policy.get_block,
    "PutPublicAccessBlock": bucket_policy.put_block,
    "DeletePublicAccessBlock": bucket_policy.delete_block,
    "GetBucketOwnershipControls": bucket_policy.get_ownership,
    "PutBucketOwnershipControls": bucket_policy.put_ownership,
    "DeleteBucketOwnershipControls": bucket_policy.delete_ownership,
    "GetBucketEncryption": bucket_encryption.get_encryption,
    "PutBucketEncryption": bucket_encryption.put_encryption,
    "DeleteBucketEncryption": bucket_encryption.delete_encryption,
    "GetBucketVersioning": settings.get_versioning,
    "PutBucketVersioning": settings.put_versioning,
    "GetBucketTagging": settings.get_bucket_tagging,
    "PutBucketTagging": settings.put_bucket_tagging,
    "DeleteBucketTagging": settings.delete_bucket_tagging,
    "GetObjectTagging": settings.get_object_tagging,
    "PutObjectTagging": settings.put_object_tagging,
    "DeleteObjectTagging": settings.delete_object_tagging,
    "GetObjectLockConfiguration": object_lock.get_configuration,
    "PutObjectLockConfiguration": object_lock.put_configuration,
    "GetObjectRetention": object_lock.get_retention,
    "PutObjectRetention": object_lock.put_retention,
    "GetObjectLegalHold": object_lock.get_legal_hold,
    "PutObjectLegalHold": object_lock.put_legal_hold,
    "GetBucketWebsite": settings.get_website,
    "PutBucketWebsite": settings.put_website,
    "DeleteBucketWebsite": settings.delete_website,
    "GetBucketRequestPayment": requester.get_request_payment,
    "PutBucketRequestPayment": requester.put_request_payment,
    "GetBucketAccelerateConfiguration": accelerate.get_accelerate,
    "PutBucketAccelerateConfiguration": accelerate.put_accelerate,
    "GetBucketLogging": logging_config.get_logging,
    "PutBucketLogging": logging_config.put_logging,
    "GetBucketNotificationConfiguration": notifications.get_notification,
    "PutBucketNotificationConfiguration": notifications.put_notification,
    "GetBucketLifecycleConfiguration": lifecycle.get_lifecycle,
    "PutBucketLifecycleConfiguration": lifecycle.put_lifecycle,
    "DeleteBucketLifecycle": lifecycle.delete_lifecycle,
    "GetBucketInventoryConfiguration": inventory.get_inventory,
    "ListBucketInventoryConfigurations": inventory.list_inventories,
    "PutBucketInventoryConfiguration": inventory.put_inventory,
    "DeleteBucketInventoryConfiguration": inventory.delete_inventory,
    "RestoreObject": restore_object.restore_object,
}
DIRECT: dict[str, Callable[[Room, Call], Any]] = {
    "GetObject": get_object,
    "HeadObject": head_object,
    "PutObject": put_object,
    "DeleteObject": delete_object.delete_object,
    "UploadPart": multipart.upload_part,
}


def build(parts: Parts) -> Service:
    """The service over ``parts``. Who does the work for all tells functions what
    happened; each process delivers its own lines of access logs."""
    room = Room(parts)
    room.told = told
    journal = Journal(room)
    chores = (Lifecycle(room), Inventories(room))
    teller = Teller(parts, parts.owner)
    operations: dict[str, Operation] = {
        n: partial(checked(n, f), room) for n, f in OPERATIONS.items()
    }

    async def start() -> None:
        journal.start()

    async def begin() -> None:
        await buckets.index_owners(room)
        await buckets.count_held(room)
        teller.start()
        for chore in chores:
            await chore.start()

    async def cease() -> None:
        for chore in chores:
            await chore.stop()
        await teller.stop()

    async def stop() -> None:
        await journal.stop()

    return Service(
        "s3",
        operations,
        partial(access, room),
        direct={n: partial(f, room) for n, f in DIRECT.items()},
        objects=Plain(room),
        start=start,
        stop=stop,
        begin=begin,
        cease=cease,
        watch=partial(watch, room, journal),
    )
