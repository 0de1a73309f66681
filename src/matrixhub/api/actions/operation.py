"""An operation of Matrix Web Services: one row of the registry, and what it is called with.

Routing, checks of the request, authorisation, documentation and tests all come from the row.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from matrixhub.api.actions.shape import NOTHING, Shape
from matrixhub.api.parts import Parts
from matrixhub.model.access import Identity
from matrixhub.model.errors import MissingParameters
from matrixhub.model.ids import BuildingId, PropertyId
from matrixhub.modules.work import Platform

Envelope = Literal["grids", "workforce", "plain"]
"""What is around the data: `{status, message, data}`, `{code, message, data}`, or nothing."""

Certainty = Literal["published", "name published", "ours"]
"""How much of request and answer is published. Source: docs/contract/README.md §1"""

Document = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A file of a form."""

    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """An operation under way: who asks, about what, with which body.

    `body` is {} where there was none; `items` is the body of an operation that takes a list.
    """

    parts: Parts
    identity: Identity
    organisation: str
    property_id: PropertyId
    building: str
    body: Document = field(default_factory=dict)
    items: Sequence[Any] = ()
    files: Mapping[str, File] = field(default_factory=dict)

    @property
    def platform(self) -> Platform:
        """What the modules work with."""
        return self.parts.platform

    @property
    def actor(self) -> str:
        """Who records say did it."""
        return self.identity.name

    @property
    def building_id(self) -> BuildingId:
        """The building of the request. Raises MissingParameters where it names none."""
        if not self.building:
            raise MissingParameters("pid: the operation is about a building")
        return BuildingId(self.building)

    @property
    def any_building(self) -> BuildingId | None:
        """The building of the request, None where it names none."""
        return BuildingId(self.building) if self.building else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What an operation answers: `data`, and what stands beside it in the envelope, such as `LEK`."""

    data: Any = None
    message: str = ""
    beside: Mapping[str, Any] = field(default_factory=dict)


Answer = Reply | bytes
"""A reply, or the bytes of a whole answer that were made before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """A row: what an operation is called, takes, answers and needs.

    `name` is `<prefix>.<operation>`, `service` the segment of the path that clients use for it. `needs_building`
    says whether `pid` must name a building, `needs_property` whether `propid` must be there whatever the credentials.
    `confined` says of an operation that may do without that, where there is one, it is about that building alone.
    `request` is the shape of the body, `response` that of `data` (of the whole answer where the envelope is plain).
    `permission` is what a role must allow, the name itself unless it is given. `keeps_s` lets answers be kept in
    memory until something in the building changes (docs/decisions/0013-versions.md), so many seconds at most.
    `example` is a request body that is shown and tried; `{zone}`, `{level}`, `{slot}`, `{seat}` and `{shift}` in it
    stand for ids.
    """

    name: str
    service: str
    summary: str
    call: Callable[[Call], Awaitable[Answer]]
    request: Shape = NOTHING
    response: Shape = NOTHING
    envelope: Envelope
    status: int = 200
    needs_building: bool = False
    confined: bool = False
    needs_property: bool = False
    needs_organisation: bool = True
    takes_list: bool = False
    takes_form: bool = False
    also: tuple[str, ...] = ()
    permission: str = ""
    keeps_s: float = 0.0
    certainty: Certainty = "published"
    example: Mapping[str, Any] | Sequence[Any] | None = None

    @property
    def needed(self) -> str:
        """The permission that a role must allow."""
        return self.permission or self.name

    @property
    def about_building(self) -> bool:
        """Whether it is about the building that `pid` names, and about no other; a role may allow it for that one."""
        return self.needs_building or self.confined


def envelope(operation: Operation, reply: Reply) -> dict[str, Any]:
    """The answer as the wire has it. Source: docs/contract/web-services.md §5"""
    match operation.envelope:
        case "grids":
            made = {"status": operation.status, "message": reply.message or "Success", "data": reply.data}
        case "workforce":
            made = {"code": "SUCCESS", "message": reply.message or "Success", "data": reply.data}
        case "plain":
            made = reply.data
    return {**made, **reply.beside}
