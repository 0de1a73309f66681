"""What a check of a database says: step by step what was found, and what to do about it.

Source: docs/contract/dedicated-db.md §5
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from matrixhub.model.database import STEPS, Step

Grade = Literal["ok", "warning", "wrong", "unknown"]
"""`wrong` keeps the hub from writing, a `warning` does not; `unknown` was not looked at for what was wrong before."""

GRADES: tuple[Grade, ...] = ("ok", "warning", "wrong", "unknown")


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What was found at a step, and what to do. `run` holds commands and statements to be run as they stand."""

    step: Step
    grade: Grade
    found: str
    to_do: str = ""
    run: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """The verdicts of a check, in the order of the steps; of each step there is at least one."""

    verdicts: tuple[Verdict, ...]

    @property
    def ready(self) -> bool:
        """Whether the hub can write."""
        return not self.wrong

    @property
    def wrong(self) -> Sequence[Verdict]:
        """What keeps it from writing."""
        return [verdict for verdict in self.verdicts if verdict.grade == "wrong"]


def in_order(verdicts: Sequence[Verdict]) -> Checked:
    """The verdicts by step; steps behind one that is wrong, and of which there is none, were not looked at.

    >>> [(v.step, v.grade) for v in in_order([Verdict(step="tls", grade="wrong", found="none")]).verdicts][:3]
    [('reach', 'ok'), ('tls', 'wrong'), ('login', 'unknown')]
    """
    ordered: list[Verdict] = []
    spoilt = False
    for step in STEPS:
        found = [verdict for verdict in verdicts if verdict.step == step]
        if not found:
            found = [Verdict(step=step, grade="unknown" if spoilt else "ok", found=_NOTHING[spoilt])]
        spoilt = spoilt or any(verdict.grade == "wrong" for verdict in found)
        ordered += sorted(found, key=lambda verdict: ("wrong", "warning", "ok", "unknown").index(verdict.grade))
    return Checked(tuple(ordered))


_NOTHING = {True: "not looked at", False: "nothing is wrong"}


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever is in it.

    >>> quoted('a "b" c')
    '"a ""b"" c"'
    """
    return '"' + name.replace('"', '""') + '"'
