"""Options become the document of a subscription; secrets come from files or standard input."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from matrixhub.cli.app import app
from matrixhub.cli.fields import FIELDS, Given, file_document, options_document, takes_fields, unset_document
from matrixhub.model.errors import InvalidValue
from matrixhub.model.policy import BatchLimits, Policy
from matrixhub.model.request import parse_request

PLANTED = "pl4nted-s3cret"


def given_by(*args: str, stdin: str = "") -> Given:
    """What a command gets from these arguments."""
    found: dict[str, Any] = {}
    probe = typer.Typer()

    @probe.command()
    @takes_fields
    def command(given: Given) -> None:
        """Take note."""
        found.update(given)

    result = CliRunner().invoke(probe, args, input=stdin)
    assert result.exit_code == 0, result.output
    return found


def document_of(*args: str, scheme: str = "none") -> dict[str, Any]:
    return options_document(given_by(*args), scheme=scheme)


def refusal(document: object) -> str:
    """Why the document is refused, '' if it is not."""
    try:
        parse_request(document, limits=BatchLimits(), policy=Policy())
    except InvalidValue as error:
        return error.message
    return ""


def test_every_option_has_its_place_in_the_document_and_the_document_takes_it(tmp_path: Path) -> None:
    """Each field is set alone; the document must know the place, whatever it says of the value."""
    samples = {"whole": "7", "number": "7", "numbers": "0,7", "pairs": "a=b"}
    pem = tmp_path / "pem"
    pem.write_text("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")
    for field in FIELDS:
        flag = field.flag.split("/")[0]
        value = str(pem) if field.what.endswith("file") else samples.get(field.what, "x")
        document = document_of(flag) if field.what == "flag" else document_of(flag, value)
        assert "is not a field" not in refusal({"url": "https://h/", **document}), field.flag
        inner: Any = document
        for name in field.path.split("."):
            inner = inner[name]


def test_options_are_put_together() -> None:
    assert document_of(
        "--url", "https://h/", "--building", "a", "--building", "b", "--gzip", "--retry-schedule", "0,1.5",
        "--order", "strict", "--header", "X-A: 1:2 ", "--header", "X-B:2",
    ) == {
        "url": "https://h/",
        "filter": {"buildings": ["a", "b"]},
        "format": {"gzip": True},
        "policy": {"retry_schedule_s": [0.0, 1.5], "order": "strict"},
        "headers": {"X-A": "1:2", "X-B": "2"},
    }  # fmt: skip
    assert document_of("--no-gzip") == {"format": {"gzip": False}}
    assert document_of() == {}


@pytest.mark.parametrize(
    ("args", "present", "scheme"),
    [
        (("--basic", "u:p"), "none", "basic"),
        (("--oauth-client-id", "c"), "none", "oauth2_client_credentials"),
        (("--oauth-client-id", "c", "--oauth-refresh-token", "r"), "none", "oauth2_refresh_token"),
        (("--oauth-scope", "s"), "oauth2_refresh_token", "oauth2_refresh_token"),
        (("--oauth-scope", "s"), "basic", "oauth2_client_credentials"),
        (("--sas-key-name", "n"), "none", "azure_sas"),
        (("--aws-region", "r"), "none", "aws_sigv4"),
    ],
)
def test_the_scheme_follows_from_the_options(args: tuple[str, ...], present: str, scheme: str) -> None:
    assert document_of(*args, scheme=present)["auth"]["scheme"] == scheme


def test_two_ways_of_authentication_are_refused() -> None:
    with pytest.raises(InvalidValue, match="more than one way"):
        document_of("--basic", "u:p", "--sas-key-name", "n")


@pytest.mark.parametrize(("flag", "value"), [("--retry-schedule", "0,soon"), ("--oauth-extra", "audience")])
def test_a_value_of_the_wrong_form_is_refused(flag: str, value: str) -> None:
    with pytest.raises(InvalidValue, match=flag):
        document_of(flag, value)


def test_secrets_are_read_from_files_and_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{PLANTED}\n")
    assert document_of("--sas-key-file", str(secret))["auth"]["key"] == PLANTED
    given = given_by("--basic", "hub", "--header", "X-Key", "--notify-secret", "-")
    monkeypatch.setattr("sys.stdin", io.StringIO("notify\npassword\nheader\n"))
    document = options_document(given)
    assert document["notify"] == {"secret": "notify"}
    assert document["auth"] == {"scheme": "basic", "user": "hub", "password": "password"}
    assert document["headers"] == {"X-Key": "header"}


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ("url: https://h/\nfilter: {zones: [z]}\n", {"url": "https://h/", "filter": {"zones": ["z"]}}),
        ('{"policy": {"give_up_s": 1e5}}', {"policy": {"give_up_s": 100000.0}}),
    ],
)
def test_a_file_is_yaml_or_json(text: str, document: object, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    assert file_document({"from_file": path}) == document


@pytest.mark.parametrize(
    "content",
    [f"a: [{PLANTED}".encode(), b"\xff\xfe", b"- a", b"", b"a: !!python/object:x.y {}", b"[" * 5000, b"2024-13-45"],
)
def test_a_file_that_is_neither_is_refused_without_showing_it(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(InvalidValue) as caught:
        file_document({"from_file": path})
    assert PLANTED not in caught.value.message
    assert str(path) in caught.value.message


def test_what_is_unset_becomes_null() -> None:
    assert unset_document(["policy.give_up_s", "policy.order", "auth", "headers.X.Y", "headers.Z"]) == {
        "policy": {"give_up_s": None, "order": None},
        "auth": None,
        "headers": {"X.Y": None, "Z": None},
    }


@pytest.mark.parametrize("command", ["create", "update"])
def test_both_commands_have_every_option(command: str) -> None:
    said = CliRunner().invoke(app, ["subscription", command, "--help"]).output
    for field in FIELDS:
        assert field.flag.split("/")[0] in said


def test_events_are_asked_for_by_a_flag_and_patterns() -> None:
    document = document_of("--events", "--pattern", "matrix.b1.#", "--pattern", "#.HIGH")
    assert document == {"source": "events", "filter": {"patterns": ["matrix.b1.#", "#.HIGH"]}}
    assert refusal({"url": "https://example.org/", **document}) == ""
    assert "are for events" in refusal({"url": "https://example.org/", **document_of("--pattern", "#")})
