"""Custom domain names and API mappings: which API answers at a host and path.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-custom-domain-names.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from pileus.services.apigateway import rows
from pileus.services.apigateway.room import Room
from pileus.services.apigateway.tags import check_tags
from pileus.services.call import Call
from pileus.state.draft import Draft

NAME = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9\-]{0,61}[a-z0-9])?\.)+[a-z0-9\-]{2,63}")
KEY = re.compile(r"[A-Za-z0-9$_.+!*'()\-]+(/[A-Za-z0-9$_.+!*'()\-]+)*")
OURS = (".localhost", ".amazonaws.com", ".cloudfront.net")
MAPPINGS_MAX = 200


async def create_domain_name(room: Room, call: Call) -> dict[str, Any]:
    """Claim a host name. Its certificate is Caddy's affair: a certificate's ARN is kept only."""
    params = call.params
    name = params["DomainName"]
    if len(name) > 253 or not NAME.fullmatch(name) or name.endswith(OURS):
        raise rows.bad(f"The domain name {name} is not valid: give a lower-case name of your own")
    if params.get("MutualTlsAuthentication"):
        raise rows.bad("MutualTlsAuthentication is not offered yet")
    if params.get("RoutingMode") not in (None, "API_MAPPING_ONLY"):
        raise rows.bad("RoutingMode: only API_MAPPING_ONLY is offered")
    check_tags(params.get("Tags") or {})
    told = {
        "DomainName": name,
        "DomainNameArn": rows.arn(call.region, "domainnames", name),
        "ApiMappingSelectionExpression": "$request.basepath",
        "DomainNameConfigurations": _configurations(room, name, params),
        "RoutingMode": "API_MAPPING_ONLY",
        "Tags": params.get("Tags") or {},
    }

    def change(draft: Draft) -> None:
        if draft.get(rows.domain_key(name)) is not None:
            raise rows.conflict("The domain name you provided already exists.")
        row = {"account": call.account, "region": call.region, "told": told, "mappings": []}
        draft.put_json(rows.domain_key(name), row)

    await room.store.transact(change, call.invocation_id)
    return told


def _configurations(room: Room, name: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    given = params.get("DomainNameConfigurations") or [{}]
    return [
        {"EndpointType": "REGIONAL", "SecurityPolicy": "TLS_1_2", "IpAddressType": "ipv4"}
        | {"ApiGatewayDomainName": name, "DomainNameStatus": "AVAILABLE"}
        | rows.picked(each, "CertificateArn", "CertificateName", "EndpointType", "IpAddressType")
        for each in given
    ]


def get_domain_name(room: Room, call: Call) -> dict[str, Any]:
    row = room.store.get_json(rows.domain_key(call.params["DomainName"]))
    return dict(_owned(call, row)["told"])


def get_domain_names(room: Room, call: Call) -> dict[str, Any]:
    """The account's domain names in this region."""
    found = [orjson.loads(r.value) for r in room.store.range(*rows.domain_span(), 100_000)]
    mine = [d["told"] for d in found if (d["account"], d["region"]) == (call.account, call.region)]
    return {"Items": mine}


async def update_domain_name(room: Room, call: Call) -> dict[str, Any]:
    params = call.params

    def edit(domain: dict[str, Any]) -> dict[str, Any]:
        if params.get("DomainNameConfigurations"):
            made = _configurations(room, params["DomainName"], params)
            domain["told"]["DomainNameConfigurations"] = made
        return dict(domain["told"])

    return await _change(room, call, edit)


async def delete_domain_name(room: Room, call: Call) -> None:
    key = rows.domain_key(call.params["DomainName"])

    def change(draft: Draft) -> None:
        _owned(call, draft.get_json(key))
        draft.delete(key)

    await room.store.transact(change, call.invocation_id)


async def create_api_mapping(room: Room, call: Call) -> dict[str, Any]:
    """Let a stage answer at the domain, below ``ApiMappingKey`` (``v1/orders``) or at its root."""
    mapping = {"ApiMappingId": room.new_id("mapping")}

    def edit(domain: dict[str, Any]) -> dict[str, Any]:
        if len(domain["mappings"]) >= MAPPINGS_MAX:
            raise rows.bad("Maximum number of API mappings for this domain has been reached")
        domain["mappings"].append(mapping)
        return _set_mapping(room, call, domain, mapping)

    return await _change(room, call, edit)


async def update_api_mapping(room: Room, call: Call) -> dict[str, Any]:
    def edit(domain: dict[str, Any]) -> dict[str, Any]:
        mapping = _mapping(domain, call.params["ApiMappingId"])
        return _set_mapping(room, call, domain, mapping)

    return await _change(room, call, edit)


def _set_mapping(
    room: Room, call: Call, domain: dict[str, Any], mapping: dict[str, Any]
) -> dict[str, Any]:
    """Apply the call's members, check them; the longest keys come first, as they decide first."""
    mapping |= rows.picked(call.params, "ApiId", "Stage", "ApiMappingKey")
    key = mapping.setdefault("ApiMappingKey", "")
    if key and not KEY.fullmatch(key):
        raise rows.bad(f"API mapping key should not contain invalid characters: {key}")
    room.api(Call(call.service, call.operation, call.principal, call.region, mapping))
    if room.store.get(rows.part_key(mapping["ApiId"], "stage", mapping["Stage"])) is None:
        raise rows.bad("Invalid stage identifier specified")
    for other in domain["mappings"]:
        if other is not mapping and other["ApiMappingKey"] == key:
            raise rows.conflict("ApiMapping key already exists for this domain name")
    domain["mappings"].sort(key=lambda m: -len(m["ApiMappingKey"]))
    return dict(mapping)


def get_api_mapping(room: Room, call: Call) -> dict[str, Any]:
    row = room.store.get_json(rows.domain_key(call.params["DomainName"]))
    return dict(_mapping(_owned(call, row), call.params["ApiMappingId"]))


def get_api_mappings(room: Room, call: Call) -> dict[str, Any]:
    row = room.store.get_json(rows.domain_key(call.params["DomainName"]))
    return {"Items": _owned(call, row)["mappings"]}


async def delete_api_mapping(room: Room, call: Call) -> None:
    def edit(domain: dict[str, Any]) -> dict[str, Any]:
        domain["mappings"].remove(_mapping(domain, call.params["ApiMappingId"]))
        return {}

    await _change(room, call, edit)


def mapped(draft: Draft, api_id: str) -> bool:
    """Does any domain lead to the API?"""
    found = draft.range(*rows.domain_span(), limit=100_000)
    return any(m["ApiId"] == api_id for r in found for m in orjson.loads(r.value)["mappings"])


async def _change(
    room: Room, call: Call, edit: Callable[[dict[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    key = rows.domain_key(call.params["DomainName"])

    def change(draft: Draft) -> dict[str, Any]:
        domain = _owned(call, draft.get_json(key))
        told = edit(domain)
        draft.put_json(key, domain)
        return told

    return await room.store.transact(change, call.invocation_id)


def _owned(call: Call, row: dict[str, Any] | None) -> dict[str, Any]:
    if row is None or (row["account"], row["region"]) != (call.account, call.region):
        raise rows.no_such("domain", call.params["DomainName"])
    return row


def _mapping(domain: dict[str, Any], mapping_id: str) -> dict[str, Any]:
    for mapping in domain["mappings"]:
        if mapping["ApiMappingId"] == mapping_id:
            found: dict[str, Any] = mapping
            return found
    raise rows.no_such("mapping", mapping_id)
