"""Models read small are the models still: every service's client is made of them, S3's too."""

from __future__ import annotations

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.session import get_session

from pileus.model_files import ModelFiles


@pytest.mark.parametrize("service", ["dynamodb", "lambda", "s3", "s3control", "sts"])
def test_a_client_is_made_of_a_model_without_texts(service: str) -> None:
    session, loader = get_session(), Loader(include_default_search_paths=True)
    loader.file_loader = ModelFiles()
    session.register_component("data_loader", loader)
    keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s"}
    made = session.create_client(service, region_name="us-east-1", **keys)
    told = ServiceModel(loader.load_service_model(service, "service-2"), service)
    assert made.meta.service_model.operation_names == told.operation_names
    names = [parameter.name for parameter in told.client_context_parameters]
    assert ("Accelerate" in names) == (service == "s3")
    assert not any(told.operation_model(name).documentation for name in told.operation_names)
