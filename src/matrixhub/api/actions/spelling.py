"""A request under the names of its shape, whichever of the spellings a client uses."""

from __future__ import annotations

from typing import Any

from matrixhub.api.actions.shape import Shape, value_of


def spelled(shape: Shape, value: Any) -> Any:
    """The value with its fields under their first names, and its flags as such.

    Fields that are null or in no shape are left out.

    >>> from matrixhub.api.actions.shape import FLAG, may, needs, of
    >>> spelled(of(needs("ShiftId", also=["ShiftID"]), may("All", FLAG)), {"ShiftID": "1f0e", "All": "false", "X": 1})
    {'ShiftId': '1f0e', 'All': False}
    """
    if shape.kind == "object":
        found = ((field, value_of(field, value)) for field in shape.fields)
        return {field.name: spelled(field.shape, one) for field, one in found if one is not None}
    if shape.kind == "list" and shape.item is not None:
        return [spelled(shape.item, one) for one in value]
    if shape.kind == "flag":
        return value in (True, "true")
    return value
