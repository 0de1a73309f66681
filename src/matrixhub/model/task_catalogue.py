"""The catalogue of a property: custom tasks, and task groups that plans are made from, within their quotas.

Source: docs/contract/incidents.md §3.3
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from matrixhub.model.errors import LimitViolated, MissingParameters, WrongParameters

GROUP_TASKS_MAX = 20
CUSTOM_TASKS_MAX = 100
GROUPS_MAX = 100
CATEGORY_GROUPS_MAX = 20
GROUP_CATEGORIES_MAX = 5

_TEXT_MAX = 256
_SKILLS_MAX = 20
_MINUTES_MAX = 1_440


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomTask:
    """A task a property has added to those everybody has. `id` is '' until it is kept."""

    name: str
    asset: str = ""
    category: str = ""
    measure: str = ""
    measure_name: str = ""
    skills: tuple[str, ...] = ()
    minutes: int = 0
    id: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskGroup:
    """Tasks that are done together, in zones of some categories; none are all. `id` is '' until it is kept."""

    name: str
    tasks: tuple[str, ...]
    zone_categories: tuple[str, ...] = ()
    id: str = ""


def check_custom_task(task: CustomTask, known: int) -> None:
    """Refuse a custom task that does not fit, or is one too many. Raises: the errors of parameters, LimitViolated."""
    if not task.name.strip():
        raise MissingParameters("a custom task needs a name")
    texts = (task.name, task.asset, task.category, task.measure, task.measure_name, *task.skills)
    if any(len(text) > _TEXT_MAX for text in texts) or len(task.skills) > _SKILLS_MAX:
        raise WrongParameters(f"texts have at most {_TEXT_MAX} characters, skills are at most {_SKILLS_MAX}")
    if not 0 <= task.minutes <= _MINUTES_MAX:
        raise WrongParameters(f"timeInMinutes is 0 to {_MINUTES_MAX}")
    if known >= CUSTOM_TASKS_MAX:
        raise LimitViolated(f"a property has at most {CUSTOM_TASKS_MAX} custom tasks")


def check_task_group(group: TaskGroup, known: Sequence[TaskGroup]) -> None:
    """Refuse a task group that does not fit, or is one too many beside those the property has.

    Raises: MissingParameters, WrongParameters, LimitViolated.
    """
    if not group.name.strip() or not group.tasks or not all(task.strip() for task in group.tasks):
        raise MissingParameters("a task group needs a name and tasks")
    if any(len(text) > _TEXT_MAX for text in (group.name, *group.tasks, *group.zone_categories)):
        raise WrongParameters(f"texts have at most {_TEXT_MAX} characters")
    if len(group.tasks) > GROUP_TASKS_MAX:
        raise LimitViolated(f"a task group has at most {GROUP_TASKS_MAX} tasks")
    if len(set(group.zone_categories)) > GROUP_CATEGORIES_MAX:
        raise LimitViolated(f"a task group is for at most {GROUP_CATEGORIES_MAX} zone categories, or for all")
    if len(known) >= GROUPS_MAX:
        raise LimitViolated(f"a property has at most {GROUPS_MAX} task groups")
    if fullest(group, known) >= CATEGORY_GROUPS_MAX:
        raise LimitViolated(f"a zone category has at most {CATEGORY_GROUPS_MAX} task groups")


def fullest(group: TaskGroup, known: Sequence[TaskGroup]) -> int:
    """The most task groups that any of the categories of a group has already; those for all count for each.

    >>> fullest(TaskGroup(name="g", tasks=("t",)), [TaskGroup(name="h", tasks=("t",), zone_categories=("LABS",))])
    1
    """
    for_all = sum(not one.zone_categories for one in known)
    named = Counter(category for one in known for category in set(one.zone_categories))
    categories = group.zone_categories or tuple(named)
    return for_all + max((named[category] for category in categories), default=0)
