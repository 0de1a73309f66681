"""Operations of attendance: integrations that tell who comes and goes.

Source: docs/contract/workforce.md §6
"""

from __future__ import annotations

from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import SECONDS, TEXT, map_of, may, needs, of
from matrixhub.api.actions.workforce_shapes import texts_of_record
from matrixhub.model.attendance import IntegrationId, integration_record
from matrixhub.modules.workforce import integrations
from matrixhub.modules.workforce import shift_inputs as inputs

SERVICE = "attendance"


async def _read_integration(call: Call) -> Reply:
    integration_id = IntegrationId(inputs.text(call.body, "IntegrationId"))
    found, organisation = await integrations.read_integration(call.platform, call.property_id, integration_id)
    return Reply(data=integration_record(found, organisation))


async def _attendance_event(call: Call) -> Reply:
    told = await integrations.tell_attendance(
        call.platform,
        call.property_id,
        IntegrationId(inputs.text(call.body, "IntegrationId")),
        inputs.text(call.body, "Event"),
        inputs.text(call.body, "ID"),
        at=inputs.instant(call.body, "Time"),
    )
    given = {name: call.body[name] for name in ("IntegrationId", "Event", "Time", "ID") if name in call.body}
    return Reply(data={"input": given, "output": integrations.told_record(told), "status": "OK"})


_EVENT = (
    needs("IntegrationId"),
    needs("Event", note="CLOCK_IN or CLOCK_OUT"),
    may("Time", SECONDS, "when; without it now"),
    needs("ID", note="of the person, as the source has it"),
)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="scattendance.readIntegration",
        service=SERVICE,
        summary="An integration, with the seat of each of its people.",
        call=_read_integration,
        request=of(needs("IntegrationId")),
        response=of(
            *texts_of_record("Org", "IntegrationId", "DefaultPID", "ID"),
            needs("UserMap", map_of(TEXT, "id of a person in the source: id of a seat")),
            needs("Description"),
            needs("Updated", SECONDS),
            needs("Created", SECONDS),
        ),
        envelope="plain",
        example={"IntegrationId": "{integration}"},
    ),
    Operation(
        name="scattendance.attendanceEvent",
        service=SERVICE,
        summary="Tell that somebody has come or gone; that starts or ends the shift of the seat.",
        call=_attendance_event,
        request=of(*_EVENT),
        response=of(
            needs("input", of(*_EVENT)),
            needs(
                "output",
                of(
                    *texts_of_record("ID", "Event", "IntegrationId", "PropId", "Org", "PID"),
                    needs("Time", SECONDS),
                    *texts_of_record("SourceSeatId", "MatrixSeatId"),
                ),
            ),
            needs("status"),
        ),
        envelope="plain",
        example={"IntegrationId": "{integration}", "Event": "CLOCK_IN", "ID": "badge 17"},
    ),
)
