"""Deployments: what a stage serves.

A deployment made by ``CreateDeployment`` holds a snapshot of routes, integrations and authorizers.
A stage with auto-deploy serves the live rows; its deployment is a record without snapshot, made
anew at each change. When such a stage stops auto-deploying, the snapshot is taken at that moment.
"""

from __future__ import annotations

from typing import Any

import orjson

from pileus.services.apigateway import rows
from pileus.state import keys
from pileus.state.draft import Draft

SERVED = ("route", "integration", "authorizer")


def snapshot(draft: Draft, api_id: str) -> dict[str, dict[str, Any]]:
    """Everything a stage serves, by kind and id, as committed."""
    out: dict[str, dict[str, Any]] = {}
    for kind in SERVED:
        found = draft.range(*rows.kind_span(api_id, kind), limit=10_000)
        out[kind] = {_part_id(r.key): orjson.loads(r.value) for r in found}
    return out


def record(deployment_id: str, now_s: int, auto: bool, description: str = "") -> dict[str, Any]:
    """What AWS's API tells of a deployment."""
    told = {
        "DeploymentId": deployment_id,
        "AutoDeployed": auto,
        "CreatedDate": now_s,
        "DeploymentStatus": "DEPLOYED",
    }
    if auto:
        told["Description"] = "Automatic deployment triggered by changes to the Api configuration"
    elif description:
        told["Description"] = description
    return told


def point(stage: dict[str, Any], deployment_id: str, now_s: int) -> None:
    """Let ``stage`` serve a deployment, with AWS's message."""
    stage["DeploymentId"] = deployment_id
    stage["LastUpdatedDate"] = now_s
    if stage.get("AutoDeploy"):
        stage["LastDeploymentStatusMessage"] = (
            f"Successfully deployed stage with deployment ID '{deployment_id}'"
        )


def auto_deploy(draft: Draft, api_id: str, deployment_id: str, now_s: int) -> None:
    """Give every auto-deploying stage the deployment ``deployment_id``; older automatic records
    that no stage names are removed."""
    stages = [orjson.loads(r.value) for r in draft.range(*rows.kind_span(api_id, "stage"))]
    following = [stage for stage in stages if stage.get("AutoDeploy")]
    if not following:
        return
    for stage in following:
        old = stage.get("DeploymentId")
        if old:
            drop_automatic(draft, api_id, old)
        point(stage, deployment_id, now_s)
        draft.put_json(rows.part_key(api_id, "stage", stage["StageName"]), stage)
    told = record(deployment_id, now_s, auto=True)
    key = rows.part_key(api_id, "deployment", deployment_id)
    draft.put_json(key, {"told": told, "snapshot": None})


def drop_automatic(draft: Draft, api_id: str, deployment_id: str) -> None:
    """Remove a record that only followed the live rows."""
    key = rows.part_key(api_id, "deployment", deployment_id)
    row = draft.get_json(key)
    if row is not None and row["snapshot"] is None:
        draft.delete(key)


def freeze(draft: Draft, api_id: str, deployment_id: str) -> None:
    """Give an automatic deployment its snapshot: a stage keeps serving it as it is now."""
    key = rows.part_key(api_id, "deployment", deployment_id)
    row = draft.get_json(key)
    if row is None:
        raise rows.no_such("deployment", deployment_id)
    if row["snapshot"] is None:
        row["snapshot"] = snapshot(draft, api_id)
        draft.put_json(key, row)


def _part_id(key: bytes) -> str:
    return keys.split(key)[2].decode().partition("/")[2]
