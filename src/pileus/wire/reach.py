"""Which rows a strong read of DynamoDB's items touches: so that of several shards' logs only those
are waited for that it needs."""

from __future__ import annotations

from typing import Any

import orjson

from pileus.services.call import HttpRequest
from pileus.services.dynamodb.catalog import Catalog
from pileus.services.placing import DYNAMODB
from pileus.state import keys
from pileus.state.strongly import Span, Spans


class Reach:
    """``store``: a ``Store``. Tables are known by name alone, whosever they are: more shards than
    need be are waited for, never fewer."""

    def __init__(self, store: Any) -> None:
        self._catalog = Catalog(store)
        self._seen = -1
        self._ids: dict[str, list[str]] = {}

    def of(self, request: HttpRequest) -> Spans | None:
        """The rows of the tables that ``request`` names, as they are known when it is asked; None:
        it does not say."""
        if "content-encoding" in request.headers:
            return None
        try:
            told = orjson.loads(request.body)
            names = [told["TableName"]] if "TableName" in told else list(told["RequestItems"])
            wanted = [name.rpartition("table/")[2].partition("/")[0] for name in names]
        except (ValueError, LookupError, TypeError, AttributeError):
            return None
        return lambda: self._spans(wanted)

    def _spans(self, names: list[str]) -> list[Span]:
        if self._catalog.now() != self._seen:
            self._seen = self._catalog.now()
            self._ids = {}
            for table in self._catalog.all():
                self._ids.setdefault(table.name, []).append(table.id)
        prefixes = [DYNAMODB + i.encode() for name in names for i in self._ids.get(name, ())]
        return [(prefix, keys.after_prefix(prefix)) for prefix in prefixes]
