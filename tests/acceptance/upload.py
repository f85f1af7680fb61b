"""A large upload that outlives the node it began at (S6, B1).

``python -m tests.acceptance.upload --mib 2048`` does it on three fresh nodes and tells times.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lab.rig import RigNode, until
from tests.acceptance.nodes import ASKING, PATIENT, Cloud, rigged, whole

PART_BYTES = 8 * 1024**2
PIECE_BYTES = 1024**2


def part(number: int, size: int) -> bytes:
    return random.Random(number).randbytes(size)


def continued(cloud: Cloud, bucket: str, key: str, parts: int, size: int) -> dict[str, float]:
    """Upload ``parts`` parts of ``size`` bytes: the first half through the first node, which dies
    in the middle of one more; the rest, and the end, through the second; read through the third.
    ``AssertionError`` when its SHA-256 is not what was sent. Answers seconds by phase."""
    first, second, third = cloud.rig.nodes
    begun = time.monotonic()
    s3 = cloud.client("s3", first, PATIENT)
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    about = {"Bucket": bucket, "Key": key, "UploadId": upload}
    told, sent = [], hashlib.sha256()
    half = parts // 2

    def send(s3: Any, number: int) -> None:
        data = part(number, size)
        answer = s3.upload_part(**about, PartNumber=number, Body=data)
        sent.update(data)
        told.append({"PartNumber": number, "ETag": answer["ETag"]})

    for number in range(1, half + 1):
        send(s3, number)
    at_half = time.monotonic()
    interrupted = _dies_in_the_middle(first, lambda: send(s3, half + 1))
    through = cloud.client("s3", second, ASKING)
    for number in range(len(told) + 1, parts + 1):
        send(through, number)
    through.complete_multipart_upload(**about, MultipartUpload={"Parts": told})
    ended = time.monotonic()
    found = _sum(cloud, third, bucket, key)
    assert found == (parts * size, sent.hexdigest()), "not the bytes that were sent"
    return {
        "first half": at_half - begun,
        "the rest": ended - at_half,
        "read": time.monotonic() - ended,
        "a part was cut off": float(interrupted),
    }


def _dies_in_the_middle(node: RigNode, send: Any) -> bool:
    """Kill the node while it is being sent a part; whether that part failed."""
    killer = threading.Timer(0.05, node.kill)
    killer.start()
    try:
        send()
        return False
    except (BotoCoreError, ClientError):
        return True
    finally:
        killer.join()


def _sum(cloud: Cloud, node: RigNode, bucket: str, key: str) -> tuple[int, str]:
    body = cloud.client("s3", node, ASKING).get_object(Bucket=bucket, Key=key)["Body"]
    size, found = 0, hashlib.sha256()
    while piece := body.read(PIECE_BYTES):
        size += len(piece)
        found.update(piece)
    return size, found.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=2048)
    parser.add_argument("--part-mib", type=int, default=32)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="upload-") as base:
        with rigged(3, Path(base), disk_mb=1024 + 3 * asked.mib) as rig:
            rig.form()
            cloud = Cloud(rig)
            first = rig.nodes[0]
            cloud.keys = first.keys()
            until(lambda: whole(first), 60, "three nodes that see each other alive")
            cloud.client("s3", first).create_bucket(Bucket="large")
            size = asked.part_mib * 1024**2
            took = continued(cloud, "large", "file", asked.mib // asked.part_mib, size)
    told = ", ".join(f"{name} {value:.1f}" for name, value in took.items())
    print(f"{asked.mib} MiB in parts of {asked.part_mib} MiB, SHA-256 equal: {told} (seconds)")


if __name__ == "__main__":
    main()
