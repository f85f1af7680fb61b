"""Deployments: CreateDeployment, GetDeployment(s), UpdateDeployment, DeleteDeployment.

https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-deployments.html
"""

from __future__ import annotations

from typing import Any

import orjson

from pileus.services.apigateway import deploying, rows
from pileus.services.apigateway.room import Room
from pileus.services.call import Call
from pileus.state.draft import Draft


async def create_deployment(room: Room, call: Call) -> dict[str, Any]:
    """Snapshot what the API serves; with ``StageName`` that stage serves it from now on."""
    params, now = call.params, room.seconds()
    deployment_id = room.new_id("deployment")
    told = deploying.record(deployment_id, now, False, params.get("Description") or "")

    def edit(draft: Draft, api: dict[str, Any]) -> dict[str, Any]:
        taken = deploying.snapshot(draft, params["ApiId"])
        if not taken["route"]:
            raise rows.bad("Unable to deploy API because no routes exist in this API")
        key = rows.part_key(params["ApiId"], "deployment", deployment_id)
        draft.put_json(key, {"told": told, "snapshot": taken})
        if params.get("StageName"):
            _point(draft, params["ApiId"], params["StageName"], deployment_id, now)
        return told

    return await room.change(call, edit)


def _point(draft: Draft, api_id: str, name: str, deployment_id: str, now_s: int) -> None:
    key = rows.part_key(api_id, "stage", name)
    stage = draft.get_json(key)
    if stage is None:
        raise rows.no_such("stage")
    if stage["AutoDeploy"]:
        raise rows.bad(f"Stage {name} has auto deploy enabled: it deploys by itself")
    deploying.point(stage, deployment_id, now_s)
    draft.put_json(key, stage)


def get_deployment(room: Room, call: Call) -> dict[str, Any]:
    row = room.part(call, "deployment", call.params["DeploymentId"])
    return dict(row["told"])


def get_deployments(room: Room, call: Call) -> dict[str, Any]:
    room.api(call)
    span = rows.kind_span(call.params["ApiId"], "deployment")
    return room.paged(call, *span, lambda value: orjson.loads(value)["told"])


async def update_deployment(room: Room, call: Call) -> dict[str, Any]:
    key = rows.part_key(call.params["ApiId"], "deployment", call.params["DeploymentId"])

    def edit(draft: Draft, api: dict[str, Any]) -> dict[str, Any]:
        row = draft.get_json(key)
        if row is None:
            raise rows.no_such("deployment", call.params["DeploymentId"])
        row["told"] |= rows.picked(call.params, "Description")
        draft.put_json(key, row)
        return dict(row["told"])

    return await room.change(call, edit)


async def delete_deployment(room: Room, call: Call) -> None:
    """Refused while a stage serves it."""
    api_id, deployment_id = call.params["ApiId"], call.params["DeploymentId"]
    key = rows.part_key(api_id, "deployment", deployment_id)

    def edit(draft: Draft, api: dict[str, Any]) -> None:
        if draft.get(key) is None:
            raise rows.no_such("deployment", deployment_id)
        for row in draft.range(*rows.kind_span(api_id, "stage")):
            if orjson.loads(row.value).get("DeploymentId") == deployment_id:
                raise rows.bad("Active stages pointing to this deployment must be moved or deleted")
        draft.delete(key)

    await room.change(call, edit)
