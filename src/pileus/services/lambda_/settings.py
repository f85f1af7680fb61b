"""A function's configuration: its defaults, its limits, and how it is answered.

The stored ``config`` keeps AWS's member names. Limits: "Lambda quotas" in the developer guide.
"""

from __future__ import annotations

import hashlib
import re
import time
from base64 import b64encode
from collections.abc import Iterable
from typing import Any

import orjson

from pileus import __version__
from pileus.services.lambda_.names import FunctionName, invalid, validation
from pileus.services.lambda_.runtimes import check_runtime, warning

ENVIRONMENT_BYTES_MAX = 4096
LAYERS_MAX = 5
_HANDLER = re.compile(r"[^\s]{1,128}")
_VARIABLE = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
_LOG_GROUP = re.compile(r"[\.\-_/#A-Za-z0-9]{1,512}")
RESERVED_VARIABLES = frozenset({
    "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
})  # fmt: skip
_MAKING = "The function is being created."
_NOT_LISTED = frozenset({"State", "LastUpdateStatus", "RuntimeVersionConfig"})
MEMBERS = (
    "Runtime", "Role", "Handler", "Description", "Timeout", "MemorySize", "Environment",
    "TracingConfig", "EphemeralStorage", "LoggingConfig", "DeadLetterConfig", "SnapStart",
)  # fmt: skip
DEFAULTS: dict[str, Any] = {
    "Description": "",
    "Timeout": 3,
    "MemorySize": 128,
    "Environment": {},
    "TracingConfig": {"Mode": "PassThrough"},
    "EphemeralStorage": {"Size": 512},
    "DeadLetterConfig": {},
    "SnapStart": {"ApplyOn": "None"},
    "Architectures": ["x86_64"],
}
# Members that would need parts this cloud does not have: refused unless empty.
UNBUILT = {
    "VpcConfig": ("SubnetIds", "SecurityGroupIds"),
    "ImageConfig": ("EntryPoint", "Command", "WorkingDirectory"),
}


def chosen(params: dict[str, Any]) -> dict[str, Any]:
    """The configuration members a request sets, checked."""
    _refuse_unbuilt(params)
    config = {name: params[name] for name in MEMBERS if params.get(name) is not None}
    _check_numbers(config)
    if "Runtime" in config:
        check_runtime(config["Runtime"])
    if "Handler" in config and not _HANDLER.fullmatch(config["Handler"]):
        raise validation(config["Handler"], "handler", r"[^\s]+")
    if "Environment" in config:
        config["Environment"] = _environment(config["Environment"])
    if len(config.get("Description", "")) > 256:
        raise _length("description", config["Description"], 256)
    if "LoggingConfig" in config:
        _check_logging(config["LoggingConfig"])
        config["LoggingConfig"] = with_levels(config["LoggingConfig"])
    target = config.get("DeadLetterConfig", {}).get("TargetArn") or ""
    if target and not re.match(r"arn:aws[a-zA-Z-]*:(sqs|sns):", target):
        raise invalid("The provided destination DLQ must be an SQS queue or an SNS topic.")
    return config


def with_levels(logging: dict[str, Any]) -> dict[str, Any]:
    """A LoggingConfig with the levels it has when none were told: JSON has both, text none."""
    if logging.get("LogFormat", "Text") == "JSON":
        return {"ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO", **logging}
    return logging


def check_architectures(names: list[str]) -> list[str]:
    if len(names) != 1 or names[0] not in ("x86_64", "arm64"):
        raise invalid(f"Architectures must be one of [[x86_64], [arm64]], not {names}")
    return names


def _refuse_unbuilt(params: dict[str, Any]) -> None:
    if params.get("PackageType", "Zip") != "Zip" or (params.get("Code") or {}).get("ImageUri"):
        raise invalid("Container images are not built here yet; use PackageType Zip.")
    for name, members in UNBUILT.items():
        if any((params.get(name) or {}).get(member) for member in members):
            raise invalid(f"{name} is not built here: functions run on this machine's network.")
    for name in ("FileSystemConfigs", "KMSKeyArn", "CodeSigningConfigArn", "DurableConfig",
                 "CapacityProviderConfig", "TenancyConfig", "AcceleratorConfig"):  # fmt: skip
        if params.get(name):
            raise invalid(f"{name} is not built here.")


def _check_numbers(config: dict[str, Any]) -> None:
    storage = config.get("EphemeralStorage", {}).get("Size", 512)
    for member, value, low, high in (
        ("timeout", config.get("Timeout", 3), 1, 900),
        ("memorySize", config.get("MemorySize", 128), 128, 10240),
        ("ephemeralStorage.size", storage, 512, 10240),
    ):
        if not low <= value <= high:
            bound = (
                f"less than or equal to {high}"
                if value > high
                else (f"greater than or equal to {low}")
            )
            raise invalid(
                f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy"
                f" constraint: Member must have value {bound}"
            )


def _environment(environment: dict[str, Any]) -> dict[str, Any]:
    variables = environment.get("Variables") or {}
    taken = sorted(RESERVED_VARIABLES & set(variables))
    if taken:
        raise invalid(
            "Lambda was unable to configure your environment variables because the environment"
            " variables you have provided contains reserved keys that are currently not supported"
            f" for modification. Reserved keys used in this request: {', '.join(taken)}"
        )
    for name in variables:
        if not _VARIABLE.fullmatch(name):
            raise validation(name, "environment.variables", "[a-zA-Z]([a-zA-Z0-9_])+")
    measured = orjson.dumps(variables)
    if len(measured) > ENVIRONMENT_BYTES_MAX:
        raise invalid(
            "Lambda was unable to configure your environment variables because the environment"
            " variables you have provided exceeded the 4KB limit. String measured:"
            f" {measured.decode()}"
        )
    return {"Variables": variables}


def _check_logging(logging: dict[str, Any]) -> None:
    if logging.get("LogFormat", "Text") not in ("Text", "JSON"):
        raise invalid("LogFormat must be Text or JSON.")
    if "LogGroup" in logging and not _LOG_GROUP.fullmatch(logging["LogGroup"]):
        raise validation(logging["LogGroup"], "loggingConfig.logGroup", r"[\.\-_/#A-Za-z0-9]+")


def _length(member: str, value: str, longest: int) -> Exception:
    return invalid(
        f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint:"
        f" Member must have length less than or equal to {longest}"
    )


def runtime_version(region: str, runtime: str) -> dict[str, Any]:
    """The version of what runs a function: the cloud's."""
    told = warning(runtime)
    if told:
        return {"Error": {"ErrorCode": "RuntimeRetired", "Message": told}}
    digest = hashlib.sha256(f"{__version__} {runtime}".encode()).hexdigest()
    return {"RuntimeVersionArn": f"arn:aws:lambda:{region}::runtime:{digest}"}


def stamp(now_ms: int) -> str:
    """``LastModified``: ISO 8601 with milliseconds, in UTC."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now_ms / 1000))
    return f"{moment}.{now_ms % 1000:03d}+0000"


def log_group(name: str, config: dict[str, Any]) -> str:
    return str(config.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{name}")


def describe(name: FunctionName, record: dict[str, Any], qualified: bool = False) -> dict[str, Any]:
    """A FunctionConfiguration from a function's or version's row."""
    config, version = record["config"], record["version"]
    logging = config.get("LoggingConfig", {})
    arn = f"{name.arn}:{version}" if qualified or version != "$LATEST" else name.arn
    answer = {
        "FunctionName": name.name,
        "FunctionArn": arn,
        "Version": version,
        "CodeSize": record["code"]["size"],
        "CodeSha256": b64encode(bytes.fromhex(record["code"]["digest"])).decode(),
        "LastModified": stamp(record["modified"]),
        "RevisionId": record["revision"],
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "LoggingConfig": {
            "LogFormat": "Text", **logging, "LogGroup": log_group(name.name, config)
        },
        "SnapStart": {**config["SnapStart"], "OptimizationStatus": "Off"},
        **_plain(config),
    }  # fmt: skip
    if config["Layers"]:
        answer["Layers"] = [
            {"Arn": layer["arn"], "CodeSize": layer["size"]} for layer in config["Layers"]
        ]
    answer["RuntimeVersionConfig"] = runtime_version(name.region, config["Runtime"])
    return answer


def summarize(
    name: FunctionName, record: dict[str, Any], qualified: bool = False
) -> dict[str, Any]:
    """As lists tell it: not what only who asks for the function learns."""
    told = describe(name, record, qualified)
    return {n: v for n, v in told.items() if n not in _NOT_LISTED}


def created(told: dict[str, Any], revision: str) -> dict[str, Any]:
    """A configuration as who made the function is answered. It is ready at once here, but as on
    AWS the answer tells of the state before, with a revision of its own."""
    state = {"State": "Pending", "StateReason": _MAKING, "StateReasonCode": "Creating"}
    kept = {n: v for n, v in told.items() if n != "LastUpdateStatus"}
    return {**kept, **state, "RevisionId": revision}


def updated(told: dict[str, Any], revision: str) -> dict[str, Any]:
    """``created``, of an update."""
    status = {"LastUpdateStatus": "InProgress", "LastUpdateStatusReason": _MAKING}
    return {**told, **status, "LastUpdateStatusReasonCode": "Creating", "RevisionId": revision}


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """Members answered as they are stored; empty structures are left out."""
    names: Iterable[str] = (*MEMBERS, "Architectures")
    skipped = ("LoggingConfig", "SnapStart")
    always = ("Description",)
    return {
        name: config[name]
        for name in names
        if name not in skipped and (config.get(name) or name in always) and name in config
    }
