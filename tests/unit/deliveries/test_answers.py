"""The items that an answer names as wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from matrixhub.deliveries.answers import failed_items
from matrixhub.deliveries.redaction import spellings_of


def named(*entries: Any, status: int = 207, items: int = 5) -> dict[int, str]:
    return dict(failed_items(status, json.dumps({"failed": entries}).encode(), items))


@pytest.mark.parametrize("status", [207, 400, 413, 422])
def test_items_are_named_by_index_with_their_reasons(status: int) -> None:
    assert named({"index": 3, "reason": "too old"}, {"index": 0, "reason": "no"}, status=status) == {
        3: "too old",
        0: "no",
    }


@pytest.mark.parametrize("status", [200, 204, 401, 404, 410, 500])
def test_other_answers_name_nothing(status: int) -> None:
    assert named({"index": 3, "reason": "x"}, status=status) == {}


@pytest.mark.parametrize("index", [-1, 5, 10**30, "3", 3.0, True, None, [3], {}])
def test_an_index_that_is_none_is_passed_over(index: Any) -> None:
    assert named({"index": index, "reason": "x"}, {"index": 1, "reason": "y"}) == {1: "y"}


@pytest.mark.parametrize("reason", [None, 5, "", " \r\n ", ["x"]])
def test_an_item_without_reason_is_named_all_the_same(reason: Any) -> None:
    assert named({"index": 1, "reason": reason}) == {1: "named as wrong"}
    assert named({"index": 1}) == {1: "named as wrong"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"failed":',
        b'["failed"]',
        b'"failed"',
        b'{"failed":null}',
        b'{"failed":{"index":1}}',
        b'{"failed":"all"}',
        b'{"failed":[1,"x",null,[]]}',
        b'{"failed":[{"idx":1}]}',
        b'{"failed":[{"index":1}]' + b"\xff}",
        b'{"failed":' + b"[" * 50_000,
        b'{"other":[{"index":1}]}',
    ],
)
def test_an_odd_body_names_nothing(body: bytes) -> None:
    assert failed_items(207, body, 5) == {}


def test_the_first_reason_counts_and_is_short_clean_and_without_secrets() -> None:
    body = json.dumps(
        {"failed": [{"index": 1, "reason": "key s3cret-key\0 " + "x" * 1000}, {"index": 1, "reason": "later"}]}
    ).encode()
    found = failed_items(207, body, 5, spellings_of(["s3cret-key"]))
    assert found[1].startswith("key [hidden]␀ xxx")
    assert len(found[1]) == 200
