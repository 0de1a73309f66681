"""Patterns of routing keys: which events a subscription asks for.

The words of a pattern stand for themselves, but for `*`, exactly one word, and `#`, any number of words, also none.
A key has five words, so a pattern with `#` is the same as a few patterns without it: that is how engines are asked.
Source: docs/contract/event-bus.md §2.1
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from matrixhub.model.errors import InvalidValue
from matrixhub.model.event import LITERAL, PRIORITIES

WORDS = 5
URGENT = "HIGH"
"""The priority that may overtake the others. Source: docs/contract/event-bus.md §7"""

PATTERN_MAX = 640
ANY, ANY_NUMBER = "*", "#"
EVERYTHING = "#"

FivePattern = tuple[str, ...]
"""Five words, each of which stands for itself or is `*`."""


def check_pattern(pattern: str) -> None:
    """Refuse what is no pattern, or one that no key can match.

    Raises: InvalidValue saying what is wrong.
    """
    if not pattern or len(pattern) > PATTERN_MAX:
        raise InvalidValue(f"a pattern has 1 to {PATTERN_MAX} characters")
    words = pattern.split(".")
    if any(word == "" for word in words):
        raise InvalidValue("the words of a pattern are separated by single dots")
    for word in words:
        if word in (ANY, ANY_NUMBER):
            continue
        if ANY in word or ANY_NUMBER in word:
            raise InvalidValue(f"`*` and `#` are words of their own in a pattern, not parts of one such as {word!r}")
        if any(c == ">" or c.isspace() or not c.isprintable() for c in word):
            raise InvalidValue(f"no word of a routing key has `>`, blanks or control characters, as {word!r} has")
    _check_that_a_key_can_match(expanded(pattern))


def _check_that_a_key_can_match(fives: Iterable[FivePattern]) -> None:
    keys = f"they are {LITERAL}.<principal>.<module>.<event>.<priority>"
    if not fives:
        raise InvalidValue(f"no routing key has that many words; {keys}")
    if not any(five[0] in (ANY, LITERAL) for five in fives):
        raise InvalidValue(f"every routing key begins with {LITERAL}; {keys}")
    if not any(five[0] in (ANY, LITERAL) and five[-1] in (ANY, *PRIORITIES) for five in fives):
        raise InvalidValue(f"every routing key ends with {', '.join(PRIORITIES[:-1])} or {PRIORITIES[-1]}; {keys}")


def matches(pattern: str, key: str) -> bool:
    """Whether a routing key, of any number of words, matches the pattern.

    >>> matches("matrix.b1.#", "matrix.b1.scgrids.ZONE_CREATED.NORMAL"), matches("matrix.*.ZONE_CREATED", "matrix.b1")
    (True, False)
    """
    return _matches(pattern.split("."), key.split("."))


def _matches(pattern: Sequence[str], words: Sequence[str]) -> bool:
    if not pattern:
        return not words
    first, rest = pattern[0], pattern[1:]
    if first == ANY_NUMBER:
        return any(_matches(rest, words[count:]) for count in range(len(words) + 1))
    return bool(words) and first in (ANY, words[0]) and _matches(rest, words[1:])


def expanded(pattern: str) -> frozenset[FivePattern]:
    """The patterns without `#` that together match the same keys of five words; none if it can match no such key.

    >>> sorted(expanded("matrix.b1.#.HIGH"))
    [('matrix', 'b1', '*', '*', 'HIGH')]
    """
    found: set[FivePattern] = set()

    def expand(words: Sequence[str], made: FivePattern) -> None:
        if len(made) + sum(word != ANY_NUMBER for word in words) > WORDS:
            return
        if not words:
            if len(made) == WORDS:
                found.add(made)
            return
        if words[0] != ANY_NUMBER:
            expand(words[1:], (*made, words[0]))
            return
        for count in range(WORDS - len(made) + 1):
            expand(words[1:], made + (ANY,) * count)

    words = pattern.split(".")
    # Several `#` in a row say no more than one.
    expand([word for n, word in enumerate(words) if word != ANY_NUMBER or n == 0 or words[n - 1] != word], ())
    return frozenset(found)


def narrowest(patterns: Iterable[str]) -> FivePattern:
    """The narrowest single pattern of five words that covers all of them; of none, the one that covers everything.

    >>> narrowest(["matrix.b1.#", "matrix.b1.scgrids.*.HIGH"])
    ('matrix', 'b1', '*', '*', '*')
    """
    fives = [five for pattern in patterns for five in expanded(pattern)]
    if not fives:
        return (ANY,) * WORDS
    return tuple(words[0] if len(set(words)) == 1 else ANY for words in zip(*fives, strict=True))


def urgent(patterns: Collection[str]) -> frozenset[str]:
    """Patterns that match the same keys as far as these are urgent; none if no urgent key matches.

    >>> sorted(urgent(["matrix.b1.#", "matrix.*.*.*.NORMAL"])), sorted(urgent([]))
    (['matrix.b1.*.*.HIGH'], ['*.*.*.*.HIGH'])
    """
    fives = {five for pattern in patterns or [EVERYTHING] for five in expanded(pattern)}
    return frozenset(".".join((*five[:-1], URGENT)) for five in fives if five[-1] in (ANY, URGENT))


def fewest(patterns: Iterable[str]) -> list[FivePattern]:
    """Patterns of five words that together match the same keys, without those that another one covers.

    They may still overlap in part. Of no patterns, the one that covers everything.
    """
    fives = {five for pattern in patterns for five in expanded(pattern)} or {(ANY,) * WORDS}
    return sorted(five for five in fives if not any(other != five and _covers(other, five) for other in fives))


def _covers(wide: FivePattern, narrow: FivePattern) -> bool:
    return all(w in (ANY, n) for w, n in zip(wide, narrow, strict=True))
