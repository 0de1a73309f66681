"""What operators do with subscriptions and deliveries, through the command."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from tests.acceptance.hub import DEVICES, PROPERTY, Done, Hub, free_port, send_some

from matrixhub.cli.app import main
from matrixhub.cli.local import open_operator
from matrixhub.model.delivery import ParkedItem, time_ordered_id
from matrixhub.model.ids import SubscriptionId
from matrixhub.model.subscription import Position
from matrixhub.testing.receiver import HttpsReceiver

PLANTED = "pl4nted-s3cret"
NOWHERE = "https://localhost:1/x"


class Here:
    """Runs commands on a hub within this process, which saves the start of an interpreter each time."""

    def __init__(self, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.hub = hub
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        for name, value in {**hub.settings, "COLUMNS": "200", "NO_COLOR": "1"}.items():
            monkeypatch.setenv(name, value)

    def run(self, *args: str) -> Done:
        """Run a command to its end."""
        self._monkeypatch.setattr("sys.argv", ["matrixhub", *args, "--data", str(self.hub.data)])
        self._monkeypatch.setattr("sys.stdin", io.StringIO())
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self._capsys.readouterr()
        return Done(args, int(ended.value.code or 0), out, err)

    def ask(self, *args: str) -> Any:
        """Run a command that prints JSON."""
        return self.run(*args, "--json").json()


@pytest.fixture
def here(hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(hub, monkeypatch, capsys)


def subscribe(hub: Hub | Here, *options: str, url: str = NOWHERE) -> dict[str, Any]:
    """A new subscription, paused, so that nothing moves by itself."""
    made: dict[str, Any] = hub.ask("subscription", "create", "--property", PROPERTY, "--url", url, *options)
    assert hub.run("subscription", "pause", made["id"]).code == 0
    return made


async def park(hub: Hub, subscription: str, count: int) -> list[ParkedItem]:
    """Parked readings, written as the carrier would."""
    now = datetime.now(UTC).replace(microsecond=0)
    items = [
        ParkedItem(
            id=time_ordered_id(),
            subscription_id=SubscriptionId(subscription),
            parked_at=now - timedelta(minutes=count - n),
            place=Position(seq=n + 1, item=n),
            line=f'{{"n":{n}}}',
            code="MH-D003",
            reason=f"HTTP 422: reading {n}",
            http_status=422,
            request_id=str(uuid4()),
        )
        for n in range(count)
    ]
    async with open_operator(hub.data) as operator, operator.database.transaction() as connection:
        await connection.executemany(
            "insert into parked"
            " (subscription_id, http_status, parked_at, id, seq, item, line, code, reason, request_id)"
            " values ($1, 422, $2, $3, $4, $5, $6, $7, $8, $9)",
            [
                (subscription, i.parked_at, i.id, i.place.seq, i.place.item, i.line, i.code, i.reason, i.request_id)
                for i in items
            ],
        )
        await connection.execute(
            "update subscription_progress set parked = parked + $2 where subscription_id = $1", subscription, count
        )
    return items


# --- create, update, delete ---


def test_a_subscription_is_made_from_a_file_and_options_win(here: Here) -> None:
    file = here.hub.write(
        "erp.yaml",
        f"property: {PROPERTY}\nurl: https://example.org/a\nname: from the file\nbatch_items: 7\nfrom: beginning\n"
        f"auth: {{scheme: basic, user: hub, password: {PLANTED}}}\nheaders: {{X-Key: {PLANTED}}}\n"
        "policy: {order: per_device, in_flight: 4}\n",
    )
    made = here.run("subscription", "create", "--from-file", str(file), "--name", "by option", "--json")
    document = made.json()
    here.run("subscription", "pause", document["id"])
    assert (document["name"], document["batch_items"], document["headers"]) == ("by option", 7, ["X-Key"])
    assert (document["policy"]["order"], document["policy"]["in_flight"]) == ("per_device", 4)
    shown = here.run("subscription", "show", document["id"], "--json")
    assert shown.json()["position"] == {"seq": 1, "item": 0}
    assert PLANTED not in made.said + shown.said + here.hub.program.log


def test_a_change_keeps_what_it_does_not_name_and_shows_no_secret(here: Here) -> None:
    secret = here.hub.write("secret", PLANTED)
    made = subscribe(
        here, "--oauth-token-url", "https://id.example.org/token", "--oauth-client-id", "c",
        "--oauth-client-secret-file", str(secret), "--oauth-extra", f"resource={PLANTED}", "--give-up", "3600",
    )  # fmt: skip
    assert made["auth"]["scheme"] == "oauth2_client_credentials"
    done = here.run(
        "subscription", "update", made["id"], "--oauth-scope", "a b", "--batch-items", "9", "--unset",
        "policy.give_up_s", "--json",
    )  # fmt: skip
    changed = done.json()
    assert (changed["auth"]["scope"], changed["auth"]["client_id"], changed["batch_items"]) == ("a b", "c", 9)
    assert changed["policy"]["give_up_s"] == 604_800
    assert changed["version"] > made["version"]
    patch = here.hub.write("patch.json", json.dumps({"auth": None, "name": "new"}))
    said = here.run("subscription", "update", made["id"], "--from-file", str(patch))
    assert "is changed" in said.said
    shown = here.run("subscription", "show", made["id"])
    assert "new" in shown.said
    assert PLANTED not in done.said + said.said + shown.said + here.hub.program.log


def test_a_subscription_is_deleted_only_when_that_is_meant(here: Here) -> None:
    made = subscribe(here)
    asked = here.run("subscription", "delete", made["id"])
    assert asked.code == 1
    assert "Forget" in asked.said
    assert here.run("subscription", "show", made["id"]).code == 0
    assert here.run("subscription", "delete", made["id"], "--yes").code == 0
    assert "MH-R008" in here.run("subscription", "show", made["id"]).err


def test_the_health_and_the_policy_are_shown(here: Here) -> None:
    made = subscribe(here, "--name", "shown", "--total-timeout", "7")
    shown = here.ask("subscription", "show", made["id"])
    assert (shown["health"], shown["paused_by"], shown["policy"]["total_timeout_s"]) == ("paused", "hand", 7)
    assert shown["retry_at"] is None
    said = here.run("subscription", "show", made["id"]).said
    assert "health paused" in said
    assert "total_timeout_s 7" in said.replace("total timeout s", "total_timeout_s")
    assert any(
        listed["id"] == made["id"] and listed["health"] == "paused" for listed in here.ask("subscription", "list")
    )


def test_resuming_may_set_the_rate_of_catching_up(here: Here) -> None:
    made = subscribe(here)
    assert here.run("subscription", "resume", made["id"], "--catch-up-rate", "50").code == 0
    shown = here.ask("subscription", "show", made["id"])
    assert (shown["state"], shown["policy"]["catch_up_per_s"]) == ("active", 50)
    here.run("subscription", "pause", made["id"])


# --- tests ---


async def test_a_test_reaches_the_receiver_and_is_recorded(hub: Hub) -> None:
    taken: list[str] = []
    receiver = HttpsReceiver(port=free_port(), on_items=lambda _request, items: taken.extend(items))
    ca = hub.write("operations-ca.pem", receiver.ca_pem)
    async with receiver:
        made = await asyncio.to_thread(subscribe, hub, "--ca", str(ca), url=receiver.url)
        attempt = await asyncio.to_thread(hub.ask, "subscription", "test", made["id"])
    assert (attempt["kind"], attempt["taken"], attempt["items"]) == ("test", True, 1)
    assert [json.loads(item)["DEVID"] for item in taken] == ["matrixhub-test"]
    assert [found["id"] for found in hub.ask("attempts", "list", made["id"])] == [attempt["id"]]
    body = hub.run("attempts", "show", made["id"], attempt["id"], "--body")
    assert json.loads(body.out) == taken
    assert hub.ask("attempts", "show", made["id"], attempt["id"])["request_id"] == attempt["request_id"]


async def test_a_subscription_to_events_is_made_shown_and_tried_by_commands(here: Here) -> None:
    taken: list[str] = []
    receiver = HttpsReceiver(port=free_port(), on_items=lambda _request, items: taken.extend(items))
    ca = here.hub.write("events-ca.pem", receiver.ca_pem)
    async with receiver:
        made = await asyncio.to_thread(
            subscribe,
            here,
            "--ca",
            str(ca),
            "--events",
            "--pattern",
            "matrix.b1.#",
            "--pattern",
            "#.HIGH",
            url=receiver.url,
        )
        attempt = await asyncio.to_thread(here.ask, "subscription", "test", made["id"])
    assert (attempt["kind"], attempt["taken"], attempt["items"]) == ("test", True, 1)
    assert [json.loads(item)["RoutingKey"] for item in taken] == [f"matrix.{PROPERTY}.matrixhub.TEST.LOW"]
    assert receiver.events.summary().distinct == 1
    body = await asyncio.to_thread(here.run, "attempts", "show", made["id"], attempt["id"], "--body")
    assert body.out.strip() == f"[{taken[0]}]"
    shown = await asyncio.to_thread(here.ask, "subscription", "show", made["id"])
    assert (shown["source"], shown["filter"]["patterns"]) == ("events", ["#.HIGH", "matrix.b1.#"])
    assert (shown["accepted"], shown["difference"]) == (0, 0)
    sources = {found["id"]: found["source"] for found in await asyncio.to_thread(here.ask, "subscription", "list")}
    assert sources[made["id"]] == "events"
    changed = await asyncio.to_thread(here.ask, "subscription", "update", made["id"], "--pattern", "#")
    assert changed["filter"]["patterns"] == ["#"]


def test_what_is_wrong_with_a_subscription_to_events_is_said(here: Here) -> None:
    new = ("subscription", "create", "--property", PROPERTY, "--url", NOWHERE)
    for options, said in (
        (("--pattern", "#"), "filter.patterns"),
        (("--events", "--pattern", "a.b"), "is no pattern"),
        (("--events", "--zone", "z"), "filter.zones"),
        (("--events", "--order", "latest_first"), "latest_first"),
    ):
        done = here.run(*new, *options)
        assert (done.code, "MH-R010" in done.err, said in done.err) == (1, True, True), done.err
    made = subscribe(here)
    done = here.run("subscription", "update", made["id"], "--events")
    assert "source cannot be changed" in done.err


def test_a_test_that_fails_tells_why_and_ends_with_1(here: Here) -> None:
    made = subscribe(here)
    done = here.run("subscription", "test", made["id"])
    assert done.code == 1
    assert "not taken: MH-D002" in done.said
    assert "Traceback" not in done.said
    assert here.ask("attempts", "list", made["id"], "--outcome", "taken") == []
    (failed,) = here.ask("attempts", "list", made["id"], "--outcome", "failed", "--since", "2024-01-01")
    assert failed["code"] == "MH-D002"
    assert failed["id"] in here.run("attempts", "list", made["id"]).said
    assert failed["request_id"] in here.run("attempts", "show", made["id"], failed["id"]).said


# --- replays ---


def test_a_replay_is_counted_asked_for_listed_and_withdrawn(here: Here) -> None:
    beginning = datetime.now(UTC)
    first = subscribe(here)
    start = here.ask("subscription", "show", first["id"])["position"]["seq"]
    asyncio.run(send_some(here.hub, 24, devices=DEVICES))
    made = subscribe(here)  # it begins behind these

    planned = here.ask("subscription", "replay", made["id"], "--from", str(start), "--dry-run")
    assert (planned["readings"], planned["position"]) == (24, {"seq": start, "item": 0})
    since = here.run("subscription", "replay", made["id"], "--from", beginning.isoformat(), "--dry-run")
    assert "24 readings would come again" in since.said
    assert here.ask("subscription", "replays", made["id"]) == []

    asked = here.run("subscription", "replay", made["id"], "--from", f"{start}.1")
    assert asked.code == 1
    assert "Deliver 23 readings again" in asked.said
    replay = here.ask("subscription", "replay", made["id"], "--from", f"{start}.1", "--yes")
    assert (replay["state"], replay["planned"]["readings"]) == ("waiting", 23)
    twice = here.run("subscription", "replay", made["id"], "--from", str(start), "--yes")
    assert "MH-R009" in twice.err
    assert here.ask("subscription", "show", made["id"])["replay_waits"] == replay["id"]
    assert replay["id"] in here.run("subscription", "replays", made["id"]).said
    assert here.ask("subscription", "replays", made["id"], "--withdraw", replay["id"]) == []


# --- parked readings ---


def test_parked_readings_are_listed_shown_exported_asked_for_and_discarded(here: Here) -> None:
    made = subscribe(here)
    one, two, three, four = asyncio.run(park(here.hub, made["id"], 4))

    listed = here.ask("parked", "list", made["id"])
    assert [item["id"] for item in listed] == [str(item.id) for item in (one, two, three, four)]
    assert "1 of 4" in here.run("parked", "list", made["id"], "--limit", "1").said
    later = here.ask("parked", "list", made["id"], "--since", three.parked_at.isoformat())
    assert [item["id"] for item in later] == [str(three.id), str(four.id)]
    assert here.ask("parked", "list", made["id"], "--code", "MH-D001") == []
    assert here.ask("parked", "show", made["id"], str(two.id))["reading"] == two.line
    assert "HTTP 422: reading 1" in here.run("parked", "show", made["id"], str(two.id)).said

    lines = here.run("parked", "export", made["id"]).out.splitlines()
    assert [json.loads(line)["reading"] for line in lines] == [item.line for item in (one, two, three, four)]
    file = here.hub.directory / "parked.ndjson"
    assert "4 parked readings" in here.run("parked", "export", made["id"], "--to", str(file)).said
    assert file.read_text().splitlines() == lines

    assert here.ask("parked", "redrive", made["id"], str(two.id)) == {"readings": 1}
    assert here.ask("parked", "redrive", made["id"], "--all") == {"readings": 3}
    assert all(item["redrive_at"] for item in here.ask("parked", "list", made["id"]))

    asked = here.run("parked", "discard", made["id"], "--all")
    assert asked.code == 1
    assert "Give up 4 parked readings" in asked.said
    until = three.parked_at.isoformat()
    assert here.ask("parked", "discard", made["id"], "--until", until, "--yes") == {"readings": 2}
    shown = here.ask("subscription", "show", made["id"])
    assert (shown["parked"], shown["expired"]) == (2, 2)
    assert "2 parked readings are given up" in here.run("parked", "discard", made["id"], "--all", "--yes").said
    assert "Nothing is parked" in here.run("parked", "list", made["id"]).said


# --- signing keys ---


def test_signing_keys_are_added_listed_and_retired_and_shown_once(here: Here) -> None:
    made = subscribe(here)
    first = here.ask("subscription", "key", "add", made["id"])
    assert first["secret"].startswith("whsec_")
    public = here.run("subscription", "key", "add", made["id"], "--kind", "v1a").out
    assert "whpk_" in public
    assert "whsk_" not in public
    mine = here.hub.write("mine", "whsec_" + "QUFB" * 10)
    here.run("subscription", "key", "add", made["id"], "--import-file", str(mine), "--grace", "60")
    listed = here.run("subscription", "key", "list", made["id"], "--json")
    keys = listed.json()
    assert [key["kind"] for key in keys].count("v1") == 2
    assert next(key for key in keys if key["id"] == first["id"])["expires_at"] is not None
    assert here.run("subscription", "key", "retire", made["id"], first["id"]).code == 0
    left = here.run("subscription", "key", "list", made["id"])
    assert first["id"] not in left.said
    shown = here.run("subscription", "show", made["id"], "--json")
    for secret in (first["secret"], mine.read_text()):
        assert secret not in listed.said + left.said + shown.said + here.hub.program.log


# --- what is wrong ---

ID = "0190163d-8694-739b-aea5-966c26f8ad91"

FAILURES: dict[str, tuple[Sequence[str], str, str]] = {
    "creating for nobody": (("subscription", "create", "--url", "https://h/"), "MH-R010", "--property"),
    "creating without URL": (("subscription", "create", "--property", PROPERTY), "MH-R010", "url is missing"),
    "an unknown kind": (
        ("subscription", "create", "--property", PROPERTY, "--url", "https://h/", "--kind", "ftp"),
        "MH-R010",
        "kind is one of",
    ),
    "a forbidden address for notices": (
        ("subscription", "create", "--property", PROPERTY, "--url", "https://h/", "--notify-url", "https://10.0.0.1/"),
        "MH-R010",
        "10.0.0.1",
    ),
    "a change out of range": (("subscription", "update", "{id}", "--rate", "-1"), "MH-R010", "rate_per_s"),
    "taking away what is needed": (("subscription", "update", "{id}", "--unset", "url"), "MH-R010", "url is missing"),
    "notices to itself": (("subscription", "update", "{id}", "--notify-subscription", "{id}"), "MH-R010", "itself"),
    "changing nothing known": (("subscription", "update", "sub_none", "--name", "x"), "MH-R008", "sub_none"),
    "deleting nothing known": (("subscription", "delete", "sub_none", "--yes"), "MH-R008", "sub_none"),
    "testing nothing known": (("subscription", "test", "sub_none"), "MH-R008", "sub_none"),
    "a replay from no place": (("subscription", "replay", "{id}", "--from", "soon"), "MH-R010", "a place to begin"),
    "a replay from the future": (
        ("subscription", "replay", "{id}", "--from", "2999-01-01", "--yes"),
        "MH-R010",
        "nothing to replay",
    ),
    "a replay from an unknown push": (("subscription", "replay", "{id}", "--from", ID, "--yes"), "MH-R008", ID),
    "withdrawing nothing known": (("subscription", "replays", "{id}", "--withdraw", "rpl_no"), "MH-R008", "rpl_no"),
    "resuming at a wrong rate": (
        ("subscription", "resume", "{id}", "--catch-up-rate", "-5"),
        "MH-R010",
        "catch_up_per_s",
    ),
    "a wrong outcome": (("attempts", "list", "{id}", "--outcome", "good"), "MH-R010", "any, taken, failed"),
    "a time that is none": (("attempts", "list", "{id}", "--since", "soon"), "MH-R010", "--since"),
    "an attempt that is no id": (("attempts", "show", "{id}", "x"), "MH-R010", "UUID"),
    "an unknown attempt": (("attempts", "show", "{id}", ID), "MH-R008", ID),
    "an unknown parked reading": (("parked", "show", "{id}", ID), "MH-R008", ID),
    "sending nothing again": (("parked", "redrive", "{id}"), "MH-R010", "--all"),
    "sending all and some again": (("parked", "redrive", "{id}", ID, "--all"), "MH-R010", "--all"),
    "discarding nothing": (("parked", "discard", "{id}", "--yes"), "MH-R010", "--all"),
    "exporting to nowhere": (("parked", "export", "{id}", "--to", "/nowhere/x"), "MH-R010", "/nowhere/x"),
    "an unknown kind of key": (("subscription", "key", "add", "{id}", "--kind", "v2"), "MH-R010", "--kind"),
    "too long a grace": (("subscription", "key", "add", "{id}", "--grace", "1e9"), "MH-R010", "grace"),
    "an unknown signing key": (("subscription", "key", "retire", "{id}", "sig_no"), "MH-R008", "sig_no"),
}


@pytest.fixture(scope="module")
def some_id(hub: Hub) -> str:
    return str(subscribe(hub)["id"])


@pytest.mark.parametrize(("args", "code", "told"), FAILURES.values(), ids=FAILURES.keys())
def test_what_is_wrong_is_told_with_a_code(here: Here, some_id: str, args: Sequence[str], code: str, told: str) -> None:
    done = here.run(*(arg.replace("{id}", some_id) for arg in args))
    assert done.code == 1, done.said
    assert done.err.strip().startswith(code), done.said
    assert told in done.said
    assert "Traceback" not in done.said


def test_an_update_without_changes_is_a_wrong_call(here: Here, some_id: str) -> None:
    done = here.run("subscription", "update", some_id)
    assert done.code == 2
    assert "nothing to change" in done.said
