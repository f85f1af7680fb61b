"""DescribeParameters: what there is, without the values.

https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DescribeParameters.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call, Parts
from pileus.services.ssm import filters, rows

LIST_MAX = 50
Record = dict[str, Any]


def describe_parameters(parts: Parts, call: Call) -> Record:
    p = call.params
    older = [{**f, "Option": "BeginsWith" if f["Key"] == "Name" else "Equals"}
             for f in p.get("Filters", [])]  # fmt: skip
    wanted = filters.of([*older, *p.get("ParameterFilters", [])])
    limit = filters.limit_of(p, LIST_MAX, LIST_MAX)
    out: list[tuple[str, Record]] = []
    for name, record in rows.parameters(parts.store, call.place, "", p.get("NextToken") or ""):
        if wanted(name, record):
            out.append((name, record))
        if len(out) > limit:
            break
    page = out[:limit]
    told = [_told(parts, call, name, record) for name, record in page]
    return {"Parameters": told} | ({"NextToken": page[-1][0]} if len(out) > limit else {})


def _told(parts: Parts, call: Call, name: str, record: Record) -> Record:
    version = parts.store.get_json(rows.version_key(call.place, name, record["version"]))
    return {
        "Name": name,
        "ARN": rows.arn(call, name),
        "Type": record["type"],
        "LastModifiedDate": version["written_ms"] / 1000,
        "LastModifiedUser": version["by"],
        "Version": record["version"],
        "Tier": record["tier"],
        "Policies": [],
        "DataType": "text",
        **filters.optional(record),
    }
