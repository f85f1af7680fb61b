"""Dynamic references: texts in a resource's properties that name a stored value.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references-ssm.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pileus.services.call import Dispatch, Principal
from pileus.services.cloudformation.template import invalid

REFERENCE = re.compile(r"\{\{resolve:([a-z-]+):([^{}]+)\}\}")


async def resolved(value: Any, dispatch: Dispatch, principal: Principal, region: str) -> Any:
    """``value`` with ``{{resolve:ssm:NAME}}`` and ``{{resolve:ssm:NAME:VERSION}}`` carried out, as
    ``principal`` may read parameters. ``ValidationError`` for the other kinds."""
    told: dict[str, str] = {}
    for service, name in sorted(set(_found(value))):
        if service != "ssm":
            raise invalid(f"The dynamic reference {service} is not offered by Pileus")
        asked = {"Name": name}
        answer = await dispatch("ssm", "GetParameter", asked, principal=principal, region=region)
        parameter = answer["Parameter"]
        if parameter["Type"] == "SecureString":
            raise invalid(f"SSM Secure reference is not supported in: [{name}]")
        told[name] = str(parameter["Value"])
    return _replaced(value, told) if told else value


def _found(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield from REFERENCE.findall(value)
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _found(item)


def _replaced(value: Any, told: dict[str, str]) -> Any:
    if isinstance(value, str):
        return REFERENCE.sub(lambda match: told[match[2]], value)
    if isinstance(value, dict):
        return {k: _replaced(v, told) for k, v in value.items()}
    return [_replaced(v, told) for v in value] if isinstance(value, list) else value
