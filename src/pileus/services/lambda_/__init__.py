"""Lambda: functions, versions, aliases, layers, and their invocation by the runtime."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pileus.services.background import Background
from pileus.services.call import Call, Parts
from pileus.services.lambda_ import (
    aliases,
    concurrency,
    create,
    event_config,
    functions,
    layers,
    mappings,
    permissions,
    provisioned,
    tags,
    update,
    urls,
    versions,
)
from pileus.services.lambda_.access import AccessRules
from pileus.services.lambda_.counts import Counts
from pileus.services.lambda_.destinations import Destinations
from pileus.services.lambda_.door import Door
from pileus.services.lambda_.elsewhere import Elsewhere
from pileus.services.lambda_.invoke import Invoker
from pileus.services.lambda_.queue import EventQueue
from pileus.services.lambda_.roles import Roles
from pileus.services.lambda_.room import Room
from pileus.services.lambda_.sources import Sources
from pileus.services.lambda_.targets import Targets
from pileus.services.logship import LogShip
from pileus.services.service import Operation, Service

__all__ = ["OPERATIONS", "Door", "build"]

OPERATIONS: dict[str, Callable[[Room, Call], Any]] = {
    "CreateFunction": create.create_function,
    "GetFunction": functions.get_function,
    "GetFunctionConfiguration": functions.get_function_configuration,
    "GetFunctionCodeSigningConfig": functions.get_code_signing_config,
    "GetRuntimeManagementConfig": functions.get_runtime_management_config,
    "ListFunctions": functions.list_functions,
    "DeleteFunction": functions.delete_function,
    "UpdateFunctionCode": update.update_function_code,
    "UpdateFunctionConfiguration": update.update_function_configuration,
    "PublishVersion": versions.publish_version,
    "ListVersionsByFunction": versions.list_versions_by_function,
    "CreateAlias": aliases.create_alias,
    "UpdateAlias": aliases.update_alias,
    "GetAlias": aliases.get_alias,
    "DeleteAlias": aliases.delete_alias,
    "ListAliases": aliases.list_aliases,
    "PublishLayerVersion": layers.publish_layer_version,
    "GetLayerVersion": layers.get_layer_version,
    "GetLayerVersionByArn": layers.get_layer_version_by_arn,
    "DeleteLayerVersion": layers.delete_layer_version,
    "ListLayerVersions": layers.list_layer_versions,
    "ListLayers": layers.list_layers,
    "AddLayerVersionPermission": permissions.add_layer_version_permission,
    "RemoveLayerVersionPermission": permissions.remove_layer_version_permission,
    "GetLayerVersionPolicy": permissions.get_layer_version_policy,
    "AddPermission": permissions.add_permission,
    "RemovePermission": permissions.remove_permission,
    "GetPolicy": permissions.get_policy,
    "PutFunctionConcurrency": concurrency.put_function_concurrency,
    "GetFunctionConcurrency": concurrency.get_function_concurrency,
    "DeleteFunctionConcurrency": concurrency.delete_function_concurrency,
    "DeleteProvisionedConcurrencyConfig": provisioned.delete_config,
    "GetAccountSettings": concurrency.get_account_settings,
    "PutFunctionEventInvokeConfig": event_config.put_config,
    "UpdateFunctionEventInvokeConfig": event_config.update_config,
    "GetFunctionEventInvokeConfig": event_config.get_config,
    "DeleteFunctionEventInvokeConfig": event_config.delete_config,
    "ListFunctionEventInvokeConfigs": event_config.list_configs,
    "CreateFunctionUrlConfig": urls.create_url,
    "UpdateFunctionUrlConfig": urls.update_url,
    "GetFunctionUrlConfig": urls.get_url,
    "DeleteFunctionUrlConfig": urls.delete_url,
    "ListFunctionUrlConfigs": urls.list_urls,
    "CreateEventSourceMapping": mappings.create,
    "GetEventSourceMapping": mappings.get,
    "ListEventSourceMappings": mappings.list_mappings,
    "UpdateEventSourceMapping": mappings.update,
    "DeleteEventSourceMapping": mappings.delete,
    "TagResource": tags.tag_resource,
    "UntagResource": tags.untag_resource,
    "ListTags": tags.list_tags,
}


def build(parts: Parts) -> Service:
    """The service; its other doors are ``Door(parts).serve``. Events are worked off by who does
    the work for all."""
    roles = Roles(parts.credentials, parts.clock)
    room = Room(
        parts.store,
        parts.blobs,
        parts.clock,
        parts.config,
        parts.dispatch,
        parts.runtime,
        roles,
    )
    targets = Targets(parts.store, parts.config, lambda digest: str(parts.blobs.path(digest)))
    ship = LogShip(parts.dispatch)
    invoker = Invoker(room, targets, ship, Counts(parts.meters))
    if parts.nodes is not None:
        runs = invoker.here, invoker.stream_here
        invoker.elsewhere = Elsewhere(parts.nodes, parts.others, targets, *runs)
    destinations = Destinations(room)
    events = EventQueue(room, targets, invoker.run, destinations, parts.owner)
    sources = Sources(room, targets, invoker.run, destinations, parts.owner)
    invoker.queue = events
    operations: dict[str, Operation] = {
        name: partial(function, room) for name, function in OPERATIONS.items()
    }
    standing = provisioned.Standing(room, targets, parts.others)
    operations |= {
        "PutProvisionedConcurrencyConfig": partial(provisioned.put_config, room, standing),
        "GetProvisionedConcurrencyConfig": partial(provisioned.get_config, room, standing),
        "ListProvisionedConcurrencyConfigs": partial(provisioned.list_configs, room, standing),
        "Invoke": invoker.operation,
        "InvokeAsync": invoker.invoke_async,
        "InvokeFunctionUrl": invoker.invoke_url,
    }
    keeper = provisioned.Keeper(room, targets, invoker.elsewhere)
    background = Background()

    async def start() -> None:
        ship.start()
        if parts.background:
            background.begin(keeper.run(), "provisioned")
            if parts.nodes is not None:
                background.begin(keeper.watch(parts.nodes.alive), "provisioned, nodes")

    async def stop() -> None:
        await background.end()
        await ship.stop()

    async def begin() -> None:
        events.queue.start()
        sources.start()

    async def cease() -> None:
        await sources.stop()
        await events.queue.stop()

    return Service(
        "lambda",
        operations,
        AccessRules(room, targets),
        direct={"Invoke": invoker.direct, "InvokeWithResponseStream": invoker.streamed},
        start=start,
        stop=stop,
        begin=begin,
        cease=cease,
    )
