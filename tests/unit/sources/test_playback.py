from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from matrixhub.model.errors import Overloaded, RecordedDataError
from matrixhub.sources.client import Receipt, Refusal
from matrixhub.sources.playback import Playback, SimulatedTime, Tally, play, stream
from matrixhub.sources.recorded import Recorded
from matrixhub.sources.simulator import Simulation
from matrixhub.sources.sites import make_site


class FakeHub:
    """Takes everything, except readings whose `v` says no; `fail_at` is the request that raises instead."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.requests: list[list[Mapping[str, Any]]] = []
        self.fail_at = fail_at

    @property
    def readings(self) -> list[Mapping[str, Any]]:
        return [reading for request in self.requests for reading in request]

    async def send(self, readings: Sequence[Mapping[str, Any] | bytes]) -> Receipt:
        if self.fail_at == len(self.requests):
            raise Overloaded
        request = [r for r in readings if not isinstance(r, bytes)]
        self.requests.append(request)
        refused = tuple(
            Refusal(index=i, code="MH-I003", message="no") for i, r in enumerate(request) if r["v"].get("no")
        )
        return Receipt(accepted=len(request) - len(refused), refused=refused)


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def now_ms(self) -> int:
        return round(self.now_s * 1000)

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def recorded(line: int, instant_ms: int, *, rows: int = 1, **v: int) -> Recorded:
    return Recorded(line=line, rows=rows, slot_id="s", instant_ms=instant_ms, v={"x": line, **v})


async def test_as_fast_as_possible_batches_are_full_and_in_order() -> None:
    hub, playback = FakeHub(), Playback()
    await play([recorded(i, i * 60_000) for i in range(1, 8)], hub, playback, factor=None, batch=3)
    assert [len(request) for request in hub.requests] == [3, 3, 1]
    assert [r["v"]["x"] for r in hub.readings] == list(range(1, 8))
    assert (playback.rows, playback.line, playback.next_line) == (7, 7, None)


async def test_at_a_pace_each_reading_is_sent_when_it_is_due_and_those_of_an_instant_together() -> None:
    hub, clock, seen = FakeHub(), FakeTime(), []
    readings = [recorded(1, 0), recorded(1, 0), recorded(2, 60_000), recorded(3, 180_000)]
    await play(
        readings,
        hub,
        Playback(),
        factor=60.0,
        batch=10,
        shift_ms=5,
        progress=lambda p: seen.append((p.line, clock.now_s)),
        monotonic=clock.monotonic,
        sleep=clock.sleep,
    )
    assert [len(request) for request in hub.requests] == [2, 1, 1]
    assert seen == [(1, 1000.0), (2, 1001.0), (3, 1003.0)]
    assert [r["unixT"] for r in hub.readings] == [5, 5, 60_005, 180_005]


async def test_a_replay_that_fails_says_the_line_to_go_on_at() -> None:
    hub, playback = FakeHub(fail_at=2), Playback()
    with pytest.raises(Overloaded):
        await play([recorded(i, 0, rows=2) for i in (1, 3, 5, 7, 9)], hub, playback, factor=None, batch=2)
    assert (playback.line, playback.next_line, playback.rows) == (7, 9, 8)


async def test_a_replay_that_fails_at_once_goes_on_at_its_first_line() -> None:
    playback = Playback()
    with pytest.raises(Overloaded):
        await play([recorded(4, 0)], FakeHub(fail_at=0), playback, factor=None, batch=2)
    assert (playback.line, playback.next_line) == (0, 4)


async def test_a_row_cut_in_two_by_a_batch_is_gone_on_with_at_that_row() -> None:
    hub, playback = FakeHub(fail_at=1), Playback()
    with pytest.raises(Overloaded):
        await play([recorded(1, 0), recorded(2, 0), recorded(2, 0)], hub, playback, factor=None, batch=2)
    assert playback.next_line == 2


async def test_what_was_read_before_a_bad_line_is_sent() -> None:
    def until_bad() -> Iterator[Recorded]:
        yield recorded(1, 0)
        yield recorded(2, 0)
        raise RecordedDataError("bad", path="f", line=3)

    hub, playback = FakeHub(), Playback()
    with pytest.raises(RecordedDataError):
        await play(until_bad(), hub, playback, factor=None, batch=10)
    assert len(hub.readings) == 2
    assert playback.next_line == 3


async def test_refusals_are_counted_by_code_and_the_first_are_kept_with_their_line() -> None:
    playback = Playback()
    await play([recorded(i, 0, no=1) for i in range(1, 10)], FakeHub(), playback, factor=None, batch=4)
    document = playback.tally.document()
    assert document["refused"] == 9
    assert document["refused_by_code"] == {"MH-I003": 9}
    assert document["refused_first"] == [f"line {i}: MH-I003 no" for i in range(1, 6)]


async def test_an_empty_recording_sends_nothing() -> None:
    hub, playback = FakeHub(), Playback()
    await play([], hub, playback, factor=1.0, batch=4)
    assert hub.requests == []
    assert playback.next_line is None


async def test_a_stream_sends_exactly_the_readings_of_its_seconds_and_ends() -> None:
    hub, clock, tally = FakeHub(), FakeTime(), Tally()
    simulation = Simulation(make_site(30).slots, seed=1, start_ms=clock.now_ms())
    await stream(
        lambda a, b: simulation.at_rate(100, a, b),
        hub,
        tally,
        clock=SimulatedTime(start_ms=clock.now_ms(), started_ms=clock.now_ms()),
        batch=4,
        seconds=3,
        now_ms=clock.now_ms,
        sleep=clock.sleep,
    )
    assert tally.readings == tally.accepted == 300
    assert max(len(request) for request in hub.requests) <= 4
    instants = [r["unixT"] for r in hub.readings]
    assert instants == sorted(instants)
    assert clock.now_s == pytest.approx(1003, abs=0.2)


async def test_a_fast_stream_covers_its_simulated_time_and_never_passes_the_present() -> None:
    hub, clock, tally = FakeHub(), FakeTime(), Tally()
    started_ms = clock.now_ms() + 1_700_000_000_000
    simulated = SimulatedTime(start_ms=started_ms - 59 * 10_000, started_ms=started_ms, factor=60.0)
    simulation = Simulation(make_site(30).slots, seed=1, start_ms=simulated.start_ms)
    expected = list(
        Simulation(make_site(30).slots, seed=1, start_ms=simulated.start_ms).readings(
            simulated.start_ms, started_ms + 10_000
        )
    )
    await stream(
        simulation.readings,
        hub,
        tally,
        clock=simulated,
        batch=500,
        seconds=10,
        now_ms=lambda: clock.now_ms() + 1_700_000_000_000,
        sleep=clock.sleep,
    )
    assert hub.readings == expected
    assert all(r["unixT"] <= started_ms + 10_000 for r in hub.readings)
