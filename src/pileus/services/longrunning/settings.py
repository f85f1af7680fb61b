"""What a service is told to be: parameters as callers write them, and as rows keep them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pileus.errors import AwsError, Unavailable
from pileus.runtime.environment import language
from pileus.runtime.jail import API_PORT, PROXY_PORT, RUNTIME_API_PORT

NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ROUTE = re.compile(r"/[A-Za-z0-9_.~-]+(/[A-Za-z0-9_.~-]+)*")
RESERVED_ROUTES = ("/admin",)
INNER_PORTS = (API_PORT, PROXY_PORT, RUNTIME_API_PORT)
ENVIRONMENT_BYTES_MAX = 16 * 1024
COMMAND_BYTES_MAX = 16 * 1024
Settings = dict[str, Any]


def invalid(text: str) -> AwsError:
    return AwsError("InvalidParameterException", text, 400)


def name_of(params: dict[str, Any]) -> str:
    """The service a call is about: its name, or its ARN."""
    name = str(params.get("Name") or "").rpartition("/")[2]
    if not NAME.fullmatch(name):
        raise invalid(
            "Name is 1 to 40 lower-case letters, digits and hyphens, and starts with a letter"
        )
    return name


def _number(low: float, high: float, whole: bool = True) -> Callable[[str, Any], Any]:
    def check(name: str, value: Any) -> Any:
        try:
            number = int(value) if whole else float(value)
        except (TypeError, ValueError):
            raise invalid(f"{name} is a number, not {value!r}") from None
        if isinstance(value, bool) or not low <= number <= high or number != float(value):
            raise invalid(f"{name} lies between {low:g} and {high:g}, not at {value!r}")
        return number

    return check


def _command(name: str, value: Any) -> list[str]:
    words = value if isinstance(value, list) else []
    if not words or not all(isinstance(w, str) and "\0" not in w for w in words) or not words[0]:
        raise invalid("Command is a list of strings: a program and its arguments")
    if sum(len(w.encode()) + 1 for w in words) > COMMAND_BYTES_MAX:
        raise invalid(f"Command is longer than {COMMAND_BYTES_MAX} bytes")
    return list(words)


def _runtime(name: str, value: Any) -> str:
    word = {"python": "python3.12", "nodejs": "nodejs20.x"}.get(value, value)
    try:
        language(str(word))
    except Unavailable:
        raise invalid(f"Runtime is python, nodejs or provided, not {value!r}") from None
    return str(value)


def _environment(name: str, value: Any) -> dict[str, str]:
    variables = value.get("Variables", value) if isinstance(value, dict) else None
    if not isinstance(variables, dict):
        raise invalid("Environment is an object of names and values")
    told = {str(k): _text(v) for k, v in variables.items()}
    for key, text in told.items():
        if not VARIABLE.fullmatch(key) or "\0" in text:
            raise invalid(f"Environment: {key!r} is no name of a variable, or its value has a NUL")
    if sum(len(k.encode()) + len(v.encode()) + 2 for k, v in told.items()) > ENVIRONMENT_BYTES_MAX:
        raise invalid(f"Environment is larger than {ENVIRONMENT_BYTES_MAX} bytes")
    return dict(sorted(told.items()))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _role(name: str, value: Any) -> str:
    if not re.fullmatch(r"arn:aws:iam::\d{12}:role/.+", str(value)):
        raise invalid(f"Role is a role's ARN, not {value!r}")
    return str(value)


def _port(name: str, value: Any) -> int:
    port = int(_number(0, 65535)(name, value))
    if port in INNER_PORTS or 0 < port < 1024:
        raise invalid(f"Port is 1024 to 65535 and none of {INNER_PORTS}, or 0 for no port")
    return port


def _health(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not set(value) <= set(HEALTH):
        raise invalid(f"HealthCheck has {', '.join(HEALTH)}")
    told = {HEALTH[k][0]: HEALTH[k][1](f"HealthCheck.{k}", v) for k, v in value.items()}
    return {key: told.get(key, default) for key, _, default in HEALTH.values()}


def _health_path(name: str, value: Any) -> str:
    if not (isinstance(value, str) and value.startswith("/") and value.isprintable()):
        raise invalid(f"{name} starts with / and holds no control characters")
    if " " in value or not value.isascii() or len(value) > 1024:
        raise invalid(f"{name} is written as in a URL, of 1024 characters at most")
    return value


def _route(name: str, value: Any) -> dict[str, Any]:
    told = {"Path": value} if isinstance(value, str) else value
    if not isinstance(told, dict) or not set(told) <= {"Path", "StripPrefix"}:
        raise invalid("Route is a path such as /shop/*, or has Path and StripPrefix")
    path = str(told.get("Path", "")).removesuffix("*").rstrip("/")
    if not ROUTE.fullmatch(path) or path.startswith("/_") or ".." in path.split("/"):
        raise invalid(f"Route: {told.get('Path')!r} is no path such as /shop/*")
    if path in RESERVED_ROUTES or path.startswith(tuple(f"{r}/" for r in RESERVED_ROUTES)):
        raise invalid(f"Route: {path} belongs to the cloud itself")
    return {"path": path, "strip": str(told.get("StripPrefix", False)).lower() == "true"}


HEALTH: dict[str, tuple[str, Callable[[str, Any], Any], Any]] = {
    "Path": ("path", _health_path, ""),
    "IntervalSeconds": ("interval_s", _number(0.1, 300, whole=False), 5.0),
    "TimeoutSeconds": ("timeout_s", _number(0.1, 120, whole=False), 2.0),
    "FailuresMax": ("failures_max", _number(1, 100), 3),
    "GraceSeconds": ("grace_s", _number(0.5, 3600, whole=False), 30.0),
}
# Parameter → (its name in rows, check, default).
PARAMETERS: dict[str, tuple[str, Callable[[str, Any], Any], Any]] = {
    "Command": ("command", _command, None),
    "Runtime": ("runtime", _runtime, "provided"),
    "Environment": ("environment", _environment, {}),
    "Role": ("role", _role, ""),
    "Memory": ("memory", _number(32, 1_048_576), 256),
    "EphemeralStorage": ("ephemeral", _number(16, 10_240), 512),
    "Copies": ("copies", _number(0, 64), 1),
    "Port": ("port", _port, 8080),
    "HealthCheck": ("health", _health, {k: d for k, _, d in HEALTH.values()}),
    "Route": ("route", _route, None),
    "TcpPort": ("tcp_port", _number(1024, 65535), 0),
    "LongestDowntimeSeconds": ("downtime_s", _number(0.1, 86_400, whole=False), 10.0),
    "StopTimeoutSeconds": ("stop_s", _number(0, 300, whole=False), 10.0),
}
BESIDE = ("Name", "Code", "Reset")


def read(params: dict[str, Any], had: Settings | None = None) -> Settings:
    """The settings a call asks for; what it does not name stays as it was, or has its default."""
    unknown = set(params) - set(PARAMETERS) - set(BESIDE)
    if unknown:
        raise invalid(f"There is no parameter {', '.join(sorted(unknown))}")
    reset = params.get("Reset") or []
    settings: Settings = {}
    for name, (field, check, default) in PARAMETERS.items():
        if params.get(name) is not None:
            settings[field] = check(name, params[name])
        elif had is not None and name not in reset:
            settings[field] = had[field]
        else:
            settings[field] = default
    if settings["command"] is None:
        raise invalid("Command is required: a program and its arguments")
    if not settings["port"] and (settings["route"] or settings["tcp_port"]):
        raise invalid("A service without a Port can have neither Route nor TcpPort")
    return settings


def told(settings: Settings) -> dict[str, Any]:
    """The same, as answers word it."""
    answer = {name: settings[field] for name, (field, _, _) in PARAMETERS.items()}
    answer["HealthCheck"] = {
        name: settings["health"][field] for name, (field, _, _) in HEALTH.items()
    }
    if settings["route"]:
        route = settings["route"]
        answer["Route"] = {"Path": f"{route['path']}/*", "StripPrefix": route["strip"]}
    return {
        k: v for k, v in answer.items() if v not in (None, "") and not (k == "TcpPort" and not v)
    }
