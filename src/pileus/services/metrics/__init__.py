"""The node's own metrics over HTTP: Prometheus's text, and series of the last hours."""

from __future__ import annotations

from pileus.services.metrics.door import Door

__all__ = ["Door"]
