"""What can be aggregated: the names of metrics, and the attributes of `v` they stand for.

Source: docs/contract/past-data.md §3
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from matrixhub.model.devices import DEVICE_TYPES
from matrixhub.model.errors import WrongParameters


@dataclass(frozen=True, slots=True)
class Metric:
    """An attribute of `v`, of one device type or, with '', of any."""

    name: str
    attribute: str
    devtype: str = ""


_FREE = re.compile(r"([^#:\x00]{1,64}#[^#:\x00]{1,64}):([^\x00]{1,64})")

_ATTRIBUTES = {
    attribute.key for kind in DEVICE_TYPES for attribute in kind.attributes if attribute.kind in ("number", "text")
}


def _named() -> Mapping[str, Metric]:
    made = {name: Metric(name, name) for name in _ATTRIBUTES}
    for kind in DEVICE_TYPES:
        provider, _, short = kind.devtype.partition("#")
        for attribute in kind.attributes:
            name = f"sg.{provider.lower()}.{short.lower()}.raw.{attribute.key}"
            made[name] = Metric(name, attribute.key, kind.devtype)
    made["ppl_in"] = Metric("ppl_in", "count", "SMARTCLEAN#PPLCTR")
    made["ppl_out"] = Metric("ppl_out", "out_count", "SMARTCLEAN#PPLCTR")
    return made


METRICS: Mapping[str, Metric] = _named()
"""Metrics that have a name: attributes of any type, `sg.<provider>.<type>.raw.<attribute>`, and a few short ones."""


def metric_of(name: str) -> Metric:
    """The metric of a name, or of `<device type>:<attribute>`, which any provider's has.

    >>> metric_of("ppl_in").attribute, metric_of("sg.smartclean.fd.raw.s").devtype, metric_of("ACME#X:level").devtype
    ('count', 'SMARTCLEAN#FD', 'ACME#X')

    Raises: WrongParameters.
    """
    found = METRICS.get(name)
    if found is not None:
        return found
    if free := _FREE.fullmatch(name):
        return Metric(name, free[2], free[1])
    raise WrongParameters(
        f"there is no metric {name[:100]!r}; there are ppl_in, ppl_out, attributes such as count, "
        "sg.smartclean.<type>.raw.<attribute>, and <device type>:<attribute>"
    )
