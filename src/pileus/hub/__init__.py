"""Who hears about a change, and how often: consumers, positions, claims, retries, dead letters,
archive."""

from pileus.hub.consumer import Consumer, Record, Retry, read_position, trim
from pileus.hub.lease import Lease, LostLease
from pileus.hub.queue import Done, Item, Later, Queue, put
from pileus.hub.wake import Wake

__all__ = [
    "Consumer",
    "Done",
    "Item",
    "Later",
    "Lease",
    "LostLease",
    "Queue",
    "Record",
    "Retry",
    "Wake",
    "put",
    "read_position",
    "trim",
]
