"""Where others find this cloud's API: the start of every address that is handed out."""

from __future__ import annotations

from typing import Any

from pileus.config import Config

# By TLS at the standard port, which some programs in functions insist on (runtime/authority.py).
IN_FUNCTIONS = "https://127.0.0.1"


def outside(config: Config) -> str:
    """For who is beside functions: on this machine, or on one that reaches it."""
    anywhere = ("", "0.0.0.0", "::")
    host = "127.0.0.1" if config.address in anywhere else config.address
    return f"http://{f'[{host}]' if ':' in host else host}:{config.port}"


async def in_functions(parts: Any) -> str:
    """For functions, which have a network of their own unless they run unjailed."""
    if parts.config.weak_isolation:
        told = await parts.runtime.stats()
        if told["isolation"]["kind"] == "weak":
            return f"http://127.0.0.1:{parts.config.port}"
    return IN_FUNCTIONS
