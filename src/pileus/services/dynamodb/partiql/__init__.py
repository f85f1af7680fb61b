"""PartiQL for DynamoDB: statement text → tree → what PutItem, UpdateItem, DeleteItem, Query and
Scan use inside.

``tokens``, ``terms`` and ``parser`` make a tree of ``syntax`` nodes; ``literals`` makes attribute
values, ``conditions`` the text of a condition expression, ``ranges`` finds the keys a WHERE asks
for; ``writes`` and ``select`` carry statements out. Developer Guide, "PartiQL - a SQL-compatible
query language for Amazon DynamoDB".
"""
