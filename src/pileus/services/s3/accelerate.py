"""Transfer acceleration: the wish is kept and told; there is nothing nearer than this machine.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketAccelerateConfiguration.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call
from pileus.services.s3 import faults
from pileus.services.s3.room import Room

KIND = "accelerate"


def get_accelerate(room: Room, call: Call) -> dict[str, Any]:
    told = room.bucket(call.params["Bucket"]).settings.get(KIND)
    return {"Status": told["Status"]} if told else {}


async def put_accelerate(room: Room, call: Call) -> None:
    name = call.params["Bucket"]
    status = (call.params.get("AccelerateConfiguration") or {}).get("Status")
    if "." in name:
        raise faults.invalid_request(
            "S3 Transfer Acceleration is not supported for buckets with periods (.) in their names"
        )
    if status not in ("Enabled", "Suspended"):
        raise faults.malformed_xml()
    await room.configure(call, name, KIND, {"Status": status})
