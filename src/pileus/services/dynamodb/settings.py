"""A table's description: built and checked from CreateTable and UpdateTable parameters.

Checks and their order are the service's. The row keeps AWS's own members plus private ones in
lower case: ``id`` (this incarnation), ``tags``, ``ttl``, ``pitr``, ``policy``.
"""

from __future__ import annotations

from typing import Any

from pileus.services.dynamodb.faults import bad_parameter, invalid

UNITS_MAX = 1_000_000_000_000
GLOBAL_MAX = 20
LOCAL_MAX = 5
PROJECTED_MAX = 100
KEY_PARTS_MAX = 4
INDEXES = ("LocalSecondaryIndexes", "GlobalSecondaryIndexes")
NEITHER = (
    "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is"
    " PAY_PER_REQUEST"
)


def check_new_table(p: dict[str, Any]) -> None:
    """CreateTable's own checks, after shapes and constraints; ``AwsError``."""
    _check_throughput(p)
    definitions = [a["AttributeName"] for a in p["AttributeDefinitions"]]
    check_unique_definitions(definitions)
    _check_table_keys(p["KeySchema"], definitions)
    has_indexes = "LocalSecondaryIndexes" in p or "GlobalSecondaryIndexes" in p
    if not has_indexes and len(p["KeySchema"]) != len(definitions):
        raise bad_parameter(
            "Number of attributes in KeySchema does not exactly match number of attributes defined"
            " in AttributeDefinitions"
        )
    names: set[str] = set()
    if "LocalSecondaryIndexes" in p:
        _check_local(p, definitions, names)
    if "GlobalSecondaryIndexes" in p:
        _check_global(p, definitions, names)
    if has_indexes:
        check_all_used(p, definitions)
        check_projected(p)
    check_stream(p.get("StreamSpecification"))


def check_unique_definitions(definitions: list[str]) -> None:
    """Each attribute is defined once."""
    seen: set[str] = set()
    for name in definitions:
        if name in seen:
            raise invalid(f"Attribute Name is duplicated: {name}")
        seen.add(name)


def check_all_used(p: dict[str, Any], definitions: list[str]) -> None:
    """Every defined attribute is a key of the table or of an index."""
    used = {k["AttributeName"] for k in p["KeySchema"]}
    for member in ("LocalSecondaryIndexes", "GlobalSecondaryIndexes"):
        for index in p.get(member) or ():
            used |= {k["AttributeName"] for k in index["KeySchema"]}
    unused = [d for d in definitions if d not in used]
    if unused:
        keys = ", ".join(sorted(used))
        raise bad_parameter(
            "Some AttributeDefinitions are not used. AttributeDefinitions:"
            f" [{', '.join(definitions)}], keys used: [{keys}]"
        )


def _check_throughput(p: dict[str, Any]) -> None:
    units = p.get("ProvisionedThroughput")
    if p.get("BillingMode") == "PAY_PER_REQUEST":
        if units:
            raise bad_parameter(NEITHER)
        return
    if not units:
        raise bad_parameter(
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is"
            " PROVISIONED"
        )
    check_units(units)


def check_units(units: dict[str, Any]) -> None:
    """Provisioned units within the service's bounds."""
    for member in ("ReadCapacityUnits", "WriteCapacityUnits"):
        if units[member] > UNITS_MAX:
            raise invalid(f"Given value {units[member]} for {member} is out of bounds")


def _check_table_keys(schema: list[dict[str, str]], definitions: list[str]) -> None:
    names = [k["AttributeName"] for k in schema]
    if len(names) > len(definitions):
        raise invalid("Invalid KeySchema: Some index key attribute have no definition")
    check_defined(names, definitions)
    check_key_types(schema)


def check_defined(names: list[str], definitions: list[str]) -> None:
    """Index and table keys are defined attributes."""
    if any(n not in definitions for n in names):
        raise bad_parameter(
            "Some index key attributes are not defined in AttributeDefinitions."
            f" Keys: [{', '.join(names)}], AttributeDefinitions: [{', '.join(definitions)}]"
        )


def check_key_types(schema: list[dict[str, str]]) -> None:
    """HASH first, then RANGE, of different names."""
    if len(schema) == 2 and schema[0]["AttributeName"] == schema[1]["AttributeName"]:
        raise invalid(
            "Both the Hash Key and the Range Key element in the KeySchema have the same name"
        )
    if schema[0]["KeyType"] != "HASH":
        raise invalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
    if len(schema) == 2 and schema[1]["KeyType"] != "RANGE":
        raise invalid("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")


def _check_local(p: dict[str, Any], definitions: list[str], names: set[str]) -> None:
    indexes = p["LocalSecondaryIndexes"]
    table_hash = p["KeySchema"][0]["AttributeName"]
    if not indexes:
        raise bad_parameter("List of LocalSecondaryIndexes is empty")
    if len(p["KeySchema"]) != 2:
        raise bad_parameter(
            "Table KeySchema does not have a range key, which is required when specifying a"
            " LocalSecondaryIndex"
        )
    for index in indexes:
        schema = index["KeySchema"]
        check_defined([k["AttributeName"] for k in schema], definitions)
        check_key_types(schema)
        name = index["IndexName"]
        if len(schema) != 2:
            raise bad_parameter(f"Index KeySchema does not have a range key for index: {name}")
        if schema[0]["AttributeName"] != table_hash:
            raise bad_parameter(
                "Index KeySchema does not have the same leading hash key as table KeySchema for"
                f" index: {name}. index hash key: {schema[0]['AttributeName']}, table hash key:"
                f" {table_hash}"
            )
        check_projection(index["Projection"])
        _check_name(name, names)
    if len(indexes) > LOCAL_MAX:
        raise bad_parameter("Number of LocalSecondaryIndexes exceeds per-table limit of 5")


def _check_global(p: dict[str, Any], definitions: list[str], names: set[str]) -> None:
    indexes = p["GlobalSecondaryIndexes"]
    if not indexes:
        raise bad_parameter("List of GlobalSecondaryIndexes is empty")
    for index in indexes:
        check_global_index(index, definitions, p.get("BillingMode") or "PROVISIONED")
        _check_name(index["IndexName"], names)
    if len(indexes) > GLOBAL_MAX:
        raise bad_parameter("GlobalSecondaryIndex count exceeds the per-table limit of 20")


def check_global_index(index: dict[str, Any], definitions: list[str], billing: str) -> None:
    """One global index's definition."""
    schema = index["KeySchema"]
    check_defined([k["AttributeName"] for k in schema], definitions)
    check_index_schema(schema)
    check_projection(index["Projection"])
    if billing == "PAY_PER_REQUEST" and index.get("ProvisionedThroughput"):
        raise bad_parameter(
            "ProvisionedThroughput should not be specified for index:"
            f" {index['IndexName']} when BillingMode is PAY_PER_REQUEST"
        )
    if billing == "PROVISIONED" and not index.get("ProvisionedThroughput"):
        raise bad_parameter(
            f"ProvisionedThroughput is not specified for index: {index['IndexName']}"
        )


def check_index_schema(schema: list[dict[str, str]]) -> None:
    """A global index may have up to four HASH and four RANGE attributes, in that order."""
    names = [k["AttributeName"] for k in schema]
    if len(schema) == 2 and names[0] == names[1]:
        check_key_types(schema)
    if len(schema) <= 2 and not (len(schema) == 2 and schema[1]["KeyType"] == "HASH"):
        check_key_types(schema)
        return
    kinds = [k["KeyType"] for k in schema]
    if kinds[0] != "HASH":
        raise invalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
    if kinds != sorted(kinds):
        raise bad_parameter(
            "All HASH key attributes must precede RANGE key attributes in the KeySchema"
        )
    for kind in ("HASH", "RANGE"):
        if kinds.count(kind) > KEY_PARTS_MAX:
            raise bad_parameter(
                f"The KeySchema exceeds the maximum allowed number of {kind} key attributes"
            )
    if len({k["AttributeName"] for k in schema}) != len(schema):
        raise bad_parameter("The KeySchema contains multiple key attributes with the same name")


def check_projection(projection: dict[str, Any]) -> None:
    """A projection's type and attributes fit together."""
    kind = projection.get("ProjectionType")
    if kind is None:
        raise bad_parameter("Unknown ProjectionType: null")
    listed = projection.get("NonKeyAttributes")
    if listed and kind != "INCLUDE":
        raise bad_parameter(f"ProjectionType is {kind}, but NonKeyAttributes is specified")
    if kind == "INCLUDE" and not listed:
        raise bad_parameter("ProjectionType is INCLUDE, but NonKeyAttributes is not specified")
    for number, name in enumerate(listed or ()):
        if name in listed[:number]:  # type: ignore[index]
            raise bad_parameter(f"Duplicate element in NonKeyAttributes: {name}")


def check_projected(table: dict[str, Any]) -> None:
    """All indexes of a table together list at most 100 attributes; one that two of them list counts
    twice (Developer Guide, "Quotas", secondary indexes)."""
    indexes = [i for m in INDEXES for i in table.get(m) or ()]
    listed = sum(len(i["Projection"].get("NonKeyAttributes") or ()) for i in indexes)
    if listed > PROJECTED_MAX:
        raise bad_parameter(
            "Number of attributes projected into secondary indexes exceeds the per-table limit of"
            f" {PROJECTED_MAX}"
        )


def _check_name(name: str, names: set[str]) -> None:
    if name in names:
        raise bad_parameter(f"Duplicate index name: {name}")
    names.add(name)


def check_stream(spec: dict[str, Any] | None) -> None:
    """A stream that is on needs a view type, one that is off must not have it."""
    if spec is None:
        return
    if spec["StreamEnabled"] and "StreamViewType" not in spec:
        raise bad_parameter("Table is being created with a stream but no StreamViewType is given")
    if not spec["StreamEnabled"] and "StreamViewType" in spec:
        raise bad_parameter("StreamViewType cannot be specified when StreamEnabled is false")
