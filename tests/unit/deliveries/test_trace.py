"""The trace context of attempts."""

from __future__ import annotations

import re
import uuid

import pytest

from matrixhub.deliveries.trace import traceparent

FORM = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-01")


def parts(request_id: str) -> tuple[str, str]:
    found = FORM.fullmatch(traceparent(request_id))
    assert found is not None
    return found[1], found[2]


def test_the_trace_of_a_push_is_its_request_id() -> None:
    request_id = str(uuid.uuid4())
    assert parts(request_id)[0] == request_id.replace("-", "")


def test_every_attempt_has_a_span_of_its_own_in_the_same_trace() -> None:
    seen = {parts("request-1") for _ in range(1000)}
    assert len({trace for trace, _ in seen}) == 1
    assert len({span for _, span in seen}) == 1000


@pytest.mark.parametrize(
    "request_id", ["", "req_1", str(uuid.UUID(int=0)), "0F7CE7A8-6FBB-5C1D-9A94-1F6F0D6C2C11", "é" * 300]
)
def test_any_request_id_gives_a_trace_that_is_not_zero(request_id: str) -> None:
    assert parts(request_id)[0] != "0" * 32


def test_different_requests_have_different_traces() -> None:
    assert len({parts(f"request-{n}")[0] for n in range(1000)}) == 1000
