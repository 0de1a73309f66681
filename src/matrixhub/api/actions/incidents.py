"""Operations on incidents.

Source: docs/contract/incidents.md §1, §4
"""

from __future__ import annotations

from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import ANY, FLAG, SECONDS, TEXT, list_of, may, needs, of
from matrixhub.modules.workforce import incidents
from matrixhub.modules.workforce.drafts import parse_incident
from matrixhub.modules.workforce.records import incident_record

SERVICE = "scworkforcemanagement"

_TASK = of(needs("Name"), may("Comments"), may("Attachments", list_of(TEXT)))
_INCIDENT_DRAFT = of(
    needs("Name"),
    needs("Zone"),
    needs("By", note="who or what raised it"),
    needs("Tasks", list_of(_TASK)),
    may("Priority", note="H, M, N (without one) or L"),
    may("Start", SECONDS),
    may("End", SECONDS),
    may("ZoneName"),
    may("ZoneCatId"),
    may("EventSource"),
    may("Subject"),
    may("AutoAssigned", FLAG),
)


async def _create_incident_without_assignee(call: Call) -> Reply:
    draft = parse_incident(call.body["Incident"])
    made = await incidents.create_incident(call.platform, call.property_id, call.building_id, draft, actor=call.actor)
    return Reply(message="Incident created", data=incident_record(made))


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="scteams.createIncidentWithoutAssignee",
        service=SERVICE,
        summary="Report an incident in a zone; it is open, or assigned at once where AutoAssigned asks for it.",
        call=_create_incident_without_assignee,
        request=of(needs("Incident", _INCIDENT_DRAFT)),
        response=ANY,
        envelope="workforce",
        needs_building=True,
        needs_property=True,
        example={
            "Incident": {
                "Name": "Tap drips",
                "Zone": "{zone}",
                "By": "Guard desk",
                "Priority": "L",
                "Tasks": [{"Name": "Close valve"}],
            }
        },
    ),
)
