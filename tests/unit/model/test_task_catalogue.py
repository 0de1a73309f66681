"""Quotas of the catalogue, at their edges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from matrixhub.model.errors import LimitViolated, MissingParameters, WrongParameters
from matrixhub.model.task_catalogue import CustomTask, TaskGroup, check_custom_task, check_task_group

GROUP = TaskGroup(name="Mop", tasks=("Mop",))


def groups(count: int, *categories: str) -> list[TaskGroup]:
    return [replace(GROUP, name=f"g{number}", zone_categories=categories) for number in range(count)]


@pytest.mark.parametrize(
    "changes, known",
    [
        ({"tasks": ("t",) * 21}, []),
        ({"zone_categories": tuple("abcdef")}, []),
        ({"zone_categories": ("x",)}, [group for letter in "abcde" for group in groups(20, letter)]),
        ({"zone_categories": ("a", "b")}, groups(20, "b")),
        ({"zone_categories": ("a",)}, groups(20)),
        ({"zone_categories": ("a",)}, [*groups(10), *groups(10, "a")]),
        ({}, groups(20, "a")),
    ],
)
def test_one_too_many_is_refused(changes: dict[str, Any], known: list[TaskGroup]) -> None:
    with pytest.raises(LimitViolated):
        check_task_group(replace(GROUP, **changes), known)


def test_what_the_quotas_allow_is_taken() -> None:
    check_task_group(replace(GROUP, tasks=("t",) * 20, zone_categories=tuple("abcde")), groups(19, "a"))
    check_task_group(GROUP, groups(19))
    check_custom_task(CustomTask(name="t"), 99)
    with pytest.raises(LimitViolated):
        check_custom_task(CustomTask(name="t"), 100)


def test_what_has_no_name_or_does_not_fit_is_refused() -> None:
    for group in (replace(GROUP, name=" "), replace(GROUP, tasks=()), replace(GROUP, tasks=("",))):
        with pytest.raises(MissingParameters):
            check_task_group(group, [])
    with pytest.raises(WrongParameters):
        check_task_group(replace(GROUP, name="n" * 257), [])
    with pytest.raises(MissingParameters):
        check_custom_task(CustomTask(name=""), 0)
    for task in (CustomTask(name="t", minutes=-1), CustomTask(name="t", skills=("s",) * 21)):
        with pytest.raises(WrongParameters):
            check_custom_task(task, 0)
