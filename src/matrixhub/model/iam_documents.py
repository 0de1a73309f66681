"""Roles and groups of users as people write them: read and checked as a whole.

Source: docs/contract/web-services.md §3.4
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from matrixhub.model.access import RoleId, is_role_name
from matrixhub.model.errors import InvalidValue
from matrixhub.model.iam import (
    Conditions,
    GroupDocument,
    Hours,
    RoleDocument,
    Statement,
    minute_of,
    network_of,
)
from matrixhub.model.iam_system import SYSTEM_ROLES
from matrixhub.model.ids import is_id
from matrixhub.model.time import zone

NAME_MAX = 128
TEXT_MAX = 512
POLICY_SETS_MAX = 20
STATEMENTS_MAX = 100
PATTERNS_MAX = 500
MEMBERS_MAX = 1_000

RESERVED = ("smartclean#", "matrixhub#")
"""How names of roles do not begin: those of the system do."""

_GROUP = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_OPERATION = re.compile(r"[A-Za-z0-9_.*-]{1,128}")
_PRINCIPAL = re.compile(r"(srn:|\*)[^\x00]*")

Wrong = tuple[str, str]
"""The field, and what is wrong with it."""

T = TypeVar("T")


def read_document(kind: type[T], raw: Any) -> T:
    """A document from a file, whose numbers may be texts. Raises InvalidValue."""
    try:
        return msgspec.convert(raw, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidValue(str(error)) from None


def check_role(document: RoleDocument) -> None:
    """Whether a role can be taken as it is. Raises InvalidValue naming every field that is wrong."""
    _raise(list(_wrong_of_role(document)))


def check_group(document: GroupDocument) -> None:
    """Whether a group can be taken as it is; whether its role is there is asked elsewhere. Raises InvalidValue."""
    wrong: list[Wrong] = []
    if _GROUP.fullmatch(document.name) is None:
        wrong.append(("name", "has 1 to 64 of A-Z, a-z, 0-9, _, . and -"))
    for kind, members in (
        ("seats", document.members.seats),
        ("users", document.members.users),
        ("keys", document.members.keys),
    ):
        wrong += _each(f"members.{kind}", members, is_id, "is no id")
        wrong += _once(f"members.{kind}", members)
        if len(members) > MEMBERS_MAX:
            wrong.append((f"members.{kind}", f"more than {MEMBERS_MAX:,}"))
    _raise(wrong)


def _raise(wrong: Sequence[Wrong]) -> None:
    if wrong:
        path, what = wrong[0]
        raise InvalidValue(f"{path}: {what}", fields=wrong)


def _wrong_of_role(document: RoleDocument) -> Iterator[Wrong]:
    if not is_role_name(document.name):
        yield "name", "is <name> or <owner>#<name>, each of A-Z, a-z, 0-9, _, . and -"
    if document.name.lower().startswith(RESERVED) or RoleId(document.name) in SYSTEM_ROLES:
        yield "name", "is kept for roles of the system"
    if len(document.description) > TEXT_MAX or "\x00" in document.description:
        yield "description", f"has at most {TEXT_MAX} characters, and no NUL"
    yield from _once("policy_sets", [one.name for one in document.policy_sets])
    if len(document.policy_sets) > POLICY_SETS_MAX:
        yield "policy_sets", f"more than {POLICY_SETS_MAX}"
    for number, policy_set in enumerate(document.policy_sets):
        where = f"policy_sets[{number}]"
        yield from _wrong_name(policy_set.name, f"{where}.name")
        if not 0 < len(policy_set.statements) <= STATEMENTS_MAX:
            yield f"{where}.statements", f"from 1 to {STATEMENTS_MAX}"
        for position, statement in enumerate(policy_set.statements):
            yield from _wrong_of_statement(f"{where}.statements[{position}]", statement)
    if len(document.trust) > STATEMENTS_MAX:
        yield "trust", f"more than {STATEMENTS_MAX}"
    for number, clause in enumerate(document.trust):
        where = f"trust[{number}].principals"
        yield from _some(where, clause.principals)
        yield from _each(
            where,
            clause.principals,
            lambda text: len(text) <= TEXT_MAX and _PRINCIPAL.fullmatch(text) is not None,
            "is no SRN of a principal, srn:sciam:…, nor *",
        )


def _wrong_of_statement(where: str, statement: Statement) -> Iterator[Wrong]:
    if statement.name:
        yield from _wrong_name(statement.name, f"{where}.name")
    yield from _some(f"{where}.operations", statement.operations)
    yield from _each(
        f"{where}.operations",
        statement.operations,
        lambda text: _OPERATION.fullmatch(text) is not None,
        "is no name of an operation, such as scgrids.read*",
    )
    if len(statement.buildings) > PATTERNS_MAX:
        yield f"{where}.buildings", f"more than {PATTERNS_MAX}"
    yield from _each(f"{where}.buildings", statement.buildings, is_id, "is no id")
    yield from _wrong_of_conditions(f"{where}.when", statement.when)


def _wrong_of_conditions(where: str, when: Conditions) -> Iterator[Wrong]:
    for name, networks in (("ip_in", when.ip_in), ("ip_not_in", when.ip_not_in)):
        if len(networks) > PATTERNS_MAX:
            yield f"{where}.{name}", f"more than {PATTERNS_MAX}"
        yield from _each(f"{where}.{name}", networks, _is_network, "is no network, such as 10.0.0.0/8")
    for name, instant in (("not_before", when.not_before), ("not_after", when.not_after)):
        if instant is not None and instant.tzinfo is None:
            yield f"{where}.{name}", "has no offset, such as Z"
    if when.hours is not None:
        yield from _wrong_of_hours(f"{where}.hours", when.hours)


def _wrong_of_hours(where: str, hours: Hours) -> Iterator[Wrong]:
    for name, text in (("start", hours.start), ("end", hours.end)):
        if not _is_minute(text):
            yield f"{where}.{name}", "is no time of the day, such as 08:00"
    if hours.start == "24:00":
        yield f"{where}.start", "is the end of the day"
    if not hours.days or len(set(hours.days)) != len(hours.days) or not all(0 <= day <= 6 for day in hours.days):
        yield f"{where}.days", "are some of 0 (Sunday) to 6, each once"
    if not _is_time_zone(hours.time_zone):
        yield f"{where}.time_zone", "is no time zone, such as Asia/Singapore"


def _wrong_name(name: str, where: str) -> Iterator[Wrong]:
    if not is_id(name):
        yield where, f"has 1 to {NAME_MAX} printable characters, and no blanks around"


def _some(where: str, patterns: Sequence[str]) -> Iterator[Wrong]:
    if not 0 < len(patterns) <= PATTERNS_MAX:
        yield where, f"from 1 to {PATTERNS_MAX}"


def _each(where: str, texts: Sequence[str], good: Callable[[str], bool], what: str) -> list[Wrong]:
    return [(f"{where}[{number}]", what) for number, text in enumerate(texts) if not good(text)]


def _once(where: str, names: Sequence[str]) -> list[Wrong]:
    return [(where, f"{name[:NAME_MAX]!r} is there twice") for name, times in Counter(names).items() if times > 1]


def _is_network(text: str) -> bool:
    try:
        network_of(text)
    except ValueError:
        return False
    return True


def _is_minute(text: str) -> bool:
    try:
        minute_of(text)
    except ValueError:
        return False
    return True


def _is_time_zone(text: str) -> bool:
    try:
        zone(text)
    except ValueError:
        return False
    return True
