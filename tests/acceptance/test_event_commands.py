"""`matrixhub events` and `matrixhub application`, from outside."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from email.message import Message
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from tests.acceptance.hub import DEADLINE_S, POLL_S, Hub, Program, site_text
from typer.testing import CliRunner, Result

from matrixhub.cli.app import app as matrixhub_app
from matrixhub.model.event import check_envelope

PROPERTY = "event-commands"


@pytest.fixture(scope="module")
def app(hub: Hub) -> Iterator[str]:
    """An application of a property of its own."""
    hub.ask("site", "apply", str(hub.write("events.site.yaml", site_text(PROPERTY, ("events-0",)))))
    yield hub.ask("application", "create", "lift-monitor", "--property", PROPERTY, "--burst", "20")["id"]
    hub.ask("application", "revoke", "lift-monitor", "--property", PROPERTY)


def publish(hub: Hub, app: str, *args: str) -> dict[str, Any]:
    made: dict[str, Any] = asked(hub, "events", "publish", "--application", app, *args)
    return made


def lines(said: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.splitlines()]


def in_process(hub: Hub, *args: str) -> Result:
    """A command without the start of an interpreter, which takes a second."""
    return CliRunner().invoke(matrixhub_app, [*args, "--data", str(hub.data)], env=dict(hub.settings))


def asked(hub: Hub, *args: str) -> Any:
    """What a command prints for scripts, run in this process; it must have succeeded."""
    done = in_process(hub, *args, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def tailing(hub: Hub, name: str, *args: str) -> Program:
    """`events tail`, once it follows."""
    program = Program(hub.directory, name, ["events", "tail", *args, "--data", str(hub.data)], hub.settings)
    deadline = time.monotonic() + DEADLINE_S
    while "Ctrl-C" not in program.log:
        assert program.process.poll() is None, program.log
        assert time.monotonic() < deadline
        time.sleep(POLL_S)
    return program


def test_an_event_published_by_hand_is_in_the_log_and_on_the_bus(hub: Hub, app: str) -> None:
    made = publish(hub, app, "LIFT_STUCK", "--priority", "HIGH", "--meta", '{"Lift": 2}', "--description", "Lift 2")
    check_envelope(made)
    assert made["RoutingKey"] == f"matrix.{PROPERTY}.lift-monitor.LIFT_STUCK.HIGH"
    assert made in asked(hub, "events", "log", "--property", PROPERTY, "--module", app)
    told = hub.run("events", "tail", f"matrix.{PROPERTY}.*.LIFT_STUCK.#", "--from", "beginning", "--count", "1")
    assert told.code == 0
    assert f"{made['RoutingKey']}  Lift 2" in told.out
    [whole] = lines(
        hub.run("events", "tail", "--from", "beginning", "--property", PROPERTY, "--count", "1", "--json").out
    )
    check_envelope(whole)


def test_a_tail_shows_what_matches_as_it_happens(hub: Hub, app: str) -> None:
    tail = tailing(hub, "tail", "#.LIFT_MENDED.*", "--count", "2", "--json")
    publish(hub, app, "LIFT_OPENED")
    made = [publish(hub, app, "LIFT_MENDED", "--description", str(n)) for n in range(2)]
    assert tail.wait_end() == 0
    assert lines((hub.directory / "tail.out").read_text()) == made


def test_a_tail_ends_with_ctrl_c_without_a_word(hub: Hub, app: str) -> None:
    tail = tailing(hub, "ctrl-c")
    tail.send(signal.SIGINT)
    assert tail.wait_end() == 130
    assert tail.log == "Following the event bus. Ctrl-C ends it.\n"


@pytest.mark.parametrize("args", [("a..b",), ("x*",), ("scgrids.#",), ("--from", "yesterday")])
def test_a_tail_of_nonsense_is_refused_at_once(hub: Hub, args: tuple[str, ...]) -> None:
    done = in_process(hub, "events", "tail", *args)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "MH-R010" in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ("ZONE_CREATED",),
        ("lower",),
        ("LIFT", "--priority", "URGENT"),
        ("LIFT", "--meta", "{"),
        ("LIFT", "--meta", "[]"),
        ("LIFT", "--principal", "elsewhere"),
    ],
)
def test_an_event_that_is_not_allowed_is_refused_with_its_reason(hub: Hub, app: str, args: tuple[str, ...]) -> None:
    done = in_process(hub, "events", "publish", "--application", app, *args)
    assert done.exit_code == 1
    assert "MH-R0" in done.stderr


@pytest.mark.parametrize("command", ["events log", "application list", "key list", "subscription list", "devices"])
def test_what_is_asked_of_a_property_that_is_unknown_says_so(hub: Hub, command: str) -> None:
    done = in_process(hub, *command.split(), "--property", "nowhere")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "there is no property nowhere" in done.stderr


def test_a_log_that_was_cut_off_says_so(hub: Hub, app: str) -> None:
    for _ in range(2):
        publish(hub, app, "LIFT_LOGGED")
    args = ("events", "log", "--property", PROPERTY, "--module", app, "--since", "2020-01-01", "--limit")
    assert "There are more than 1" in in_process(hub, *args, "1").stderr
    assert in_process(hub, *args, "1000").stderr == ""


def test_an_unknown_application_publishes_nothing(hub: Hub) -> None:
    done = in_process(hub, "events", "publish", "--application", "nobody", "LIFT")
    assert (done.exit_code, "MH-R008" in done.stderr) == (1, True)


def post(hub: Hub, key: str, body: object) -> tuple[int, Message]:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = Request(f"{hub.url}/hub/v1/events", data=json.dumps(body).encode(), headers=headers, method="POST")
    try:
        with urlopen(request, timeout=DEADLINE_S) as answer:
            return answer.status, answer.headers
    except HTTPError as error:
        with error:
            return error.code, error.headers


def test_a_key_of_an_application_publishes_until_its_quota_is_used_up(hub: Hub, app: str) -> None:
    asked(hub, "application", "create", "small", "--property", PROPERTY, "--burst", "2", "--per-minute", "1")
    key = asked(hub, "key", "create", "--property", PROPERTY, "--application", "small")["key"]
    item = {"Event": "TRIED", "Priority": "LOW", "Description": "", "Meta": {}}
    assert post(hub, key, {"events": [item, item]})[0] == 200
    status, headers = post(hub, key, {"events": [item]})
    assert (status, 0 < int(headers["Retry-After"]) <= 60) == (429, True)
    assert asked(hub, "application", "update", "small", "--property", PROPERTY, "--per-day", "9")["per_day"] == 9
    assert asked(hub, "application", "revoke", "small", "--property", PROPERTY)["revoked_at"]
    assert post(hub, key, {"events": [item]})[0] == 401
    changed = in_process(hub, "application", "update", "small", "--property", PROPERTY, "--name", "x")
    assert "may publish nothing" in changed.stdout
    assert "small" in in_process(hub, "application", "list", "--property", PROPERTY).stdout
