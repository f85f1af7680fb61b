"""Names of buckets and keys (S3 user guide, "Bucket naming rules", "Object key naming")."""

from __future__ import annotations

import hashlib
import re

from pileus.errors import AwsError

KEY_BYTES_MAX = 1024
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}\Z")
_RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def check_bucket(name: str) -> str:
    """The name, or ``InvalidBucketName``."""
    bad = (
        not _BUCKET.match(name)
        or ".." in name
        or ".-" in name
        or "-." in name
        or _ADDRESS.match(name)
        or name.startswith(_RESERVED_PREFIXES)
        or name.endswith(_RESERVED_SUFFIXES)
    )
    if bad:
        raise AwsError(
            "InvalidBucketName", "The specified bucket is not valid.", fields={"BucketName": name}
        )
    return name


def check_key(key: str) -> str:
    """The key, or the error of one that is too long or not UTF-8."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise AwsError("InvalidURI", "Couldn't parse the specified URI.") from None
    if size > KEY_BYTES_MAX:
        raise AwsError(
            "KeyTooLongError",
            "Your key is too long",
            fields={"Size": size, "MaxSizeAllowed": KEY_BYTES_MAX},
        )
    return key


def canonical_id(account: str) -> str:
    """An account's canonical user id: 64 hexadecimal digits."""
    return hashlib.sha256(f"pileus-canonical-{account}".encode()).hexdigest()


def bucket_arn(name: str) -> str:
    return f"arn:aws:s3:::{name}"


def object_arn(name: str, key: str) -> str:
    return f"arn:aws:s3:::{name}/{key}"
