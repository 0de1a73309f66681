"""Operations for partners: events of applications, solutions of a property, integrations of third parties.

Source: docs/contract/event-bus.md §8, docs/contract/metrics.md §4, §5
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import ANY, FLAG, NUMBER, SECONDS, TEXT, Shape, list_of, map_of, may, needs, of
from matrixhub.model.destination import Destination
from matrixhub.model.errors import Forbidden, MissingParameters
from matrixhub.model.ids import ApplicationId
from matrixhub.model.property_solution import SOLUTIONS
from matrixhub.model.subscription import Subscription
from matrixhub.modules import property_solutions as solutions
from matrixhub.modules.events import publish_events
from matrixhub.modules.property_solutions import solution_record
from matrixhub.store.subscriptions import list_subscriptions

_SOLUTION_ASKED = of(needs("solutionId", TEXT, ", ".join(SOLUTIONS), also=("SolutionId",)))
_SOLUTION = of(
    *(needs(name, TEXT) for name in ("SolutionId", "Name", "PropId", "Status", "RequestedBy", "DecidedBy")),
    *(needs(name, SECONDS) for name in ("RequestedOn", "DecidedOn")),
)


async def _publish_events(call: Call) -> Reply:
    done = await publish_events(call.platform, call.property_id, _speaker(call), call.body["Events"])
    rejected = [
        {"index": one.index, "code": one.error.wire_code, "message": one.error.message} for one in done.rejected
    ]
    accepted = len(done.accepted)
    return Reply(message=f"{accepted} accepted", data={"Accepted": accepted, "Rejected": rejected})


def _speaker(call: Call) -> ApplicationId:
    """In whose name the events are: that of the key, or what is named by a key of the property.

    Raises: MissingParameters if it is nobody's, Forbidden if it is not the caller's.
    """
    own, asked = call.identity.application_id, call.body.get("Application")
    if own is None and not asked:
        raise MissingParameters("Application: missing; the credentials are of no application")
    if own is not None and asked not in (None, "", own):
        raise Forbidden(f"the key is for events of {own}")
    return own or ApplicationId(str(asked))


async def _list_solutions(call: Call) -> Reply:
    found = await solutions.list_solutions(call.platform, call.property_id)
    return Reply(data=[solution_record(one) for one in found])


async def _get_solution(call: Call) -> Reply:
    return Reply(
        data=solution_record(await solutions.show_solution(call.platform, call.property_id, _solution(call.body)))
    )


async def _add_solution(call: Call) -> Reply:
    added = await solutions.add_solution(call.platform, call.property_id, _solution(call.body), actor=call.actor)
    return Reply(message="Solution added", data=solution_record(added))


async def _approve_solution(call: Call) -> Reply:
    decided = await solutions.decide_solution(
        call.platform, call.property_id, _solution(call.body), "APPROVED", actor=call.actor
    )
    return Reply(message="Solution approved", data=solution_record(decided))


async def _deny_solution(call: Call) -> Reply:
    decided = await solutions.decide_solution(
        call.platform, call.property_id, _solution(call.body), "DENIED", actor=call.actor
    )
    return Reply(message="Solution denied", data=solution_record(decided))


def _solution(body: Mapping[str, Any]) -> str:
    return str(body.get("solutionId") or body.get("SolutionId"))


async def _list_integrations(call: Call) -> Reply:
    found = [
        one.subscription for one in await list_subscriptions(call.parts.database, call.parts.codec, call.property_id)
    ]
    wanted = call.building
    return Reply(
        data=[
            integration_record(one, wanted)
            for one in found
            if not wanted or not one.filter.buildings or wanted in one.filter.buildings
        ]
    )


_TYPES = {"https": "HTTP", "azure_event_hub": "Azure EventHub", "aws_iot": "AWS IoT", "postgres": "PostgreSQL"}
_ENTITIES = {"sensors": ("Data", "data.aggregations.raw"), "events": ("Event", "#")}


def integration_record(subscription: Subscription, building: str = "") -> dict[str, Any]:
    """A subscription as an integration of a third party, without a single value that could be a secret."""
    wanted, destination = subscription.filter, subscription.destination
    entity, everything = _ENTITIES[wanted.source]
    return {
        "ID": subscription.id,
        "Name": subscription.name,
        "Status": subscription.state.upper(),
        "Type": _TYPES[destination.kind],
        "Principal": "screalsense" if wanted.source == "sensors" else "meb",
        "SCEntity": {"Entity": entity, "Actions": sorted(wanted.patterns) or [everything]},
        "PropId": subscription.property_id,
        "PID": building,
        "PIDs": sorted(wanted.buildings),
        "UID": "sysdefault",
        "NS": "THIRD_PARTY_INTEGRATIONS",
        "Details": {
            "URI": destination.url,
            "METHOD": "POST",
            "PayloadLocation": "body",
            "PayloadKey": "$default",
            "KeyMap": {},
            "ProceedKeyMapError": False,
            "ValueMap": [],
            "ProceedValueMapError": False,
            "Headers": [{"Key": header.name, "Value": ""} for header in destination.headers],
            "Authorization": _authorization(destination),
        },
    }


def _authorization(destination: Destination) -> dict[str, Any]:
    scheme = destination.auth.scheme
    return {"Type": scheme, "Key": "" if scheme == "none" else "Authorization", "Value": "", "Details": {}}


_INTEGRATION = of(
    *(needs(name, TEXT) for name in ("ID", "Name", "Status", "Type", "Principal", "PropId", "PID", "UID", "NS")),
    needs("PIDs", list_of(TEXT), "buildings it is limited to; none: all"),
    needs("SCEntity", of(needs("Entity", TEXT), needs("Actions", list_of(TEXT)))),
    needs(
        "Details",
        of(
            *(needs(name, TEXT) for name in ("URI", "METHOD", "PayloadLocation", "PayloadKey")),
            needs("KeyMap", map_of(ANY)),
            needs("ProceedKeyMapError", FLAG),
            needs("ValueMap", list_of(ANY)),
            needs("ProceedValueMapError", FLAG),
            needs("Headers", list_of(of(needs("Key", TEXT), needs("Value", TEXT, "always empty")))),
            needs(
                "Authorization",
                of(
                    needs("Type", TEXT),
                    needs("Key", TEXT),
                    needs("Value", TEXT, "always empty"),
                    needs("Details", map_of(ANY)),
                ),
            ),
        ),
    ),
)


def _of_solutions(name: str, summary: str, call: Any, response: Shape = _SOLUTION, *, asks: bool = True) -> Operation:
    return Operation(
        name=f"solution.{name}",
        service="scpartnerssolutions",
        summary=summary,
        call=call,
        request=_SOLUTION_ASKED if asks else of(),
        response=response,
        envelope="workforce",
        needs_property=True,
        certainty="name published",
        example={"solutionId": "bin"} if asks else {},
    )


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="meb.publishEvents",
        service="meb",
        summary="Publish events of an application; what is wrong with one rejects that one.",
        call=_publish_events,
        request=of(
            needs("Events", list_of(ANY), "each with Event, Priority, Description, Meta and, if wanted, Principal"),
            may("Application", TEXT, "whose events they are, where the key is not the application's own"),
        ),
        response=of(
            needs("Accepted", NUMBER),
            needs("Rejected", list_of(of(needs("index", NUMBER), needs("code", TEXT), needs("message", TEXT)))),
        ),
        envelope="workforce",
        certainty="ours",
        example={
            "Application": "lift-monitor",
            "Events": [{"Event": "LIFT_STUCK", "Priority": "HIGH", "Description": "Lift 2", "Meta": {"Lift": 2}}],
        },
    ),
    _of_solutions(
        "listAllSolutionsForProperty",
        "Every solution, and whether the property has it.",
        _list_solutions,
        list_of(_SOLUTION),
        asks=False,
    ),
    _of_solutions("getSolutionForProperty", "One solution, and whether the property has it.", _get_solution),
    _of_solutions("addSolutionToProperty", "Ask for a solution for the property.", _add_solution),
    _of_solutions("approveSolutionForProperty", "Approve a solution that was asked for.", _approve_solution),
    _of_solutions("denySolutionForProperty", "Deny a solution, or take an approval back.", _deny_solution),
    Operation(
        name="scthirdpartyintegrations.listIntegrations",
        service="sctpi",
        summary="Where readings and events of the property are sent; never with a secret.",
        call=_list_integrations,
        request=of(),
        response=list_of(_INTEGRATION),
        envelope="workforce",
        certainty="published",
        example={},
    ),
)
