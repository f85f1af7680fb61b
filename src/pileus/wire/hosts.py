"""What the Host header of a request names."""

from __future__ import annotations

import re

OWN = ("s3", "console")  # NAME.localhost that is no bucket
_VIRTUAL = re.compile(r"(.+)\.s3(?:[.-][a-z0-9-]+)*\.(?:localhost|amazonaws\.com)\Z")
_LOCAL = re.compile(r"(.+)\.localhost\Z")


def bare(host: str) -> str:
    """The host without its port, in lower case."""
    return host.lower().rsplit(":", 1)[0] if not host.endswith("]") else host


def bucket_of_host(host: str) -> str:
    """The bucket of a virtual-hosted request, else ''."""
    name = bare(host)
    if not name.endswith(("localhost", ".amazonaws.com")):
        return ""
    found = _VIRTUAL.match(name)
    if found is not None:
        return found[1]
    found = _LOCAL.match(name)
    own = found is not None and (found[1] in OWN or found[1].startswith(("s3.", "s3-")))
    if found is None or own:
        return ""
    return found[1]
