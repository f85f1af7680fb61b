"""What can be set, in one frozen record: from ``$PILEUS_HOME/pileus.toml``, then environment, then
flags."""

from __future__ import annotations

import dataclasses
import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pileus.groups import cores

SHARDS_MAX = 16  # many more streams are far slower


@dataclass(frozen=True)
class Config:
    """Every setting. Times in seconds, sizes in bytes. Durability has no setting.

    ``egress_allow``: what functions, origins and HTTP integrations may reach besides the public
    internet: ``HOST``, ``HOST:PORT``, ``CIDR`` or ``CIDR:PORT``, separated by commas
    (``nas.lan:8080, 10.1.0.0/16, [fd00::/8]:443``).
    """

    home: Path = Path("~/.pileus")
    host: str = ""  # where other machines reach this one; '': bind
    bind: str = "127.0.0.1"
    loopback: bool = True  # where bind is one address of a network: users' ports on 127.0.0.1 too
    port: int = 4566
    edge_port: int = 8000
    edge_tls_port: int = 8443
    node_port: int = 4567  # between nodes of a cluster, as the next two
    log_port: int = 4222
    log_route_port: int = 6222
    rebuild_after_s: int = 900  # a node silent for so long: its blobs are copied to another
    front_processes: int = 0  # 0: one per core that may be used
    shards: int = 0  # at least so many logs and state files; never fewer than the home has
    account: str = "000000000000"
    accounts: str = (
        ""  # further accounts (12 digits each, comma-separated) with owners of their own
    )
    region: str = "us-east-1"
    dev: bool = False
    weak_isolation: bool = False
    body_bytes_max: int = 5 * 1024**3
    function_concurrency_max: int = 100
    egress_allow: str = ""
    s3_log_delivery_s: int = 60  # how long lines of access logs wait before they are put
    s3_day_s: int = 86_400  # how long a day of lifecycle rules and restores lasts; less for tests
    s3_restore_s: int = 60  # a standard restore from GLACIER; the other ways in proportion
    s3_transition_bytes_min: int = 128 * 1024  # lifecycle leaves smaller objects in their class
    backup_patience_days: int = 30  # how long the log is kept for a backup that does not run again
    root_key_file: str = ""  # where the root key lies; '': root.key in the home
    metrics_hours: int = 6  # how long metrics are kept by the second (by the minute: 15 days)
    # New buckets as before April 2023 (lists on, nothing blocked), owners' names as before 2026.
    s3_legacy_defaults: bool = False

    def all_accounts(self) -> list[str]:
        """The first account and the further ones."""
        return [self.account, *(a.strip() for a in self.accounts.split(",") if a.strip())]

    @property
    def binds(self) -> list[str]:
        """Where the API and the edge listen."""
        own = self.bind.startswith("127.") or self.bind in ("0.0.0.0", "::", "::1", "localhost")
        return [self.bind, *(["127.0.0.1"] if self.loopback and not own else [])]

    @property
    def fronts(self) -> int:
        """How many processes serve."""
        return self.front_processes or cores()

    @property
    def address(self) -> str:
        """By which other machines reach this one."""
        return self.host or self.bind

    def path(self, *parts: str) -> Path:
        """A path under the home directory."""
        return self.home.joinpath(*parts)


def load(**flags: Any) -> Config:
    """Defaults, then ``pileus.toml``, then ``PILEUS_*`` variables, then ``flags`` that are not
    None.
    Raises ``ValueError`` naming the setting that does not fit."""
    home = (
        Path(flags.get("home") or os.environ.get("PILEUS_HOME") or "~/.pileus")
        .expanduser()
        .absolute()
    )
    values: dict[str, Any] = {}
    file = home / "pileus.toml"
    if file.exists():
        values |= tomllib.loads(file.read_text())
    recorded, shared = _of_cluster(home)
    values |= recorded
    for field in dataclasses.fields(Config):
        text = os.environ.get(f"PILEUS_{field.name.upper()}")
        if text is not None:
            values[field.name] = text
    values |= {name: value for name, value in flags.items() if value is not None}
    values["home"] = home
    for name, value in recorded.items():
        if str(values[name]) == "0":  # "any free port" was chosen when the home became a node
            values[name] = value
    if values.get("host"):
        values.setdefault("bind", values["host"])
    known = {f.name: f for f in dataclasses.fields(Config)}
    for name in values:
        if name not in known:
            raise ValueError(f"unknown setting {name!r} in {file}; `pileus config` lists them")
    config = Config(**{name: _fit(known[name], value) for name, value in values.items()})
    for name, value in shared.items():
        if name in values and getattr(config, name) != value:
            raise ValueError(f"setting {name} is the cluster's: {value!r} on every node")
    config = dataclasses.replace(config, **shared)
    if not 0 <= config.shards <= SHARDS_MAX:
        raise ValueError(f"setting shards: {config.shards} is not between 0 and {SHARDS_MAX}")
    for account in config.all_accounts():
        if not (account.isdigit() and len(account) == 12):
            raise ValueError(f"setting accounts: {account!r} is not an account of 12 digits")
    return config


def _of_cluster(home: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of a node's home: its address and ports as it had them last, and the cluster's settings."""
    try:
        told = json.loads((home / "cluster.json").read_text())
    except FileNotFoundError:
        return {}, {}
    here = next(n for n in told["nodes"] if n["name"] == told["name"])
    recorded = {k: v for k, v in here.items() if k.endswith("port")}
    return recorded | {"host": here["address"]}, told["shared"]


def _fit(field: dataclasses.Field[Any], value: Any) -> Any:
    if field.name == "home":
        return value
    try:
        if field.type == "bool":
            return (
                value
                if isinstance(value, bool)
                else str(value).lower() in ("1", "true", "yes", "on")
            )
        return int(value) if field.type == "int" else str(value)
    except ValueError as e:
        raise ValueError(f"setting {field.name} must be {field.type}, not {value!r}") from e
