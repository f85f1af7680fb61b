"""The cloud's processes on this machine: what each runs, in the order they start."""

from __future__ import annotations

import functools
import sys
from typing import Any

from pileus import front
from pileus.config import Config
from pileus.edge import caddy
from pileus.nodes import places
from pileus.runtime.egress import Allowed
from pileus.services import vault
from pileus.supervisor import Part
from pileus.telemetry import collect


def parts(config: Config) -> list[Part]:
    """The cloud's processes, in the order they start."""
    Allowed.parse([config.egress_allow])  # says what is wrong before anything is started
    vault.check(config)
    numbers = range(config.fronts)
    first, *fronts = [Part(f"front-{i}", functools.partial(front.run, config, i)) for i in numbers]
    return [
        *_log(config),
        first,
        Part("runtime", functools.partial(_runtime, config)),
        Part("caddy", functools.partial(_caddy, config)),
        Part("meters", functools.partial(collect.run, config.home, config.metrics_hours)),
        *fronts,
    ]


def _log(config: Config) -> list[Part]:
    """A node's server of the log, wanted as soon as there are two nodes; nothing on one machine.
    ``Unavailable`` when there is no server to run, or it lacks something."""
    cluster = places.load(config.home)
    if cluster is None:
        return []
    from pileus.nodes import fitting

    fitting.check_log_server(config.home, cluster)
    wanted = cluster.engine == places.CLUSTER
    return [Part("log", functools.partial(fitting.run_log_server, config), wanted=wanted)]


def _caddy(config: Config) -> None:
    cluster = places.load(config.home)
    if cluster is None:
        caddy.run(config, config.fronts)
    else:
        from pileus.nodes.members import neighbours

        caddy.run(config, config.fronts, neighbours(config.home, cluster))


def _runtime(config: Config) -> None:
    """Forked like the fronts, and so nearly free. What runs functions is an interpreter of its own
    that this process starts: nothing loaded here reaches it."""
    from pileus.runtime import __main__ as runtime

    host = "127.0.0.1" if config.bind == "0.0.0.0" else config.bind
    words: list[Any] = ["--home", config.home, "--api", f"{host}:{config.port}"]
    words += ["--bind", config.bind]
    words += ["--egress-allow", config.egress_allow] if config.egress_allow else []
    words += ["--weak-isolation"] if config.weak_isolation else []
    sys.exit(runtime.main([str(word) for word in words]))
