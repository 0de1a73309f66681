"""Grids: properties, buildings, levels and zones, and the lists they are described by.

`inputs.py` reads what the wire asks for, `records.py` writes what it gets; what is between is one module for each kind
of place. Source: docs/contract/grids.md
"""
