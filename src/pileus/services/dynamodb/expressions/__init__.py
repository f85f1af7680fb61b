"""Condition, filter, key condition, projection and update expressions: text → tree → functions.

``tokens`` and ``grammar`` make trees (names still as written); ``conditions``, ``projections`` and
``updates`` resolve names and compile; ``binding`` checks one request's expressions together.
Compiled forms are cached by text and names; values stay parameters.
"""
