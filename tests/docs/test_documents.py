"""The documents agree with the code: links, citations, settings, error codes and commands exist; examples run."""

import doctest
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from matrixhub.cli.app import app
from matrixhub.config import default_text
from matrixhub.model.errors import MatrixHubError

ROOT = Path(__file__).parents[2]
PARTS = ("docs", "examples", "newsfragments", "bench", "sdk")
DOCUMENTS = sorted({*ROOT.glob("*.md"), *(file for part in PARTS for file in (ROOT / part).rglob("*.md"))})
SOURCES = sorted((ROOT / "src").rglob("*.py"))
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CITATION = re.compile(r"docs/[\w./-]+\.(?:md|py|toml)")
SECTION = re.compile(r"(docs/contract/[\w-]+\.md) §(\d+(?:\.\d+)?)((?:, §\d+(?:\.\d+)?)*)")
RUNNABLE = re.compile(r"^```python run\n(.*?)^```", re.MULTILINE | re.DOTALL)


def named(file: Path) -> str:
    return str(file.relative_to(ROOT))


every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=named)


def prose(document: Path) -> str:
    """The text without its fenced blocks."""
    return FENCE.sub("", document.read_text(encoding="utf-8"))


def slug(heading: str) -> str:
    """The anchor of a heading, as code hosts make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def headings(document: Path) -> list[str]:
    return re.findall(r"^#+ (.*)$", prose(document), re.MULTILINE)


@every_document
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    for found in LINK.finditer(prose(document)):
        link = found.group(1) or found.group(2)
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{named(document)} links to {link}"
        if anchor and target.suffix == ".md":
            assert anchor in map(slug, headings(target)), f"{named(document)} links to {link}"


def cited() -> Iterator[tuple[str, str]]:
    for source in SOURCES:
        for citation in CITATION.findall(source.read_text(encoding="utf-8")):
            yield named(source), citation


@pytest.mark.parametrize("citation", sorted({citation for _, citation in cited()}))
def test_every_document_that_code_cites_exists(citation: str) -> None:
    places = [source for source, name in cited() if name == citation]
    if citation.startswith("docs/decisions/") and not (ROOT / citation).exists():
        pytest.xfail(f"{citation} is being written; cited by {', '.join(places)}")
    assert (ROOT / citation).is_file(), f"cited by {', '.join(places)}"


def test_every_section_of_the_contract_that_code_cites_exists() -> None:
    found = 0
    for source in SOURCES:
        for document, first, rest in SECTION.findall(source.read_text(encoding="utf-8")):
            titles = headings(ROOT / document)
            for number in [first, *re.findall(r"§([\d.]+)", rest)]:
                found += 1
                assert any(re.match(rf"{re.escape(number)}\.? ", title) for title in titles), (source, document, number)
    assert found >= 5


def setting_names(tree: dict[str, Any], above: str = "") -> Iterator[str]:
    for key, value in tree.items():
        here = f"{above}.{key}".strip(".")
        yield here
        if isinstance(value, dict):
            yield from setting_names(value, here)


SETTINGS = frozenset(setting_names(tomllib.loads(default_text())))
SECTIONS = "|".join(tomllib.loads(default_text()))


@every_document
def test_every_setting_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    names = set(re.findall(rf"`((?:{SECTIONS})(?:\.[a-z_]+)+)`", text))
    variables = re.findall(r"MATRIXHUB_([A-Z_]+__[A-Z_]+)", text)
    names |= {variable.lower().replace("__", ".") for variable in variables}
    # A name may also be a file or module of ours, such as `model.time`; settings begin with a section.
    files = {name for name in names if name.endswith(".py")}
    modules = {name for name in names if (ROOT / "src" / "matrixhub" / f"{name.replace('.', '/')}.py").exists()}
    assert names - modules - files <= SETTINGS


def test_the_push_contract_states_the_defaults_in_force() -> None:
    text = (ROOT / "docs" / "contract" / "data-push.md").read_text(encoding="utf-8")
    defaults = tomllib.loads(default_text())["deliveries"]
    stated = dict(re.findall(r"`(\w+)` \(([\d., ]+)", text))
    assert set(stated) == {"batch_items", "batch_bytes", "connect_timeout_s", "total_timeout_s"} | {
        "retry_schedule_s",
        "retry_spread",
        "give_up_s",
        "attempts_retention_s",
        "parked_retention_s",
    }
    for key, shown in stated.items():
        numbers = [float(number) for number in re.findall(r"[\d.]+", shown)]
        assert numbers == (defaults[key] if isinstance(defaults[key], list) else [defaults[key]]), key


def error_codes(kind: type[MatrixHubError] = MatrixHubError) -> Iterator[str]:
    yield kind.code
    for child in kind.__subclasses__():
        yield from error_codes(child)


@every_document
def test_every_error_code_that_a_document_names_exists(document: Path) -> None:
    assert set(re.findall(r"MH-[A-Z]\d{3}", document.read_text(encoding="utf-8"))) <= set(error_codes())


def commands(group: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    """Every command with its options."""
    options = {name for parameter in group.params for name in (*parameter.opts, *parameter.secondary_opts)}
    yield above, options | {"--help"}
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*above, name))


COMMANDS = dict(commands(typer.main.get_command(app)))


def command_lines(text: str) -> Iterator[list[str]]:
    """What documents tell a reader to type: in fenced blocks at the beginning of a line, or in backticks."""
    lines = [line.strip().removeprefix("$ ") for block in FENCE.findall(text) for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    for line in lines:
        if found := re.match(r"(?:\S*/)?matrixhub (?!=)(.*)", line):
            yield re.split(r"\s+#|\s{2,}|[|;&…]", found.group(1))[0].split()


@every_document
def test_every_command_that_a_document_names_exists(document: Path) -> None:
    for words in command_lines(document.read_text(encoding="utf-8")):
        path: tuple[str, ...] = ()
        while words and (*path, words[0]) in COMMANDS:
            path, words = (*path, words[0]), words[1:]
        known_options = COMMANDS[path] | COMMANDS[()]
        assert path or not words or words[0].startswith("-"), f"matrixhub {words[0]} is no command"
        for option in (word.partition("=")[0].strip("[]") for word in words if re.match(r"\[?--", word)):
            assert option in known_options, f"matrixhub {' '.join(path)} has no option {option}"


@every_document
def test_every_make_target_that_a_document_names_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", document.read_text(encoding="utf-8"), re.MULTILINE)) <= targets


@every_document
def test_every_runnable_example_runs(document: Path) -> None:
    for code in RUNNABLE.findall(document.read_text(encoding="utf-8")):
        done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


@every_document
def test_every_interactive_example_gives_what_it_shows(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    if ">>> " in text:
        examples = doctest.DocTestParser().get_doctest(text, {}, named(document), str(document), 0)
        assert doctest.DocTestRunner().run(examples).failed == 0


@every_document
def test_documents_name_no_download_host(document: Path) -> None:
    assert not re.search(r"pypi\.org|pythonhosted|npmjs|files\.|/simple/", document.read_text(encoding="utf-8"))


def test_the_glossary_names_each_thing_once() -> None:
    rows = re.findall(
        r"^\| ([a-z][\w ]+?) \|", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(rows) == len(set(rows)) > 50
    asked_for = (
        "subscription destination position lease fence feed carrier batch push plan round message line item reading"
    )
    assert {*asked_for.split(), "slot", "window"} <= set(rows)
