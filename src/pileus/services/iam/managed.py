"""AWS's own managed policies, by ARN: data in ``managed.json``, written from AWS's published
statements.

https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html
"""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

NOTHING = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"none:none","Resource":"*"}]}'
)


@functools.cache
def documents() -> dict[str, dict[str, Any]]:
    """ARN → {"name", "path", "description", "document"}."""
    text = resources.files("pileus.services.iam").joinpath("managed.json").read_text()
    out = {}
    for path, policies in json.loads(text).items():
        for name, about in policies.items():
            statements = [
                {"Effect": s.get("Effect", "Allow"), **s, "Resource": s.get("Resource", "*")}
                for s in about["Statement"]
            ]
            out[f"arn:aws:iam::aws:policy{path}{name}"] = {
                "name": name,
                "path": path,
                "description": about["Description"],
                "document": {"Version": "2012-10-17", "Statement": statements},
            }
    return out


@functools.lru_cache(maxsize=256)
def text(arn: str) -> str | None:
    """The JSON text of AWS's policy, or None when ``arn`` is none of them."""
    found = documents().get(arn)
    return None if found is None else json.dumps(found["document"])
