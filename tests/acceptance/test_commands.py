"""The commands themselves: what they print, and how they fail."""

from __future__ import annotations

import json
import socket
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click.testing
import pytest
import typer.main
from tests.acceptance.hub import PROPERTY, Hub, free_port, run_command, run_installed_command, site_text

import matrixhub
from matrixhub.cli.app import app

EXAMPLES = Path(__file__).parents[2] / "examples"


def paths(found: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The way to every command and group."""
    yield path
    for name, inner in getattr(found, "commands", {}).items():
        yield from paths(inner, (*path, name))


def test_every_command_has_help_with_an_explanation() -> None:
    """Only the first two are asked from outside: each start of an interpreter takes a second."""
    every = list(paths(typer.main.get_command(app)))
    assert len(every) > 15
    outside: tuple[tuple[str, ...], ...] = ((), ("subscription", "create"))
    for path in outside:
        done = run_installed_command(*path, "--help")
        assert (done.code, done.err) == (0, "")
        assert "Usage: matrixhub" in done.said
    command = typer.main.get_command(app)  # once: it takes longer than all the rest
    for path in every:
        result = click.testing.CliRunner().invoke(command, [*path, "--help"], prog_name="matrixhub")  # type: ignore[arg-type]
        assert result.exit_code == 0, path
        assert f"Usage: {' '.join(('matrixhub', *path))}" in " ".join(result.output.split())
        assert len(result.output) > 200, path


def test_the_version_is_printed() -> None:
    assert run_installed_command("--version").out == f"matrixhub {matrixhub.__version__}\n"


@pytest.mark.parametrize("args", [("--help",), ("config",), ("key", "create"), ("up", "--listen", "nowhere")])
def test_a_command_of_the_nursery_says_what_the_installed_one_does(args: tuple[str, ...]) -> None:
    """Nearly all commands of these tests are run that way."""
    assert run_command(*args) == run_installed_command(*args)


def test_applying_a_site_twice_changes_nothing(hub: Hub) -> None:
    file = hub.write("twice.yaml", site_text("twice", ("twice-0", "twice-1")))
    first, second = hub.ask("site", "apply", str(file)), hub.ask("site", "apply", str(file))
    assert (first["property"], first["changed"], first["unchanged"]) == ("twice", True, 0)
    assert (second["changed"], second["unchanged"]) == (False, first["created"])
    assert (second["created"], second["updated"], second["removed"]) == (0, 0, 0)
    assert "0 created, 0 updated" in hub.run("site", "apply", str(file)).said


def test_a_shown_site_can_be_applied_and_changes_nothing(hub: Hub) -> None:
    assert hub.run("site", "apply", str(EXAMPLES / "demo.site.yaml")).code == 0
    shown = hub.run("site", "show", "fabf1b599691574c9d1f4048bdf80972")
    assert hub.ask("site", "apply", str(hub.write("shown.yaml", shown.out)))["changed"] is False


def test_what_a_site_file_no_longer_names_stays_unless_removed(hub: Hub) -> None:
    both = hub.write("both.yaml", site_text("shrinking", ("shrinking-0", "shrinking-1")))
    one = hub.write("one.yaml", site_text("shrinking", ("shrinking-0",)))
    hub.ask("site", "apply", str(both))
    assert hub.ask("site", "apply", str(one))["removed"] == 0
    assert hub.ask("site", "apply", str(one), "--remove")["removed"] == 1
    assert hub.ask("site", "apply", str(both))["created"] == 1


BAD_SITES = {
    "an unknown field": (
        "organisation: {name: A}\nproperty: {name: P}\nbuildings:\n  - name: B\n    timezone: UTC\n",
        5,
        "buildings[0].timezone",
    ),
    "a wrong time zone": (
        "organisation: {name: A}\nproperty: {name: P}\nbuildings:\n  - name: B\n    time_zone: Mars/Base\n",
        5,
        "buildings[0].time_zone",
    ),
    "a missing name": ("organisation: {name: A}\nproperty: {}\n", 2, "property.name"),
    "not YAML": ("organisation: {name: A\nproperty: [", 2, ""),
}


@pytest.mark.parametrize("text, line, field", BAD_SITES.values(), ids=BAD_SITES.keys())
def test_errors_of_a_site_file_name_line_and_field(hub: Hub, text: str, line: int, field: str) -> None:
    file = hub.write("bad.yaml", text)
    done = hub.run("site", "apply", str(file))
    assert done.code == 2
    assert f"MH-C002 {file}:{line}: {field}" in done.said
    assert "Traceback" not in done.said


def test_config_hides_secrets() -> None:
    secrets = {
        "MATRIXHUB_SECRETS__MASTER_KEY": "0123456789abcdef" * 4,
        "MATRIXHUB_ENGINES__POSTGRES__DSN": "postgresql://someone:pa55word@db.example/hub",
        "MATRIXHUB_ENGINES__NATS__URL": "nats://t0ken@bus.example:4222",
        "MATRIXHUB_HTTP__LISTEN": "127.0.0.1:9999",
    }
    for options in ((), ("--json",)):
        done = run_command("config", *options, settings=secrets)
        assert done.code == 0
        document = json.loads(done.out) if options else tomllib.loads(done.out)
        assert document["http"]["listen"] == "127.0.0.1:9999"
        assert document["engines"]["postgres"]["dsn"].endswith("@db.example/hub")
        for secret in ("0123456789abcdef", "pa55word", "t0ken"):
            assert secret not in done.said


def test_the_printed_defaults_are_the_file_of_the_defaults() -> None:
    file = Path(matrixhub.__file__).with_name("config.default.toml")
    done = run_command("config", "--default")
    assert done.out == file.read_text(encoding="utf-8")
    assert tomllib.loads(done.out)["http"]["listen"] == "127.0.0.1:8080"


def test_the_settings_in_force_can_be_read_as_a_settings_file(tmp_path: Path) -> None:
    first = run_command("config", settings={"MATRIXHUB_DELIVERIES__BATCH_ITEMS": "77"})
    file = tmp_path / "settings.toml"
    file.write_text(first.out, encoding="utf-8")
    second = run_command("--config", str(file), "config")
    assert second.code == 0, second.err
    assert second.out == first.out


def test_doctor_is_content_with_a_running_hub(hub: Hub) -> None:
    done = hub.run("doctor", "--json")
    findings = {finding["what"]: finding for finding in json.loads(done.out)}
    assert done.code == 0, findings
    assert hub.url in findings["Hub"]["found"]
    assert {finding["verdict"] for finding in findings.values()} <= {"good", "warning"}
    assert {"Stream", "Stream of events", "Past data"} <= set(findings)
    assert {"PostgreSQL program", "NATS program", "Data directory", "Free disk", "Clock"} <= set(findings)


def test_doctor_without_a_hub_says_how_to_start_one() -> None:
    fresh = Hub()
    try:
        listen = {"MATRIXHUB_HTTP__LISTEN": f"127.0.0.1:{free_port()}"}
        done = fresh.run("doctor", settings=listen)
        assert done.code == 0, done.said
        assert "matrixhub up" in done.said
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            address = f"127.0.0.1:{other.getsockname()[1]}"
            done = fresh.run("doctor", settings={"MATRIXHUB_HTTP__LISTEN": address})
            assert done.code == 1
            assert address in done.said
            assert "--listen" in done.said
    finally:
        fresh.remove()


def test_migrate_changes_nothing_on_a_running_hub(hub: Hub) -> None:
    assert hub.ask("migrate") == {"applied": []}


def test_a_key_is_shown_once(hub: Hub) -> None:
    made = hub.ask("key", "create", "--property", PROPERTY, "--name", "gateway")
    assert made["key"].startswith("mhk_")
    listed = hub.run("key", "list", "--property", PROPERTY, "--json")
    assert made["key"] not in listed.said
    assert {"gateway"} <= {key["name"] for key in listed.json()}


def test_a_password_is_never_shown_again(hub: Hub) -> None:
    made = hub.run(
        "subscription", "create", "--property", PROPERTY, "--url", "https://localhost:1/x", "--basic", "me:s3cret!",
        "--json",
    )  # fmt: skip
    document = made.json()
    assert document["auth"] == {"scheme": "basic", "user": "me"}
    for options in (("list",), ("list", "--json"), ("show", document["id"]), ("show", document["id"], "--json")):
        done = hub.run("subscription", *options)
        assert document["id"] in done.said
        assert "s3cret!" not in done.said
    hub.run("subscription", "pause", document["id"])
    assert "s3cret!" not in hub.program.log


FAILURES: dict[str, tuple[Sequence[str], str]] = {
    "a plain HTTP destination": (
        ("subscription", "create", "--property", PROPERTY, "--url", "http://localhost/x"),
        "MH-R010",
    ),
    "a destination without a host": (
        ("subscription", "create", "--property", PROPERTY, "--url", "https:///x"),
        "MH-R010",
    ),
    "too large a batch": (
        ("subscription", "create", "--property", PROPERTY, "--url", "https://h/x", "--batch-items", "10001"),
        "MH-R010",
    ),
    "a start that is no time": (
        ("subscription", "create", "--property", PROPERTY, "--url", "https://h/x", "--from", "soon"),
        "MH-R010",
    ),
    "a subscription to no property": (
        ("subscription", "create", "--property", "nowhere", "--url", "https://h/x"),
        "MH-R008",
    ),
    "an unknown subscription": (("subscription", "show", "sub_nothing"), "MH-R008"),
    "pausing an unknown subscription": (("subscription", "pause", "sub_nothing"), "MH-R008"),
    "a key for no property": (("key", "create", "--property", "nowhere"), "MH-R008"),
    "revoking no key": (("key", "revoke", "key_nothing", "--property", PROPERTY), "MH-R008"),
    "an unknown property": (("site", "show", "nowhere"), "MH-R008"),
}


@pytest.mark.parametrize("args, code", FAILURES.values(), ids=FAILURES.keys())
def test_a_command_that_fails_says_why_with_a_code(hub: Hub, args: Sequence[str], code: str) -> None:
    done = hub.run(*args)
    assert done.code == 1
    assert done.err.startswith(code), done.said
    assert len(done.err) > 30
    assert "Traceback" not in done.said


WITHOUT_HUB: dict[str, Sequence[str]] = {
    "site": ("site", "show"),
    "key": ("key", "list", "--property", PROPERTY),
    "subscription": ("subscription", "list"),
    "migrate": ("migrate",),
    "run": ("run", "deliveries", "--listen", "127.0.0.1:0"),
    "simulate": ("simulate", "--seconds", "1"),
    "replay": (
        "replay", str(EXAMPLES / "README.md"), "--mapping", str(EXAMPLES / "door-counts.mapping.yaml"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("args", WITHOUT_HUB.values(), ids=WITHOUT_HUB.keys())
def test_without_a_hub_a_command_says_how_to_start_one(args: Sequence[str], tmp_path: Path) -> None:
    done = run_command(*args, "--data", str(tmp_path / "none"))
    assert done.code == 1
    assert "MH-E003" in done.err, done.said
    assert "matrixhub up" in done.said
    assert "Traceback" not in done.said


WRONG_SETTINGS = {
    "an unknown setting": ({"MATRIXHUB_HTTP__PORT": "80"}, "there is no setting http.port"),
    "an unknown section": ({"MATRIXHUB_HTTPS__LISTEN": "x"}, "there is no setting https.listen"),
    "a wrong type": ({"MATRIXHUB_DELIVERIES__BATCH_ITEMS": "many"}, "deliveries.batch_items"),
    "a wrong value": ({"MATRIXHUB_DELIVERIES__LEASE_S": "0"}, "deliveries.lease_s"),
    "no address": ({"MATRIXHUB_HTTP__LISTEN": "8080"}, "http.listen"),
}


@pytest.mark.parametrize("settings, told", WRONG_SETTINGS.values(), ids=WRONG_SETTINGS.keys())
def test_a_wrong_setting_is_named(settings: dict[str, str], told: str, tmp_path: Path) -> None:
    done = run_command("up", "--data", str(tmp_path / "none"), settings=settings)
    assert done.code == 2
    assert done.err.startswith("MH-C001"), done.said
    assert told in done.said
    assert "Traceback" not in done.said
    assert not (tmp_path / "none").exists()
