"""Stages: CreateStage, GetStage(s), UpdateStage, DeleteStage, and what can be taken off one.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-stages.html
"""

from __future__ import annotations

import re
from typing import Any

from pileus.services.apigateway import accesslog, deploying, rows
from pileus.services.apigateway.room import Room
from pileus.services.apigateway.tags import check_tags
from pileus.services.call import Call
from pileus.state.draft import Draft

NAME = re.compile(r"\$default|[A-Za-z0-9_\-]{1,128}")
VARIABLE = re.compile(r"[A-Za-z0-9_]{1,64}")
VALUE = re.compile(r"[A-Za-z0-9\-._~:/?#&=,]{0,512}")


async def create_stage(room: Room, call: Call) -> dict[str, Any]:
    """Make a stage: it serves ``DeploymentId``, or with ``AutoDeploy`` whatever is current."""
    params = call.params
    name = params["StageName"]
    if not NAME.fullmatch(name):
        raise rows.bad(
            "Stage name only allows a-zA-Z0-9-_ characters or the $default name: " + name
        )
    check_tags(params.get("Tags") or {})
    now, deployment_id = room.seconds(), room.new_id("deployment")
    stage: dict[str, Any] = {
        "StageName": name,
        "CreatedDate": now,
        "LastUpdatedDate": now,
        "AutoDeploy": False,
        "DefaultRouteSettings": {"DetailedMetricsEnabled": False},
        "RouteSettings": {},
        "StageVariables": {},
        "Tags": params.get("Tags") or {},
    }
    _apply(stage, params)
    _check_owner(call, stage)

    def edit(draft: Draft, api: dict[str, Any]) -> dict[str, Any]:
        key = rows.part_key(params["ApiId"], "stage", name)
        if draft.get(key) is not None:
            raise rows.conflict("Stage already exists")
        _serve(draft, params, stage, deployment_id, now)
        draft.put_json(key, stage)
        return stage

    return await room.change(call, edit)


async def update_stage(room: Room, call: Call) -> dict[str, Any]:
    params = call.params
    now, deployment_id = room.seconds(), room.new_id("deployment")
    key = rows.part_key(params["ApiId"], "stage", params["StageName"])

    def edit(draft: Draft, api: dict[str, Any]) -> dict[str, Any]:
        stage = draft.get_json(key)
        if stage is None:
            raise rows.no_such("stage")
        followed = stage["AutoDeploy"]
        _apply(stage, params)
        _check_owner(call, stage)
        stage["LastUpdatedDate"] = now
        if params.get("DeploymentId") or (stage["AutoDeploy"] and not followed):
            _serve(draft, params, stage, deployment_id, now)
        elif followed and not stage["AutoDeploy"] and stage.get("DeploymentId"):
            deploying.freeze(draft, params["ApiId"], stage["DeploymentId"])
        draft.put_json(key, stage)
        return dict(stage)

    return await room.change(call, edit)


def _serve(
    draft: Draft, params: dict[str, Any], stage: dict[str, Any], fresh_id: str, now_s: int
) -> None:
    """Point the stage at the deployment asked for, or at a fresh automatic one."""
    api_id, asked = params["ApiId"], params.get("DeploymentId")
    if asked and stage["AutoDeploy"]:
        raise rows.bad("Deployment ID cannot be set on a stage with auto deploy enabled")
    if asked:
        deploying.freeze(draft, api_id, asked)
        deploying.point(stage, asked, now_s)
    elif stage["AutoDeploy"]:
        told = deploying.record(fresh_id, now_s, auto=True)
        key = rows.part_key(api_id, "deployment", fresh_id)
        draft.put_json(key, {"told": told, "snapshot": None})
        deploying.point(stage, fresh_id, now_s)


def _apply(stage: dict[str, Any], params: dict[str, Any]) -> None:
    if params.get("ClientCertificateId"):
        raise rows.bad("Client certificates are only supported for WebSocket APIs")
    stage |= rows.picked(params, "AutoDeploy", "Description", "AccessLogSettings")
    if (told := params.get("DefaultRouteSettings")) is not None:
        # As a whole: no operation takes a limit away again.
        plain = {"DetailedMetricsEnabled": False}
        stage["DefaultRouteSettings"] = plain | _settings("DefaultRouteSettings", told)
    if (told := params.get("RouteSettings")) is not None:
        stage["RouteSettings"] = stage.get("RouteSettings", {}) | _settings("RouteSettings", told)
    variables = params.get("StageVariables")
    if variables is not None:
        for name, value in variables.items():
            if not VARIABLE.fullmatch(name) or not VALUE.fullmatch(value):
                raise rows.bad(f"Invalid stage variable {name}")
        merged = stage.get("StageVariables", {}) | variables
        stage["StageVariables"] = {k: v for k, v in merged.items() if v != ""}
    log = stage.get("AccessLogSettings") or {}
    if log and not (log.get("DestinationArn") and log.get("Format")):
        raise rows.bad("AccessLogSettings needs DestinationArn and Format")
    _check_log(log)


def _check_owner(call: Call, stage: dict[str, Any]) -> None:
    arn = (stage.get("AccessLogSettings") or {}).get("DestinationArn")
    if arn and accesslog.place(arn)[1] != call.account:
        raise rows.bad("Invalid ARN specified in the request: the log group is another account's")


def _check_log(log: dict[str, Any]) -> None:
    if not log:
        return
    if len(log["Format"]) > 3072 or "\n" in log["Format"].strip():
        raise rows.bad("Access Log format must be single line and at most 3072 characters")
    if not any(f"$context.{name}" in log["Format"] for name in ("requestId", "extendedRequestId")):
        raise rows.bad("Access Log format must include $context.requestId")
    if not accesslog.place(log["DestinationArn"])[0]:
        raise rows.bad("Invalid ARN specified in the request: it must name a log group")


def _settings(name: str, value: dict[str, Any]) -> dict[str, Any]:
    """Route settings with limits that make sense."""
    each = value.values() if name == "RouteSettings" else [value]
    for settings in each:
        rate, burst = settings.get("ThrottlingRateLimit"), settings.get("ThrottlingBurstLimit")
        if (rate is not None and rate < 0) or (burst is not None and burst < 0):
            raise rows.bad("Throttling limits must not be negative")
        if settings.get("DataTraceEnabled") or settings.get("LoggingLevel") not in (None, "OFF"):
            raise rows.bad("Execution logs are not supported on protocol type HTTP")
    return value


def get_stage(room: Room, call: Call) -> dict[str, Any]:
    room.api(call)
    key = rows.part_key(call.params["ApiId"], "stage", call.params["StageName"])
    stage = room.store.get_json(key)
    if stage is None:
        raise rows.no_such("stage")
    return dict(stage)


def get_stages(room: Room, call: Call) -> dict[str, Any]:
    return room.page(call, "stage")


async def delete_stage(room: Room, call: Call) -> None:
    key = rows.part_key(call.params["ApiId"], "stage", call.params["StageName"])

    def edit(draft: Draft, api: dict[str, Any]) -> None:
        stage = draft.get_json(key)
        if stage is None:
            raise rows.no_such("stage")
        if stage.get("DeploymentId"):
            deploying.drop_automatic(draft, call.params["ApiId"], stage["DeploymentId"])
        draft.delete(key)

    await room.change(call, edit)


async def delete_access_log_settings(room: Room, call: Call) -> None:
    await _edit(room, call, lambda stage: stage.pop("AccessLogSettings", None))


async def delete_route_settings(room: Room, call: Call) -> None:
    route_key = call.params["RouteKey"]
    await _edit(room, call, lambda stage: stage["RouteSettings"].pop(route_key, None))


async def _edit(room: Room, call: Call, edit_stage: Any) -> None:
    key = rows.part_key(call.params["ApiId"], "stage", call.params["StageName"])

    def edit(draft: Draft, api: dict[str, Any]) -> None:
        stage = draft.get_json(key)
        if stage is None:
            raise rows.no_such("stage")
        edit_stage(stage)
        draft.put_json(key, stage)

    await room.change(call, edit)
