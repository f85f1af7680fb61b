"""What every operation of this service is given: the store, the clock, the tables, the shapes."""

from __future__ import annotations

from typing import Any

from pileus.model_files import ModelFiles
from pileus.services import placing
from pileus.services.call import Call
from pileus.services.dynamodb.catalog import Catalog
from pileus.services.dynamodb.schema import Table
from pileus.services.dynamodb.shapes import Shapes
from pileus.services.dynamodb.throughput import Throughput


class Room:
    """Parts of the service, bound to its operations by ``build``."""

    def __init__(self, parts: Any, model: str = "dynamodb") -> None:
        self._model = model
        self.parts = parts
        self.store = parts.store
        self.clock = parts.clock
        self.tables = Catalog(parts.store)
        self.throughput = Throughput(parts.store, parts.clock, parts.meters)
        self._shapes: Shapes | None = None

    def parse(self, operation: str, body: Any) -> dict[str, Any]:
        """The exact reader: typed parameters or the service's error."""
        if self._shapes is None:
            from botocore.loaders import Loader  # costs a third of a start

            loader = Loader(file_loader=ModelFiles())
            self._shapes = Shapes(loader.load_service_model(self._model, "service-2"))
        return self._shapes.parse(operation, body)

    def new_table_id(self) -> str:
        """The short name of a table that is to be made."""

        def every() -> list[str]:
            return [table.id for table in self.tables.all()]

        return placing.table_id(self.store.tablets, every, self.clock.random_bytes)

    def count(self, table: Table, call: Call) -> int:
        """The block that counts an operation on this table."""
        labels = {"table": table.name, "account": call.account, "region": call.region}
        block: int = self.parts.meters.requests(
            "pileus_request", service="dynamodb", operation=call.operation, **labels
        )
        table.meters[call.operation] = block
        return block

    def table(self, call: Call, name: str) -> Table:
        """The table an item operation names."""
        return self.tables.get(call.account, call.region, name)
