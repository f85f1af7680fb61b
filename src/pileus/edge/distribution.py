"""Distributions made ready to serve, by host name; kept while no row has changed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import orjson
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from pileus.edge import selection
from pileus.edge.response_headers import ResponseHeaders
from pileus.edge.selection import Selection
from pileus.services.cloudfront import managed, rows
from pileus.services.cloudfront.rows import items
from pileus.state import keys
from pileus.state.store import Store

HOST_SUFFIX = ".cloudfront.localhost"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where content comes from. ``bucket`` is '' for HTTP origins; ``signer``:
    ``oai:ID:CANONICAL``,
    ``oac`` or '' (anonymous)."""

    id: str
    domain: str
    path: str
    bucket: str
    signer: str
    headers: tuple[tuple[str, str], ...]
    protocol: str
    http_port: int
    https_port: int
    attempts: int
    connect_s: float
    read_s: float


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one path pattern is served. TTLs in seconds."""

    pattern: re.Pattern[str] | None
    origin: Origin
    protocol: str
    methods: frozenset[str]
    cached_methods: frozenset[str]
    key_headers: tuple[str, ...]
    all_headers_in_key: bool  # legacy "*": nothing is cached
    key_cookies: Selection
    key_queries: Selection
    forward_headers: Selection
    forward_cookies: Selection
    forward_queries: Selection
    ttl_min: int
    ttl_default: int
    ttl_max: int
    compress: bool
    response_headers: ResponseHeaders | None
    signers: dict[str, Any] | None  # public keys by id that may sign; None: open to all
    plain_key: bool  # the key is path (and query) alone


@dataclass(frozen=True, slots=True)
class Distribution:
    id: str
    account: str
    arn: str
    comment: str
    enabled: bool
    root: str
    behaviours: tuple[Behaviour, ...]
    default: Behaviour
    errors: dict[int, dict[str, Any]]

    def behaviour(self, path: str) -> Behaviour:
        """The first whose pattern matches what an origin may take the raw ``path`` for: written
        otherwise (``/%70rivate/``, ``/a/../private/``), it must not slip past a guard."""
        if "%" in path or "/." in path:
            path = _plain(path)
        for each in self.behaviours:
            if each.pattern is not None and each.pattern.match(path):
                return each
        return self.default


class Distributions:
    """The distributions by id and by alias, read again when a row changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._generation = -1
        self._by_host: dict[str, Distribution] = {}
        self._home: Distribution | None = None

    def by_host(self, host: str) -> Distribution | None:
        """The distribution whose domain name or alias is ``host`` (lower case, no port)."""
        self._refresh()
        found = self._by_host.get(host)
        if found is None and "." in host:
            found = self._by_host.get("*" + host[host.index(".") :])
        return found

    def by_id(self, id_: str) -> Distribution | None:
        self._refresh()
        return self._by_host.get(id_.lower() + HOST_SUFFIX)

    def home(self) -> Distribution | None:
        """The one tagged ``pileus:home``: what the bare address of the edge shows."""
        self._refresh()
        return self._home

    def all(self) -> list[Distribution]:
        """Every enabled distribution, by id."""
        self._refresh()
        by_id = {d.id: d for d in self._by_host.values() if d.enabled}
        return [by_id[id_] for id_ in sorted(by_id)]

    def _refresh(self) -> None:
        now = self._store.generation(rows.TABLE)
        if now == self._generation:
            return
        found: dict[str, dict[str, Any]] = {}
        prefix = keys.table_prefix(rows.TABLE)
        for row in self._store.range(prefix, keys.after_prefix(prefix), 1_000_000):
            _, kind, raw_id = keys.split(row.key)
            found.setdefault(kind.decode(), {})[raw_id.decode()] = orjson.loads(row.value)
        by_host: dict[str, Distribution] = {}
        home = None
        for id_, row in found.get("distribution", {}).items():
            made = _distribution(id_, row, found)
            by_host[id_.lower() + HOST_SUFFIX] = made
            for alias in items(row["config"]["Aliases"]):
                by_host[alias.lower()] = made
            if "pileus:home" in row["tags"] and made.enabled:
                home = made
        self._by_host, self._home, self._generation = by_host, home, now


def _distribution(id_: str, row: dict[str, Any], found: dict[str, Any]) -> Distribution:
    config = row["config"]
    origins = {o["Id"]: _origin(o, found) for o in items(config["Origins"])}
    return Distribution(
        id_,
        row["account"],
        f"arn:aws:cloudfront::{row['account']}:distribution/{id_}",
        config.get("Comment") or "",
        config["Enabled"],
        config["DefaultRootObject"],
        tuple(_behaviour(b, origins, found) for b in items(config["CacheBehaviors"])),
        _behaviour(config["DefaultCacheBehavior"], origins, found),
        {e["ErrorCode"]: e for e in items(config["CustomErrorResponses"])},
    )


def _origin(origin: dict[str, Any], found: dict[str, Any]) -> Origin:
    s3, custom = origin.get("S3OriginConfig"), origin.get("CustomOriginConfig") or {}
    identity = (s3 or {}).get("OriginAccessIdentity", "").rpartition("/")[2]
    signer = ""
    if identity:
        row = found.get("origin-access-identity", {}).get(identity)
        signer = f"oai:{identity}:{row['told']['S3CanonicalUserId']}" if row else "gone"
    elif origin["OriginAccessControlId"]:
        row = found.get("origin-access-control", {}).get(origin["OriginAccessControlId"])
        signs = row is not None and row["config"]["SigningBehavior"] != "never"
        signer = "oac" if signs else ""
    bucket = re.split(r"\.s3[.-]", origin["DomainName"], maxsplit=1)[0] if s3 is not None else ""
    custom_headers = items(origin["CustomHeaders"])
    return Origin(
        origin["Id"],
        origin["DomainName"],
        origin["OriginPath"],
        bucket,
        signer,
        tuple((h["HeaderName"].lower(), h["HeaderValue"]) for h in custom_headers),
        custom.get("OriginProtocolPolicy", "http-only"),
        custom.get("HTTPPort", 80),
        custom.get("HTTPSPort", 443),
        origin["ConnectionAttempts"],
        float(origin["ConnectionTimeout"]),
        float(custom.get("OriginReadTimeout") or 30),
    )


def _policy(found: dict[str, Any], kind: str, id_: str | None) -> dict[str, Any]:
    row = managed.find(kind, id_ or "") or found.get(kind, {}).get(id_) or {}
    return dict(row.get("config") or {})


def _behaviour(b: dict[str, Any], origins: dict[str, Origin], found: dict[str, Any]) -> Behaviour:
    if b.get("ForwardedValues"):
        headers, cookies, queries = selection.legacy(b["ForwardedValues"])
        ttls = (b["MinTTL"], b["DefaultTTL"], b["MaxTTL"])
    else:
        policy = _policy(found, "cache-policy", b["CachePolicyId"])
        part = policy.get("ParametersInCacheKeyAndForwardedToOrigin") or {}
        headers = selection.of(part.get("HeadersConfig"), "HeaderBehavior", "Headers", True)
        cookies = selection.of(part.get("CookiesConfig"), "CookieBehavior", "Cookies")
        queries = selection.of(
            part.get("QueryStringsConfig"), "QueryStringBehavior", "QueryStrings"
        )
        ttls = (policy.get("MinTTL", 0), policy.get("DefaultTTL", 0), policy.get("MaxTTL", 0))
    request = _policy(found, "origin-request-policy", b.get("OriginRequestPolicyId"))
    more = selection.of(request.get("HeadersConfig"), "HeaderBehavior", "Headers", True)
    more_cookies = selection.of(request.get("CookiesConfig"), "CookieBehavior", "Cookies")
    more_queries = selection.of(
        request.get("QueryStringsConfig"), "QueryStringBehavior", "QueryStrings"
    )
    answer = _policy(found, "response-headers-policy", b.get("ResponseHeadersPolicyId"))
    pattern = b.get("PathPattern")
    allowed = b["AllowedMethods"]
    names = tuple(sorted(headers.names)) if headers.mode == "whitelist" else ()
    return Behaviour(
        _compile(pattern) if pattern else None,
        origins[b["TargetOriginId"]],
        b["ViewerProtocolPolicy"],
        frozenset(items(allowed)),
        frozenset(items(allowed["CachedMethods"])),
        names,
        headers.mode == "all",
        cookies,
        queries,
        selection.union(headers, more),
        selection.union(cookies, more_cookies),
        selection.union(queries, more_queries),
        *ttls,
        b["Compress"],
        ResponseHeaders(answer) if answer else None,
        _signers(b["TrustedKeyGroups"], found),
        not names and cookies.mode == "none" and "OPTIONS" not in items(allowed["CachedMethods"]),
    )


def _signers(trusted: dict[str, Any], found: dict[str, Any]) -> dict[str, Any] | None:
    if not trusted.get("Enabled"):
        return None
    out = {}
    for group_id in items(trusted):
        group = found.get("key-group", {}).get(group_id) or {"config": {"Items": []}}
        for key_id in group["config"]["Items"]:
            row = found.get("public-key", {}).get(key_id)
            if row is not None:
                out[key_id] = load_pem_public_key(row["config"]["EncodedKey"].encode())
    return out


def _plain(path: str) -> str:
    """Percent-decoded, without dot segments (RFC 3986, 5.2.4)."""
    out: list[str] = []
    segments = unquote(path).split("/")
    for segment in segments:
        if segment == "..":
            out = out[:-1] or [""]
        elif segment != ".":
            out.append(segment)
    return "/".join(out) if len(out) > 1 else "/"


def _compile(pattern: str) -> re.Pattern[str]:
    """``*`` is any run of characters, ``?`` any one; a leading slash may be left out."""
    text = unquote(pattern if pattern.startswith(("/", "*")) else "/" + pattern)
    joined = re.escape(text).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(joined + r"\Z", re.DOTALL)
