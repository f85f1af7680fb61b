"""botocore's service models, loaded when a service is first asked for, and their codecs.

botocore itself is imported then, too: it is a third of everything a start would import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pileus.errors import AwsError
from pileus.model_files import ModelFiles
from pileus.services.call import HttpResponse
from pileus.wire.protocols.json_rpc import CborRpc, JsonRpc
from pileus.wire.protocols.operation import OperationCodec, ProtocolCodec
from pileus.wire.protocols.query import Query
from pileus.wire.protocols.rest_json import RestJson
from pileus.wire.protocols.rest_xml import RestXml

if TYPE_CHECKING:
    from botocore.model import ServiceModel

_CODECS: dict[str, Any] = {
    "json": JsonRpc,
    "rest-json": RestJson,
    "rest-xml": RestXml,
    "query": Query,
    "smithy-rpc-v2-cbor": CborRpc,
}


class ServiceCodec:
    """One service in one protocol; operations compile at their first use."""

    def __init__(self, model: ServiceModel, protocol: str) -> None:
        self.model = model
        self.protocol = protocol
        self._codec: ProtocolCodec = _CODECS[protocol](model)
        self._operations: dict[str, OperationCodec] = {}

    def operation(self, name: str) -> OperationCodec | None:
        """The operation's codec, or None where the service's model has no such operation."""
        found = self._operations.get(name)
        if found is None:
            from botocore.model import OperationNotFoundError

            try:
                found = self._codec.compile(self.model.operation_model(name))
            except OperationNotFoundError:
                return None
            self._operations[name] = found
        return found

    def error(self, error: AwsError, request_id: str, resource: str = "") -> HttpResponse:
        """The protocol's form of an error."""
        return self._codec.error(error, request_id, resource)


class Models:
    """The models of one process. Loading a model costs tens of milliseconds: only on demand."""

    def __init__(self) -> None:
        self._models: dict[str, ServiceModel] = {}
        self._codecs: dict[tuple[str, str], ServiceCodec] = {}

    def service(self, name: str) -> ServiceModel:
        """botocore's model of a service. Raises botocore's UnknownServiceError."""
        found = self._models.get(name)
        if found is None:
            from botocore.loaders import Loader
            from botocore.model import ServiceModel

            loader = Loader(file_loader=ModelFiles(), include_default_search_paths=False)
            loader.search_paths.append(loader.BUILTIN_DATA_PATH)
            found = ServiceModel(loader.load_service_model(name, "service-2"), name)
            self._models[name] = found
        return found

    def codec(self, service: str, protocol: str = "") -> ServiceCodec:
        """The service in this protocol, or in the one its model names first."""
        found = self._codecs.get((service, protocol))
        if found is None:
            model = self.service(service)
            found = ServiceCodec(model, protocol or model.metadata["protocol"])
            self._codecs[(service, protocol)] = found
        return found
