"""Which runtime names are taken: current, retired (mapped to what runs them), not built.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
"""

from __future__ import annotations

import re

from pileus.services.lambda_.names import invalid

CURRENT = (
    "nodejs20.x", "nodejs22.x", "nodejs24.x", "python3.10", "python3.11", "python3.12",
    "python3.13", "python3.14", "provided.al2", "provided.al2023",
)  # fmt: skip
RETIRED = (
    "nodejs", "nodejs4.3", "nodejs6.10", "nodejs8.10", "nodejs10.x", "nodejs12.x", "nodejs14.x",
    "nodejs16.x", "nodejs18.x", "python2.7", "python3.6", "python3.7", "python3.8", "python3.9",
    "provided",
)  # fmt: skip
_FAMILY = re.compile(r"(nodejs|python|provided)")


def check_runtime(name: str) -> None:
    """``InvalidParameterValueException`` for a name AWS does not know or nothing here runs."""
    if name in CURRENT or name in RETIRED:
        return
    known = ", ".join(sorted(CURRENT))
    if re.match(r"(java|dotnet|go1|ruby)", name):
        raise invalid(
            f"The runtime {name} is not built here. Use one of [{known}], or provided.al2023 with"
            " a bootstrap of your own."
        )
    raise invalid(
        f"Value {name} at 'runtime' failed to satisfy constraint: Member must satisfy enum value"
        f" set: [{known}] or be a valid ARN"
    )


def warning(name: str) -> str:
    """What to tell the owner of a function with a retired runtime; '' for a current one."""
    if name not in RETIRED:
        return ""
    family = _FAMILY.match(name)
    assert family is not None
    return f"The runtime {name} is retired; this cloud's current {family[1]} runtime runs it."
