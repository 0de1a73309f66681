"""What a client takes: the type of an answer, and whether it may come compressed. Source: RFC 9110 §12.5"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matrixhub.model.errors import NotAcceptable


def preferred(accept: str, types: Sequence[str]) -> str:
    """The type that the header Accept likes best, the first of those it likes alike; '' and `*/*` like all.

    >>> preferred("text/csv;q=0.5, application/*", ["text/csv", "application/json"])
    'application/json'

    Raises: NotAcceptable if it takes none of them.
    """
    ranges = dict(_weighed(accept)) or {"*/*": 1.0}
    best, weight = "", 0.0
    for kind in types:
        found = next((ranges[one] for one in (kind, f"{kind.split('/')[0]}/*", "*/*") if one in ranges), 0.0)
        if found > weight:
            best, weight = kind, found
    if not best:
        raise NotAcceptable(f"it can be had as {', '.join(types)}")
    return best


def takes_gzip(accept_encoding: str) -> bool:
    """Whether an answer may be compressed with gzip: only where that is said.

    >>> takes_gzip("gzip, deflate"), takes_gzip("gzip;q=0"), takes_gzip("")
    (True, False, False)
    """
    weights = dict(_weighed(accept_encoding))
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _weighed(header: str) -> Iterator[tuple[str, float]]:
    """What a header lists, with its weight; other parameters do not matter here."""
    for entry in header.split(","):
        name, *parameters = (part.strip().lower() for part in entry.split(";"))
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                weight = _quality(value.strip())
        if name:
            yield name, weight


def _quality(text: str) -> float:
    """A weight from 0 to 1; one that cannot be read is none."""
    whole, _, rest = text.partition(".")
    if whole not in ("0", "1") or not (rest == "" or (rest.isascii() and rest.isdigit())):
        return 0.0
    return min(1.0, float(text))
