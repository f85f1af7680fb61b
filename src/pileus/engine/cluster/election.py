"""Having the log's servers elect a leader now, instead of after their own 4 to 9 seconds.

JetStream's election timeout is a constant (``minElectionTimeoutDefault`` in raft.go). But a server
that is asked for its vote by a candidate whose log is shorter than its own does not only refuse: it
stands for election itself 0.1 to 0.8 s later (``processVoteRequest``). So a vote is asked for here
in the name of nobody. Raft's safety does not rest on who asks or when: a vote goes only to a log
that is whole, and an entry still needs most of the servers. What a needless call costs is a change
of leader; who may call, and when, is ``nodes.electing``'s to decide.

The request, as in raft.go: term, last term, last index (8 bytes each, little-endian), candidate (8
bytes). The answer: term, server, flags. A request of an old term changes nothing and tells terms.
"""

from __future__ import annotations

import asyncio
import struct

from pileus.engine.cluster.nats_client import Client, Msg

NOBODY = b"nobody.."
META = "_meta_"
TERMS_S, TERMS_TURNS_MAX = 0.15, 6
_request = struct.Struct("<QQQ8s")
_term = struct.Struct("<Q")
ANSWER_BYTES_MIN = 17


async def call(system: Client, group: str) -> int:
    """Have ``group`` (a stream's, or ``META``: who answers JetStream's API) elect; answers the
    term that begins so, 0 when no server of the group was heard. ``system``: a client that
    connected as the servers' operator."""
    terms: list[int] = []

    def heard(message: Msg) -> None:
        if len(message.data) >= ANSWER_BYTES_MIN:
            terms.append(_term.unpack_from(message.data)[0])

    inbox = system.new_inbox()
    subscription = await system.subscribe(inbox, cb=heard)
    try:
        _ask(system, group, 0, inbox)
        for _ in range(TERMS_TURNS_MAX):
            await asyncio.sleep(TERMS_S)
            if terms:
                break
        else:
            return 0
        term = max(terms) + 1
        _ask(system, group, term, inbox)
        return term
    finally:
        await subscription.unsubscribe()


def _ask(system: Client, group: str, term: int, inbox: str) -> None:
    system.send(f"$NRG.V.{group}", _request.pack(term, 0, 0, NOBODY), inbox)
