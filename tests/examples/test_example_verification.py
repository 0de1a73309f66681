"""The example that verifies pushes takes what the hub signs, and nothing else."""

from __future__ import annotations

import importlib.util
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from matrixhub.deliveries.formats import Body, make_body
from matrixhub.deliveries.signing import new_signing_key, public_key, rotated, signature_headers
from matrixhub.model.subscription import Format, SigningKey, SigningKind
from matrixhub.testing.samples import sample_subscription

FILE = Path(__file__).parents[2] / "examples" / "verify_push.py"
NOW = datetime(2024, 3, 10, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
READINGS = [{"t": "20240310080509", "n": n} for n in range(50)]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verify_push", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Asked:
    """The example with these keys, asked as a web server would."""

    def __init__(self, example: ModuleType, *keys: str) -> None:
        self.taken: list[dict[str, Any]] = []
        self._app = example.Receiver(keys, self.taken.append, lambda: NOW_S)

    def push(self, body: Body, headers: dict[str, str]) -> str:
        if body.content_encoding:
            headers = {**headers, "content-encoding": body.content_encoding}
        environ: dict[str, Any] = {"HTTP_" + name.upper().replace("-", "_"): text for name, text in headers.items()}
        environ |= {"wsgi.input": io.BytesIO(body.data), "CONTENT_LENGTH": str(len(body.data))}
        answers: list[str] = []
        self._app(environ, lambda status, _headers: answers.append(status))
        return answers[0]


def body_of(*, packed: bool = False) -> Body:
    strings = [json.dumps(json.dumps(reading))[1:-1].encode() for reading in READINGS]
    return make_body(sample_subscription(format=Format(gzip=packed)), strings)


def signed(body: Body, *keys: SigningKey, at_s: int = NOW_S) -> dict[str, str]:
    return signature_headers(keys, "push-1", at_s, body.data, body.content_encoding)


def shared(key: SigningKey) -> str:
    """What the receiver is given of the key."""
    return public_key(key) or key.secret.reveal()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["v1", "v1a"])
def test_a_signed_push_is_taken_once(example: ModuleType, kind: SigningKind, packed: bool) -> None:
    key, body = new_signing_key(kind, NOW), body_of(packed=packed)
    asked = Asked(example, shared(key))
    assert [asked.push(body, signed(body, key)) for _ in range(2)] == ["204 No Content"] * 2
    assert asked.taken == READINGS


@pytest.mark.parametrize("kind", ["v1", "v1a"])
def test_a_push_of_somebody_else_is_refused(example: ModuleType, kind: SigningKind) -> None:
    body = body_of()
    asked = Asked(example, shared(new_signing_key(kind, NOW)))
    for headers in (signed(body, new_signing_key(kind, NOW)), {}, {"webhook-timestamp": "²"}):
        assert asked.push(body, headers) == "401 Unauthorized"
    assert asked.taken == []


@pytest.mark.parametrize("late_s", [-301, 301])
def test_a_push_signed_long_ago_or_ahead_is_refused(example: ModuleType, late_s: int) -> None:
    key, body = new_signing_key("v1", NOW), body_of()
    assert Asked(example, shared(key)).push(body, signed(body, key, at_s=NOW_S + late_s)) == "401 Unauthorized"


def test_old_and_new_key_are_both_good_while_they_are_rotated(example: ModuleType) -> None:
    old, new, body = new_signing_key("v1", NOW), new_signing_key("v1", NOW), body_of()
    headers = signed(body, *rotated((old,), new, NOW, 3600))
    for keys in ((old,), (new,), (old, new)):
        assert Asked(example, *map(shared, keys)).push(body, headers) == "204 No Content"
