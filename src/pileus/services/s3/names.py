"""Names of buckets and keys (S3 user guide, "Bucket naming rules", "Object key naming")."""

from __future__ import annotations

import re
from urllib.parse import quote

from pileus.errors import AwsError
from pileus.policy.principals import canonical_id
from pileus.services.call import Call

KEY_BYTES_MAX = 1024
__all__ = [
    "bucket_arn",
    "canonical_id",
    "check_bucket",
    "check_key",
    "check_namespace",
    "initiator_of",
    "location_of",
    "object_arn",
    "owner_of",
]
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}\Z")
_REGIONAL = re.compile(r".+-\d{12}-[a-z]{2,}(-[a-z]+)+-\d+-an\Z", re.ASCII)
NAMESPACE = "x-amz-bucket-namespace"
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


def check_namespace(name: str, told: str | None, account: str, region: str) -> None:
    """Names that end in an account, a region and ``-an`` are that account's there, and are asked
    for as such: ``told``, account-regional or global (S3 user guide, "Namespaces for general
    purpose buckets")."""
    if told not in (None, "global", "account-regional"):
        raise AwsError(
            "InvalidArgument",
            f"Invalid {NAMESPACE} header: {told}",
            fields={"ArgumentName": NAMESPACE, "ArgumentValue": told},
        )
    own = f"-{account}-{region}-an"
    if told == "account-regional":
        if not (name.endswith(own) and len(name) > len(own)):
            raise AwsError(
                "InvalidNamespaceHeader",
                f"A bucket of this account's regional namespace has a name that ends in {own}; this"
                f" one does not, though {NAMESPACE} is account-regional.",
            )
    elif _REGIONAL.match(name):
        code = "MissingNamespaceHeader" if told is None else "InvalidNamespaceHeader"
        raise AwsError(
            code,
            "The name ends as those of an account's regional namespace do: it can be had only with"
            f" {NAMESPACE}: account-regional.",
        )


def check_key(key: str) -> str:
    """The key, or the error of one that is too long, not UTF-8, or climbs above its root: read from
    left to right ``..`` must never be more than the other segments (user guide, "Naming Amazon S3
    objects")."""
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
    if ".." in key and _climbs(key):
        raise AwsError("InvalidURI", "Couldn't parse the specified URI.", fields={"URI": key})
    return key


def _climbs(key: str) -> bool:
    depth = 0
    for segment in key.split("/"):
        depth += -1 if segment == ".." else 1 if segment not in ("", ".") else 0
        if depth < 0:
            return True
    return False


def owner_of(account: str, named: bool) -> dict[str, str]:
    """Who owns a thing, as answers tell it; ``named`` as S3 told it before November 2025. The name
    shown is the account's number."""
    name = {"DisplayName": account} if named else {}
    return {**name, "ID": canonical_id(account)}


def initiator_of(account: str, arn: str) -> dict[str, str]:
    """Who began an upload: the account itself, or a user or session of it by its ARN. S3 goes on
    telling its name."""
    if not arn or arn.endswith(":root") or not arn.startswith("arn:"):
        return owner_of(account, named=True)
    return {"DisplayName": arn.rpartition("/")[2], "ID": arn}


def bucket_arn(name: str) -> str:
    return f"arn:aws:s3:::{name}"


def object_arn(name: str, key: str) -> str:
    return f"arn:aws:s3:::{name}/{key}"


def location_of(call: Call, bucket: str, key: str) -> str:
    """The object's URL at the address the request came to, in its style. S3 writes a key's slashes
    as %2F here."""
    told = quote(key, safe="")
    request = call.request
    host = request.headers.get("host", "") if request is not None else ""
    if request is None or not host:
        return f"https://{bucket}.s3.{call.region}.amazonaws.com/{told}"
    path = told if host.startswith(f"{bucket}.") else f"{bucket}/{told}"
    return f"{request.scheme}://{host}/{path}"
