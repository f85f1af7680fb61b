"""Pileus: a small cloud for machines people own."""

__version__ = "0.1.0"
