"""Figures of a property and its buildings: how much there is, and what happened day by day.

`places.py` counts what there is, `days.py` what happened. Source: docs/contract/metrics.md
"""

from matrixhub.modules.metrics.days import NAMESPACES, Bucket, DaysAsked, count_by_day, days_asked
from matrixhub.modules.metrics.places import PLACE_NAMESPACES, place_metrics

__all__ = [
    "NAMESPACES",
    "PLACE_NAMESPACES",
    "Bucket",
    "DaysAsked",
    "count_by_day",
    "days_asked",
    "place_metrics",
]
