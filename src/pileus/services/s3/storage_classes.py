"""Storage classes: their order, which of them are archives, how long each delays a read.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html
On one machine every class lies on the same disk. What differs is told in docs/storage-classes.md.
"""

from __future__ import annotations

from pileus.errors import AwsError
from pileus.services.s3.rows import Meta

HEADER = "x-amz-storage-class"
STANDARD = "STANDARD"
# From warm to cold: lifecycle moves a version in this direction only.
RANKS = {
    "STANDARD": 0,
    "REDUCED_REDUNDANCY": 0,
    "STANDARD_IA": 1,
    "INTELLIGENT_TIERING": 2,
    "ONEZONE_IA": 3,
    "GLACIER_IR": 4,
    "GLACIER": 5,
    "DEEP_ARCHIVE": 6,
}
ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
ELSEWHERE = frozenset({"OUTPOSTS", "SNOW", "EXPRESS_ONEZONE", "FSX_OPENZFS", "FSX_ONTAP"})


def of(meta: Meta) -> str:
    """A version's class."""
    return meta.headers.get(HEADER, STANDARD)


def check(told: str | None) -> str:
    """The class a write asks for; ``InvalidStorageClass`` for a word that is none."""
    if told is None or told in RANKS:
        return told or STANDARD
    if told in ELSEWHERE:
        raise AwsError("NotImplemented", f"The storage class {told} is not offered by Pileus.", 501)
    raise AwsError(
        "InvalidStorageClass",
        "The storage class you specified is not valid",
        fields={"StorageClassRequested": told},
    )


def put_into(headers: dict[str, str], name: str) -> None:
    """Note a class among the headers a version answers with: STANDARD is not told."""
    if name == STANDARD:
        headers.pop(HEADER, None)
    else:
        headers[HEADER] = name
