"""What a long-running service finds in its environment, and where its own files are.

The variables are those of a container on AWS where there are such (ECS developer guide, "Task IAM
role": credentials come from an address, so that they can be renewed while the program runs).
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from pileus.runtime import jail
from pileus.runtime.environment import CERTIFICATES, NODE, TASK, trusting
from pileus.runtime.longrunning import ServiceSpec

CREDENTIALS_PATH = "/credentials"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where things are for one copy: constant in the jail, the host's own without one."""

    task: str = TASK
    node: str = NODE
    node_modules: str = "/var/runtime/node_modules"
    api: str = f"http://127.0.0.1:{jail.API_PORT}"
    proxy: str = f"http://127.0.0.1:{jail.PROXY_PORT}"
    credentials: str = f"http://127.0.0.1:{jail.RUNTIME_API_PORT}{CREDENTIALS_PATH}"
    certificates: str = CERTIFICATES


def variables(
    spec: ServiceSpec, around: Surroundings, copy: str, token: str, port: int
) -> dict[str, str]:
    """The whole environment of a copy. The service's own variables may set all but the last."""
    python = os.path.join(sys.prefix, "bin")
    values = {
        "LANG": "C.UTF-8",
        "TZ": ":UTC",
        "PATH": f"{around.task}/bin:{os.path.dirname(around.node)}:{python}"
        ":/usr/local/bin:/usr/bin:/bin",
        "LD_LIBRARY_PATH": f"{around.task}/lib",
        "HOME": "/tmp",
        "NODE_PATH": f"{around.task}/node_modules:{around.node_modules}",
        "PYTHONUNBUFFERED": "1",
        "AWS_ENDPOINT_URL": around.api,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
    if around.proxy:
        names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        values |= dict.fromkeys(names, around.proxy)
        values["NODE_USE_ENV_PROXY"] = "1"
    values |= trusting(around.certificates)
    values |= dict(spec.environment)
    values |= {
        "AWS_REGION": spec.region,
        "AWS_DEFAULT_REGION": spec.region,
        "PILEUS_SERVICE": spec.name,
        "PILEUS_COPY": copy,
    }
    if port:
        values |= {"PORT": str(port), "HOST": "127.0.0.1"}
    if spec.credentials.access_key_id:
        values["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = around.credentials
        values["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = token
    return values
