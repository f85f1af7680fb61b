"""API Gateway v2: HTTP APIs, their control operations and the door that serves them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pileus.services.apigateway import (
    apis,
    authorizers,
    deployments,
    domains,
    importing,
    integrations,
    routes,
    stages,
    tags,
)
from pileus.services.apigateway.access import access
from pileus.services.apigateway.door import Door
from pileus.services.apigateway.room import Room
from pileus.services.call import Call, Parts
from pileus.services.service import Service

__all__ = ["OPERATIONS", "Door", "build"]

OPERATIONS: dict[str, Callable[[Room, Call], Any]] = {
    "CreateApi": apis.create_api,
    "GetApi": apis.get_api,
    "GetApis": apis.get_apis,
    "UpdateApi": apis.update_api,
    "DeleteApi": apis.delete_api,
    "DeleteCorsConfiguration": apis.delete_cors_configuration,
    "ImportApi": importing.import_api,
    "ReimportApi": importing.reimport_api,
    "ExportApi": importing.export_api,
    "CreateRoute": routes.create_route,
    "GetRoute": routes.get_route,
    "GetRoutes": routes.get_routes,
    "UpdateRoute": routes.update_route,
    "DeleteRoute": routes.delete_route,
    "CreateIntegration": integrations.create_integration,
    "GetIntegration": integrations.get_integration,
    "GetIntegrations": integrations.get_integrations,
    "UpdateIntegration": integrations.update_integration,
    "DeleteIntegration": integrations.delete_integration,
    "CreateStage": stages.create_stage,
    "GetStage": stages.get_stage,
    "GetStages": stages.get_stages,
    "UpdateStage": stages.update_stage,
    "DeleteStage": stages.delete_stage,
    "DeleteAccessLogSettings": stages.delete_access_log_settings,
    "DeleteRouteSettings": stages.delete_route_settings,
    "CreateDeployment": deployments.create_deployment,
    "GetDeployment": deployments.get_deployment,
    "GetDeployments": deployments.get_deployments,
    "UpdateDeployment": deployments.update_deployment,
    "DeleteDeployment": deployments.delete_deployment,
    "CreateAuthorizer": authorizers.create_authorizer,
    "GetAuthorizer": authorizers.get_authorizer,
    "GetAuthorizers": authorizers.get_authorizers,
    "UpdateAuthorizer": authorizers.update_authorizer,
    "DeleteAuthorizer": authorizers.delete_authorizer,
    "ResetAuthorizersCache": authorizers.reset_authorizers_cache,
    "CreateDomainName": domains.create_domain_name,
    "GetDomainName": domains.get_domain_name,
    "UpdateDomainName": domains.update_domain_name,
    "DeleteDomainName": domains.delete_domain_name,
    "CreateApiMapping": domains.create_api_mapping,
    "GetApiMapping": domains.get_api_mapping,
    "UpdateApiMapping": domains.update_api_mapping,
    "DeleteApiMapping": domains.delete_api_mapping,
    "GetDomainNames": domains.get_domain_names,
    "GetApiMappings": domains.get_api_mappings,
    "TagResource": tags.tag_resource,
    "UntagResource": tags.untag_resource,
    "GetTags": tags.get_tags,
}


def build(parts: Parts) -> Service:
    """The control operations. The data door is ``Door(parts).serve``."""
    room = Room(parts.store, parts.clock, parts.config)
    operations = {name: partial(function, room) for name, function in OPERATIONS.items()}
    return Service("apigatewayv2", operations, access)
