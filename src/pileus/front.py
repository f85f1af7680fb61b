"""A front process: one event loop that answers every door of the cloud. The first one also
writes."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys

import uvloop

from pileus import assembly, heap
from pileus.config import Config

GC_YOUNG, GC_MIDDLE, GC_OLD = 20_000, 50, 50


def run(config: Config, index: int) -> None:
    """Serve until SIGTERM; the first process (``index`` 0) owns the log and the background work."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format=f"%(asctime)s front-{index} %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    heap.keep_large_blocks()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config, index))


def _settle_heap() -> None:
    """What the start made stays: the collector need not walk it again (models alone are hundreds
    of thousands of objects). A request's objects are freed by their counts, so it may look
    later."""
    gc.collect()
    heap.give_back()
    gc.freeze()
    gc.set_threshold(GC_YOUNG, GC_MIDDLE, GC_OLD)


async def _serve(config: Config, index: int) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    front = await assembly.assemble(config, index)
    await front.start()
    _settle_heap()
    logging.getLogger("pileus.front").info("ready (process %d)", os.getpid())
    await stopping.wait()
    await front.stop()
