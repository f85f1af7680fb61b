"""What tests of stacks share."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.conftest import Cloud


@pytest.fixture
def cfn(cloud: Cloud) -> Any:
    return cloud.client("cloudformation")


@pytest.fixture
def name() -> str:
    """Of a stack, and of what its template names."""
    return f"s{uuid.uuid4().hex[:10]}"
