"""What a function finds in its environment, and which program runs it.

Names: Lambda developer guide, "Defined runtime environment variables". Ours beyond AWS's: the
endpoint and the proxies, the two ways out of a worker's network.
"""

from __future__ import annotations

import platform
import re
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pileus.errors import Unavailable
from pileus.runtime import jail
from pileus.runtime.function import FunctionSpec
from pileus.runtime.log import now_ms

TASK, LAYERS = "/var/task", "/opt"
CERTIFICATES = "/var/runtime/certificates"  # of ``root``
NODE, NODE_CLIENT = "/var/lang/bin/node", "/var/runtime/client/client.mjs"
PYTHON = re.compile(r"python\d+\.\d+")
NODEJS = re.compile(r"nodejs(\d*)(\.x|\.\d+)?")
CUSTOM = re.compile(r"provided(\.\w+)?")


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are for a worker: constant in the jail, the host's own without one."""

    task: str = TASK
    layers: str = LAYERS
    node: str = NODE
    node_client: str = NODE_CLIENT
    node_modules: str = "/var/runtime/node_modules"
    api: str = f"http://127.0.0.1:{jail.API_PORT}"
    proxy: str = f"http://127.0.0.1:{jail.PROXY_PORT}"
    runtime_api: str = f"127.0.0.1:{jail.RUNTIME_API_PORT}"
    certificates: str = CERTIFICATES


def language(runtime: str) -> str:
    """``python``, ``node`` or ``custom``; ``Unavailable`` for a runtime nothing here can run."""
    for pattern, name in ((PYTHON, "python"), (NODEJS, "node"), (CUSTOM, "custom")):
        if pattern.fullmatch(runtime):
            return name
    raise Unavailable(f"no worker for the runtime {runtime!r}", "use python, nodejs or provided")


def log_stream(spec: FunctionSpec, day: str) -> str:
    """A worker's own stream. ``day`` as ``2026/01/31``."""
    prefix = spec.log_stream_prefix or f"{day}/[{spec.version}]"
    return f"{prefix}{uuid.uuid4().hex}"


def variables(spec: FunctionSpec, places: Places, stream: str) -> dict[str, str]:
    """The whole environment of a worker. The function's own variables may set all but the
    reserved ones."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    settable = {
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": f"/var/lang/bin:/usr/local/bin:/usr/bin:/bin:{places.layers}/bin",
        "LD_LIBRARY_PATH": f"{places.task}:{places.task}/lib:{places.layers}/lib",
        "HOME": "/tmp",
        "NODE_PATH": ":".join((
            f"{places.layers}/nodejs/node_modules", places.node_modules, places.task,
        )),
        "PYTHONPATH": f"{places.layers}/python"
        f":{places.layers}/python/lib/python{version}/site-packages",
        "AWS_ENDPOINT_URL": places.api,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }  # fmt: skip
    if places.proxy:
        names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        settable |= dict.fromkeys(names, places.proxy)
        settable["NODE_USE_ENV_PROXY"] = "1"
    settable |= trusting(places.certificates)
    return settable | dict(spec.environment) | _reserved(spec, places, stream)


def trusting(certificates: str) -> dict[str, str]:
    """Whom programs trust: the world's authorities, and the one of TLS at our own door
    (``authority``). Node.js adds to its own list, the others need both in one file."""
    if not certificates:
        return {}
    everyone = f"{certificates}/all.pem"
    return {
        "NODE_EXTRA_CA_CERTS": f"{certificates}/ours.pem",
        "SSL_CERT_FILE": everyone,
        "REQUESTS_CA_BUNDLE": everyone,
    }


def _reserved(spec: FunctionSpec, places: Places, stream: str) -> dict[str, str]:
    values = {
        "_HANDLER": spec.handler,
        "AWS_REGION": spec.region,
        "AWS_DEFAULT_REGION": spec.region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{spec.runtime}",
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": spec.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": spec.log_group or f"/aws/lambda/{spec.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": stream,
        "AWS_LAMBDA_LOG_FORMAT": spec.log_format,
        "AWS_LAMBDA_RUNTIME_API": places.runtime_api,
        "LAMBDA_TASK_ROOT": places.task,
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
    }
    credentials = spec.credentials
    if credentials.access_key_id:
        values["AWS_ACCESS_KEY_ID"] = credentials.access_key_id
        values["AWS_SECRET_ACCESS_KEY"] = credentials.secret_access_key
        values["AWS_SESSION_TOKEN"] = credentials.session_token
    return values


def arguments(
    spec: FunctionSpec, places: Places, exists: Callable[[str], bool]
) -> list[str] | None:
    """The command line of a worker; None: the zygote's own Python runs it. ``exists`` tells
    whether a file is in the code (``task/…``) or the layers (``layers/…``)."""
    kind = language(spec.runtime)
    if kind == "python":
        return None
    if kind == "node":
        heap_mb = max(32, spec.memory_mb * 9 // 10)
        return [places.node, f"--max-old-space-size={heap_mb}", places.node_client]
    in_code = exists("task/bootstrap") or not exists("layers/bootstrap")
    return [f"{places.task if in_code else places.layers}/bootstrap"]


def python_path(places: Places) -> list[str]:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return [
        places.task,
        f"{places.layers}/python",
        f"{places.layers}/python/lib/python{version}/site-packages",
    ]


def check_architecture(spec: FunctionSpec, machine: str = platform.machine()) -> None:
    """Code for another processor cannot run here; ``Unavailable`` says so."""
    wanted = {"x86_64": "x86_64", "arm64": "aarch64"}.get(spec.architecture, spec.architecture)
    if wanted != machine and language(spec.runtime) == "custom":
        raise Unavailable(
            f"{spec.name} is built for {spec.architecture}, this node is {machine}",
            "add a node of that architecture",
        )


def settings(
    spec: FunctionSpec, places: Places, stream: str, argv: list[str] | None
) -> Mapping[str, object]:
    """What ``python_worker`` and the zygote's exec need beside the confinement."""
    return {
        "handler": spec.handler,
        "env": variables(spec, places, stream),
        "path": python_path(places),
        "task": places.task,
        "argv": argv,
        "log_json": spec.log_format == "JSON",
        "log_level": spec.environment.get("AWS_LAMBDA_LOG_LEVEL", ""),
        "started_ms": now_ms(),
    }
