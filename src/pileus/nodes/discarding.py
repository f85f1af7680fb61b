"""Throwing away this node's copy of one log, so that its server fetches all of it anew.

The last remedy for a copy that does not grow (``own_copy``), and only just after the servers have
told that all other copies are current. The wish is a file beside the copies; the log's server is
not up when it is done. An old wish is forgotten: how the others stand now nobody knows then.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import time
from pathlib import Path

from pileus.nodes.places import Files, write

log = logging.getLogger("pileus.nodes.discarding")
FRESH_S = 30.0
WISH, ASIDE = "discard.json", "discarded"
_STREAM, _GROUP = re.compile(r"LOG_\d+(_\d+)?"), re.compile(r"[A-Za-z0-9-]+")


def wish(home: Path, stream: str, group: str) -> bool:
    """At its next start the log's server is to be without ``stream`` and its raft ``group``; False
    where those are no names of such."""
    if not _STREAM.fullmatch(stream) or not _GROUP.fullmatch(group):
        return False
    told = {"stream": stream, "group": group, "at_s": time.time()}
    write(Files(home).log_store / WISH, json.dumps(told).encode())
    return True


def discard(home: Path) -> bool:
    """Do what was wished; the log's server must not be up. Answers whether a copy was removed."""
    store = Files(home).log_store
    file, aside = store / WISH, store / ASIDE
    shutil.rmtree(aside, ignore_errors=True)
    try:
        told = json.loads(file.read_text())
        file.unlink()
        fresh = abs(time.time() - told["at_s"]) < FRESH_S
        stream, group = str(told["stream"]), str(told["group"])
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError) as error:
        log.error("a wish to discard a copy of a log cannot be read: %r", error)
        return False
    if not fresh or not _STREAM.fullmatch(stream) or not _GROUP.fullmatch(group):
        return False
    # The group first: what then follows without it is fetched from where the messages end.
    found = [*store.glob(f"jetstream/*/_js_/{group}"), *store.glob(f"jetstream/*/streams/{stream}")]
    aside.mkdir()
    for number, folder in enumerate(found):
        folder.rename(aside / str(number))
    shutil.rmtree(aside)
    log.warning("the copy of %s here was thrown away: the others give it anew", stream)
    return bool(found)
