import importlib
import json
import pkgutil
from dataclasses import fields
from typing import Any

import pytest

import matrixhub
from matrixhub.model.errors import StoreError
from matrixhub.observe import (
    BusDisconnected,
    Delivered,
    DeliveryFailed,
    Fact,
    MessagesStored,
    Metrics,
    NoticeFailed,
    NoticeGivenUp,
    NoticeSent,
    ReadingRefused,
    Reporter,
    RequestIngested,
    StoreFailed,
    SubscriptionsOwned,
    ignore,
    make_logger,
)

for module in pkgutil.walk_packages(matrixhub.__path__, "matrixhub."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)

FACTS = sorted(Fact.__subclasses__(), key=lambda kind: kind.__name__)
SAMPLES: dict[str, Any] = {"str": 'a "text"\nwith lines', "int": 7, "float": 0.5}


def sample(kind: type[Fact]) -> Fact:
    return kind(**{field.name: SAMPLES[str(field.type)] for field in fields(kind)})


def test_all_facts_have_one_home() -> None:
    assert {kind.__module__ for kind in FACTS} == {"matrixhub.observe"}
    assert len(FACTS) > 20


@pytest.mark.parametrize("kind", FACTS, ids=lambda kind: kind.__name__)
def test_a_fact_says_in_a_sentence_what_happened(kind: type[Fact]) -> None:
    assert kind.__doc__
    assert kind.__doc__.strip().endswith(".")
    assert not kind.__doc__.startswith(f"{kind.__name__}(")
    assert kind.level in ("debug", "info", "warning", "error", "")


@pytest.mark.parametrize("kind", FACTS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("form", ["json", "console"])
def test_a_fact_can_be_reported(kind: type[Fact], form: str, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = Metrics()
    Reporter(metrics, make_logger("debug", form))(sample(kind))
    said = capsys.readouterr().err
    if not kind.level:
        assert said == ""
    elif form == "json":
        line = json.loads(said)
        assert (line["event"], line["level"]) == (kind.__name__, kind.level)
        assert {field.name for field in fields(kind)} <= set(line)
        assert said.count("\n") == 1
    else:
        assert kind.__name__ in said
    assert metrics.render()


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    Reporter(Metrics(), make_logger("error", "json"))(StoreFailed(step="x", error=StoreError().message))
    assert capsys.readouterr().err == ""


def values(metrics: Metrics) -> dict[str, float]:
    lines = [line for line in metrics.render().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_facts_are_counted() -> None:
    metrics = Metrics()
    delivered = Delivered(
        subscription="s", request_id="r", items=5, size_bytes=99, http_status=200, attempt=1, seconds=0.1
    )
    for fact in (
        RequestIngested(status=202, accepted=5, repeated=2, refused=1, seconds=0.01),
        ReadingRefused(code="MH-I003", devid="d", message="m"),
        MessagesStored(messages=3, items=5, seconds=0.001),
        delivered,
        DeliveryFailed(
            subscription="s",
            request_id="r",
            items=5,
            attempt=1,
            code="MH-D002",
            error="e",
            retry_in_s=1,
            seconds=0.1,
        ),
        StoreFailed(step="renew leases", error="e"),
        BusDisconnected(),
        SubscriptionsOwned(owned=4, behind=1),
        NoticeSent(notice="n", subscription="s", kind="failing", http_status=204, attempt=1, seconds=0.1),
        NoticeFailed(
            notice="n", subscription="s", kind="failing", attempt=1, code="MH-D002", error="e", retry_in_s=5.0
        ),
        NoticeGivenUp(notice="n", subscription="s", kind="failing", attempt=9, code="MH-D002", error="e"),
    ):
        metrics.count(fact)
    found = values(metrics)
    assert found['matrixhub_ingest_requests_total{status="202"}'] == 1
    assert found["matrixhub_readings_accepted_total"] == 5
    assert found["matrixhub_readings_repeated_total"] == 2
    assert found['matrixhub_readings_refused_total{code="MH-I003"}'] == 1
    assert found["matrixhub_stream_messages_stored_total"] == 3
    assert found["matrixhub_readings_delivered_total"] == 5
    assert found["matrixhub_delivered_bytes_total"] == 99
    assert found['matrixhub_delivery_attempts_total{result="delivered"}'] == 1
    assert found['matrixhub_delivery_attempts_total{result="failed"}'] == 1
    assert found['matrixhub_store_failures_total{step="renew leases"}'] == 1
    assert found["matrixhub_bus_disconnects_total"] == 1
    assert [found[f'matrixhub_notices_total{{result="{r}"}}'] for r in ("sent", "failed", "given_up")] == [1, 1, 1]
    assert (found["matrixhub_subscriptions_owned"], found["matrixhub_subscriptions_behind"]) == (4, 1)


def test_each_metrics_object_counts_for_itself() -> None:
    one, other = Metrics(), Metrics()
    one.count(BusDisconnected())
    assert values(other)["matrixhub_bus_disconnects_total"] == 0


def test_those_who_do_not_want_to_know_are_not_told() -> None:
    ignore(BusDisconnected())
