"""A front process: one event loop that answers every door of the cloud. The first one also
writes."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

import uvloop

from pileus import assembly
from pileus.config import Config


def run(config: Config, index: int) -> None:
    """Serve until SIGTERM; the first process (``index`` 0) owns the log and the background work."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format=f"%(asctime)s front-{index} %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config, index))


async def _serve(config: Config, index: int) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    front = await assembly.assemble(config, index)
    await front.start()
    logging.getLogger("pileus.front").info("ready (process %d)", os.getpid())
    await stopping.wait()
    await front.stop()
