"""Patterns of routing keys."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrixhub.model.errors import InvalidValue
from matrixhub.model.routing import ANY, WORDS, check_pattern, expanded, fewest, matches, narrowest

WORD = st.sampled_from(["matrix", "b1", "b2", "scgrids", "HIGH"])
KEY = st.lists(WORD, min_size=WORDS, max_size=WORDS).map(".".join)
PATTERN = st.lists(st.one_of(WORD, st.sampled_from(["*", "#"])), min_size=1, max_size=7).map(".".join)

HIGH = "matrix.b1.scworkforcemanagement.INCIDENT_CREATED.HIGH"


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("matrix.b1.scworkforcemanagement.INCIDENT_CREATED.*", HIGH, True),
        (
            "matrix.b1.scworkforcemanagement.INCIDENT_CREATED.*",
            "matrix.b1.scworkforcemanagement.INCIDENT_CREATED_OPEN.HIGH",
            False,
        ),
        ("matrix.*.*.*.HIGH", "matrix.b1.scaudits.AUDIT_COMPLETED.HIGH", True),
        ("matrix.b1.#", "matrix.b1.scgrids.ZONE_CREATED.NORMAL", True),
        ("matrix.b1.scgrids.*", "matrix.b1.scgrids.ZONE_CREATED.NORMAL", False),
        ("matrix.b2.#", HIGH, False),
        ("#", HIGH, True),
        ("#.HIGH", HIGH, True),
        ("matrix.#.HIGH", HIGH, True),
        ("matrix.#.b1.#.HIGH", HIGH, True),
        ("matrix.#.b2.#", HIGH, False),
        (f"{HIGH}.#", HIGH, True),
        (f"#.{HIGH}", HIGH, True),
        ("Matrix.#", HIGH, False),
        ("*.*.*.*.*", HIGH, True),
        ("*.*.*.*", HIGH, False),
    ],
)
def test_the_published_and_our_examples(pattern: str, key: str, expected: bool) -> None:
    assert matches(pattern, key) is expected


def regular_expression(pattern: str) -> re.Pattern[str]:
    """Another way to say what a pattern means: every word ends with a dot, `#` is any number of such words."""
    parts = [
        r"(?:[^.]+\.)*" if w == "#" else r"[^.]+\." if w == "*" else re.escape(w) + r"\." for w in pattern.split(".")
    ]
    return re.compile("".join(parts))


@given(PATTERN, KEY)
def test_the_matcher_means_what_the_regular_expression_means(pattern: str, key: str) -> None:
    assert matches(pattern, key) is (regular_expression(pattern).fullmatch(key + ".") is not None)


def by_words(fives: object, key: str) -> bool:
    words = key.split(".")
    return any(all(p in (ANY, w) for p, w in zip(five, words, strict=True)) for five in fives)  # type: ignore[attr-defined]


@given(PATTERN, KEY)
def test_the_expansion_matches_the_same_keys(pattern: str, key: str) -> None:
    assert by_words(expanded(pattern), key) is matches(pattern, key)


@given(st.sets(PATTERN, min_size=1, max_size=4), KEY)
def test_the_fewest_patterns_match_the_same_keys_and_the_narrowest_all_of_them(patterns: set[str], key: str) -> None:
    wanted = any(matches(pattern, key) for pattern in patterns)
    if any(expanded(pattern) for pattern in patterns):
        assert by_words(fewest(patterns), key) is wanted
    assert not wanted or by_words([narrowest(patterns)], key)


def test_no_pattern_is_everything() -> None:
    assert narrowest([]) == (ANY,) * WORDS
    assert fewest([]) == [(ANY,) * WORDS]


@pytest.mark.parametrize(
    "pattern",
    [
        "#",
        "matrix.#",
        "matrix.b1.scgrids.ZONE_CREATED.*",
        "matrix.#.#.HIGH",
        "*.*.*.*.*",
        "#.b1.#",
        "#.scgrids.#.LOW",
        "#.INCIDENT_CREATED.#",
    ],
)
def test_a_good_pattern_passes(pattern: str) -> None:
    check_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        ".",
        "matrix..HIGH",
        "matrix.b1.",
        "matrix.b*.#",
        "matrix.b1#",
        "matrix.>",
        "matrix.b 1.#",
        "matrix.b\x001.#",
        "matrix.b1.scgrids.ZONE_CREATED",
        "*.*.*.*.*.*",
        "x" * 641,
        "scgrids.#",
        "Matrix.b1.#",
        "matrix.*.scgrids.ZONE_CREATED.urgent",
        "#.ZONE_CREATED.HIGH.x",
        "matrix.*.*.*.b1",
    ],
)
def test_what_is_no_pattern_or_matches_no_key_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidValue):
        check_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        ("matrix.b>.#", "`>`, blanks or control characters, as 'b>' has"),
        ("matrix.b*.#", "words of their own in a pattern, not parts of one such as 'b\\*'"),
        ("scgrids.#", "begins with matrix"),
        ("#.urgent", "ends with HIGH, MEDIUM, NORMAL or LOW"),
    ],
)
def test_what_is_wrong_with_a_pattern_is_told(pattern: str, what: str) -> None:
    with pytest.raises(InvalidValue, match=what):
        check_pattern(pattern)
