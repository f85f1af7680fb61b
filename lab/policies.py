"""Policy documents that many need who try a cloud."""

from __future__ import annotations

import json
from typing import Any

VERSION = "2012-10-17"
# A function's role may be assumed by functions.
TRUST: dict[str, Any] = {
    "Version": VERSION,
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def public_read(bucket: str) -> str:
    """A bucket's policy: everyone may read its objects."""
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    return json.dumps({"Version": VERSION, "Statement": [statement]})
