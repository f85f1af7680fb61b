"""Programs a test needs beside Python: without them it skips loudly on a user's machine and fails
in CI, which installs all."""

from __future__ import annotations

import importlib
import os
import shutil
import warnings
from typing import Any, NoReturn

import pytest

from pileus.errors import Unavailable
from pileus.prepare import node_program


def absent(what: str, hint: str) -> NoReturn:
    """End the test that needs ``what``."""
    text = f"{what} is not installed: {hint}"
    if os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(text, pytrace=False)
    warnings.warn(f"NOT TESTED: {text}", stacklevel=2)
    pytest.skip(text, allow_module_level=True)


def chromium() -> str:
    """The browser's program."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    absent("Chromium", "apt-get install chromium")


def playwright() -> Any:
    """What drives the browser: ``playwright.sync_api``."""
    try:
        driver = importlib.import_module("playwright.sync_api")
    except ModuleNotFoundError:
        absent("The package playwright", "pip install playwright")
    driver.expect.set_options(timeout=60_000)  # a bound, for machines that have more to do
    return driver


def node() -> str:
    """Node.js: the machine's, or the wheel's."""
    try:
        return str(node_program())
    except Unavailable as e:
        absent("Node.js", e.hint or "install it")
