"""AWS::Lambda::Function, LayerVersion, Permission, Version, Alias, Url, EventSourceMapping."""

from __future__ import annotations

from typing import Any

from pileus.services.cloudformation.resources.inline_code import zipped
from pileus.services.cloudformation.resources.kind import (
    Made,
    Properties,
    Site,
    need,
    tag_map,
    whole,
)

CONFIGURED = (
    "Handler", "Runtime", "Role", "Description", "Timeout", "MemorySize", "Environment", "Layers",
    "DeadLetterConfig", "TracingConfig", "EphemeralStorage", "LoggingConfig", "VpcConfig",
)  # fmt: skip

# What a template no longer names goes back to these.
DEFAULTS: dict[str, Any] = {
    "Description": "", "Timeout": 3, "MemorySize": 128, "Layers": [], "DeadLetterConfig": {},
    "TracingConfig": {"Mode": "PassThrough"}, "EphemeralStorage": {"Size": 512},
    "LoggingConfig": {"LogFormat": "Text"},
}  # fmt: skip


def _code(wish: Properties) -> dict[str, Any]:
    """Code as the API takes it; ``ZipFile`` in a template is source text of ``index``."""
    code = wish["Code"]
    if "ZipFile" not in code:
        return {k: v for k, v in code.items() if k in ("S3Bucket", "S3Key", "S3ObjectVersion")}
    return {"ZipFile": zipped(code["ZipFile"], str(wish.get("Runtime", "")))}


class Function:
    replacing = frozenset({"FunctionName", "PackageType"})

    async def create(self, site: Site, wish: Properties) -> Made:
        need(wish, "Code", "Role")
        name = wish.get("FunctionName") or site.name(64)
        settings = {k: whole(wish[k]) for k in CONFIGURED if k in wish and k != "Environment"}
        made = await site.call(
            "lambda",
            "CreateFunction",
            FunctionName=name,
            Code=_code(wish),
            Environment=self._environment(wish),
            Architectures=wish.get("Architectures"),
            Tags=tag_map(wish, site) or None,
            **settings,
        )
        site.begun = Made(name)
        await self._reserve(site, name, {}, wish)
        return Made(name, {"Arn": made["FunctionArn"]})

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        name = made.physical_id
        plain = ["x86_64"]
        is_on, was_on = wish.get("Architectures", plain), old.get("Architectures", plain)
        if wish["Code"] != old.get("Code") or is_on != was_on:
            await site.call(
                "lambda",
                "UpdateFunctionCode",
                FunctionName=name,
                Architectures=is_on,
                **_code(wish),
            )
        settings = {n: v for n, v in DEFAULTS.items() if n in old and n not in wish}
        settings |= {k: whole(wish[k]) for k in CONFIGURED if k in wish and k != "Environment"}
        await site.call(
            "lambda",
            "UpdateFunctionConfiguration",
            FunctionName=name,
            Environment=self._environment(wish) or {"Variables": {}},
            **settings,
        )
        await self._reserve(site, name, old, wish)
        return made

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await site.gone("lambda", "DeleteFunction", FunctionName=made.physical_id)

    @staticmethod
    def _environment(wish: Properties) -> dict[str, Any] | None:
        variables = wish.get("Environment", {}).get("Variables")
        return {"Variables": {k: str(v) for k, v in variables.items()}} if variables else None

    @staticmethod
    async def _reserve(site: Site, name: str, old: Properties, wish: Properties) -> None:
        reserved = wish.get("ReservedConcurrentExecutions")
        if reserved is not None:
            await site.call(
                "lambda",
                "PutFunctionConcurrency",
                FunctionName=name,
                ReservedConcurrentExecutions=whole(reserved),
            )
        elif "ReservedConcurrentExecutions" in old:
            await site.gone("lambda", "DeleteFunctionConcurrency", FunctionName=name)


class LayerVersion:
    replacing = frozenset(
        {"LayerName", "Content", "CompatibleRuntimes", "Description", "LicenseInfo"}
    )

    async def create(self, site: Site, wish: Properties) -> Made:
        (content,) = need(wish, "Content")
        made = await site.call(
            "lambda",
            "PublishLayerVersion",
            LayerName=wish.get("LayerName") or f"{site.stack}-{site.logical}"[:64],
            Content=content,
            Description=wish.get("Description"),
            CompatibleRuntimes=wish.get("CompatibleRuntimes"),
            CompatibleArchitectures=wish.get("CompatibleArchitectures"),
            LicenseInfo=wish.get("LicenseInfo"),
        )
        return Made(made["LayerVersionArn"], {"LayerVersionArn": made["LayerVersionArn"]})

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        return made

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        layer, _, version = made.physical_id.rpartition(":")
        await site.gone("lambda", "DeleteLayerVersion", LayerName=layer, VersionNumber=int(version))


class Permission:
    narrowing = (
        "SourceArn", "SourceAccount", "FunctionUrlAuthType", "InvokedViaFunctionUrl",
        "EventSourceToken", "PrincipalOrgID",
    )  # fmt: skip
    replacing = frozenset({"FunctionName", "Action", "Principal", *narrowing})

    async def create(self, site: Site, wish: Properties) -> Made:
        function, action, principal = need(wish, "FunctionName", "Action", "Principal")
        statement = site.name(100)
        await site.call(
            "lambda",
            "AddPermission",
            FunctionName=function,
            StatementId=statement,
            Action=action,
            Principal=principal,
            **self._narrowed(wish),
        )
        return Made(statement, {"Id": statement})

    def _narrowed(self, wish: Properties) -> dict[str, Any]:
        """The conditions; what a template asks for is never left out, it would allow more."""
        told = {name: wish[name] for name in self.narrowing if name in wish}
        if "InvokedViaFunctionUrl" in told:
            told["InvokedViaFunctionUrl"] = whole(told["InvokedViaFunctionUrl"])
        return told

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        return made

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await site.gone(
            "lambda",
            "RemovePermission",
            FunctionName=had["FunctionName"],
            StatementId=made.physical_id,
        )


class Version:
    replacing = frozenset({"FunctionName", "CodeSha256", "Description"})

    async def create(self, site: Site, wish: Properties) -> Made:
        (function,) = need(wish, "FunctionName")
        made = await site.call(
            "lambda", "PublishVersion", FunctionName=function, Description=wish.get("Description")
        )
        arn = made["FunctionArn"]
        return Made(arn, {"Version": made["Version"], "FunctionArn": arn})

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        return made

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await site.gone(
            "lambda",
            "DeleteFunction",
            FunctionName=had["FunctionName"],
            Qualifier=made.attributes["Version"],
        )


class Alias:
    replacing = frozenset({"FunctionName", "Name"})

    async def _put(self, operation: str, site: Site, wish: Properties) -> Made:
        function, version, name = need(wish, "FunctionName", "FunctionVersion", "Name")
        routing = wish.get("RoutingConfig", {}).get("AdditionalVersionWeights")
        weights = {w["FunctionVersion"]: float(w["FunctionWeight"]) for w in routing or []}
        made = await site.call(
            "lambda",
            operation,
            FunctionName=function,
            Name=name,
            FunctionVersion=str(version),
            Description=wish.get("Description"),
            RoutingConfig={"AdditionalVersionWeights": weights} if weights else None,
        )
        return Made(made["AliasArn"], {"AliasArn": made["AliasArn"]})

    async def create(self, site: Site, wish: Properties) -> Made:
        return await self._put("CreateAlias", site, wish)

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        return await self._put("UpdateAlias", site, wish)

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await site.gone("lambda", "DeleteAlias", FunctionName=had["FunctionName"], Name=had["Name"])


class Url:
    replacing = frozenset({"TargetFunctionArn", "Qualifier"})

    async def _put(
        self, operation: str, site: Site, wish: Properties, old: Properties | None = None
    ) -> Made:
        """What the template no longer names (``old`` did) goes back to its default."""
        defaults = {"Cors": {}, "InvokeMode": "BUFFERED"}
        wish = {name: defaults[name] for name in defaults if name in (old or {})} | wish
        function, auth = need(wish, "TargetFunctionArn", "AuthType")
        made = await site.call(
            "lambda",
            operation,
            FunctionName=function,
            Qualifier=wish.get("Qualifier"),
            AuthType=auth,
            Cors=whole(wish.get("Cors")),
            InvokeMode=wish.get("InvokeMode"),
        )
        arn = made["FunctionArn"]
        return Made(arn, {"FunctionArn": arn, "FunctionUrl": made["FunctionUrl"]})

    async def create(self, site: Site, wish: Properties) -> Made:
        return await self._put("CreateFunctionUrlConfig", site, wish)

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        return await self._put("UpdateFunctionUrlConfig", site, wish, old)

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await site.gone(
            "lambda",
            "DeleteFunctionUrlConfig",
            FunctionName=had["TargetFunctionArn"],
            Qualifier=had.get("Qualifier"),
        )


class EventSourceMapping:
    """``Ref`` gives its UUID. What another source than a stream would need is refused by Lambda."""

    replacing = frozenset({"EventSourceArn", "StartingPosition", "StartingPositionTimestamp"})

    @staticmethod
    def _settings(wish: Properties, old: Properties) -> dict[str, Any]:
        """As the API takes them; what the template no longer names goes back to its default."""
        defaults = {
            "BatchSize": 100, "BisectBatchOnFunctionError": False, "Enabled": True,
            "DestinationConfig": {"OnFailure": {}}, "FilterCriteria": {"Filters": []},
            "FunctionResponseTypes": [], "MaximumBatchingWindowInSeconds": 0,
            "MaximumRecordAgeInSeconds": -1, "MaximumRetryAttempts": -1,
            "ParallelizationFactor": 1, "TumblingWindowInSeconds": 0,
        }  # fmt: skip
        gone = {n: v for n, v in defaults.items() if n in old and n not in wish}
        settings = {n: whole(v) for n, v in wish.items() if n not in ("Tags", "FilterCriteria")}
        if "FilterCriteria" in wish:  # patterns stay texts, whatever they look like
            settings["FilterCriteria"] = wish["FilterCriteria"]
        for name in ("MaximumRecordAgeInSeconds", "MaximumRetryAttempts"):
            if name in settings:
                settings[name] = int(settings[name])  # "-1"
        return gone | settings

    async def create(self, site: Site, wish: Properties) -> Made:
        need(wish, "FunctionName")
        made = await site.call(
            "lambda",
            "CreateEventSourceMapping",
            **self._settings(wish, {}),
            Tags=tag_map(wish, site) or None,
        )
        uuid, arn = made["UUID"], made["EventSourceMappingArn"]
        return Made(uuid, {"Id": uuid, "EventSourceMappingArn": arn})

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        settings = self._settings(wish, old)
        for name in self.replacing:
            settings.pop(name, None)
        await site.call("lambda", "UpdateEventSourceMapping", UUID=made.physical_id, **settings)
        return made

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await site.gone("lambda", "DeleteEventSourceMapping", UUID=made.physical_id)


class EventInvokeConfig:
    """How often a function's events are tried, and who hears of their end. One for a qualifier: a
    change replaces the whole of it."""

    replacing = frozenset({"FunctionName", "Qualifier"})

    @staticmethod
    async def _put(site: Site, wish: Properties) -> None:
        function, qualifier = need(wish, "FunctionName", "Qualifier")
        await site.call(
            "lambda",
            "PutFunctionEventInvokeConfig",
            FunctionName=function,
            Qualifier=qualifier,
            MaximumEventAgeInSeconds=whole(wish.get("MaximumEventAgeInSeconds")),
            MaximumRetryAttempts=whole(wish.get("MaximumRetryAttempts")),
            DestinationConfig=wish.get("DestinationConfig"),
        )

    async def create(self, site: Site, wish: Properties) -> Made:
        await self._put(site, wish)
        return Made(site.name(128))

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        await self._put(site, wish)
        return made

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        told = {"FunctionName": had["FunctionName"], "Qualifier": had["Qualifier"]}
        await site.gone("lambda", "DeleteFunctionEventInvokeConfig", **told)


KINDS: dict[str, Any] = {
    "AWS::Lambda::Function": Function(),
    "AWS::Lambda::LayerVersion": LayerVersion(),
    "AWS::Lambda::Permission": Permission(),
    "AWS::Lambda::Version": Version(),
    "AWS::Lambda::Alias": Alias(),
    "AWS::Lambda::Url": Url(),
    "AWS::Lambda::EventSourceMapping": EventSourceMapping(),
    "AWS::Lambda::EventInvokeConfig": EventInvokeConfig(),
}
