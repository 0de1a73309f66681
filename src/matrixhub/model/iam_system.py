"""The roles that every property has, by name; they are code, so nobody can change them.


Each allows what those who have it do, and no more. The names without `matrixhub#` are published; what they allow is
ours.

Source: docs/contract/web-services.md §3.4
"""

from __future__ import annotations

from collections.abc import Mapping

from matrixhub.model.access import OPERATOR, PROPERTY_ADMINS, PUBLISHERS, SENDERS, RoleId
from matrixhub.model.iam import PolicySet, Role, RoleDocument, Statement

READ_PLACES = ("scgrids.list*", "scgrids.read*", "scgrids.get*", "scgrids.buildingZoneMap")

READ_WORK = (
    *("scteams.get*", "scteams.list*", "scteams.find*", "scteams.tasksInTRangeByZoneId", "scteams.shiftStatus"),
    *("scpropteams.get*", "scattendance.readIntegration", "sctasks.list*"),
    *("hub.listTaskGroups", "hub.listCustomTasks", "hub.listAudits", "hub.showAudit"),
)

READ_ALL = (
    *READ_PLACES,
    *READ_WORK,
    *("scdevicemanagement.get*", "scdevicemanagement.list*", "scdevicemanagement.realSenseMigrated", "scmetrics.*"),
    *("solution.get*", "solution.list*"),
    *("hub.listSubscriptions", "hub.showSubscription", "hub.showSubscriptionBalance", "hub.showBalance"),
    *("hub.listAttempts", "hub.showAttempt", "hub.listParked", "hub.showParked", "hub.listReplays", "hub.showReplay"),
    *("hub.listEvents", "hub.listApplications", "hub.showApplication", "scthirdpartyintegrations.listIntegrations"),
)
"""What shows something of the property, but not who may do what."""

MEDIA = ("scgrids.uploadMediaAttachment", "scgrids.getMediaAttachment", "scgrids.getThumbnails")

CLEAN = (
    *("scgrids.readZone", "scgrids.readBuilding", "scgrids.buildingZoneMap", "scgrids.listZones*"),
    *("scgrids.listLevelsByBuilding", *MEDIA),
    *("scteams.taskStart", "scteams.taskEnd", "scteams.pauseTaskGroup", "scteams.getTaskDetailsById"),
    *("scteams.startAdhocTask", "scteams.endAdhocTask", "scteams.updateAttachments", "scteams.getLastNTasks"),
    *("scteams.createIncidentWithoutAssignee", "scteams.startUnassignedIncident", "scteams.endUnassignedIncident"),
    *("scteams.getUnassignedIncidentByID", "scteams.getTasksForUnassignedIncident", "scteams.getIncidentTimeline"),
    *("scteams.updateUnassignedIncidentAttachments", "scteams.listIncidentComments", "scteams.updateIncidentComment"),
    *("scteams.shiftStart", "scteams.shiftEnd", "scteams.startBreak", "scteams.endBreak", "scteams.shiftStatus"),
    *("scteams.getCurrentShiftForSeat", "scteams.getNextShifts", "scteams.getShiftDetailsByID"),
    *("scteams.getTasksForShiftById", "scteams.getTaskGroupInTRangeForSeatID", "scteams.tasksInTRangeByZoneId"),
    *("scteams.requestTimeSheet", "scteams.requestRegularization", "scteams.getTimeSheetForSeatIdInTRange*"),
    *("scteams.getAvailabilityBySeatId", "scteams.getAvailabilityZones"),
    *("scteams.getSettings", "scteams.getIncidentsSettings"),
)
"""What an attendant's application does: the own shift, the own work, and reporting what is wrong."""

MANAGE_WORK = (
    *("scteams.createIncident*", "scteams.assignIncident", "scteams.startUnassignedIncident"),
    *("scteams.endUnassignedIncident", "scteams.escalate*", "scteams.updateIncidentComment"),
    *("scteams.updateUnassignedIncidentAttachments", "scteams.updateAttachments", "scteams.admin*"),
    *("scteams.addTaskgroupToShift", "scteams.removeTaskgroupFromShift", "scteams.task*", "scteams.pauseTaskGroup"),
    *("scteams.startAdhocTask", "scteams.endAdhocTask", "scteams.createShift", "scteams.createAdhocShift"),
    *("scteams.updateShift", "scteams.copyShift", "scteams.publishShifts*", "scteams.deleteShift"),
    *("scteams.bulkDeleteShift", "scteams.mark*", "scteams.shiftStart*", "scteams.shiftEnd*"),
    *("scteams.startBreak", "scteams.endBreak", "scteams.*TimeSheet*", "scteams.requestRegularization"),
    *("scteams.approve*", "scteams.rejectTimesheet", "hub.startAudit", "hub.completeAudit"),
)
"""What runs the work of the day: incidents, tasks, shifts and timesheets, but not their settings."""

VIEW_ACCESS = (
    *("hub.listRoles", "hub.showRole", "hub.listRoleChanges", "hub.listUserGroups", "hub.showUserGroup"),
    *("hub.explainAccess", "hub.listKeys", "hub.showKey"),
    *("hub.listIdentityApplications", "hub.showIdentityApplication"),
)


ARRANGE_WORK = (
    *("scteams.*", "scpropteams.*", "scattendance.*", "sctasks.*", "hub.createSeat", "hub.changeSeat"),
    *("hub.addTaskGroup", "hub.removeTaskGroup", "hub.removeCustomTask", "hub.*AttendanceIntegration"),
)
"""What decides how the workforce works: seats, shifts, task groups, escalation, settings."""


def _role(name: str, description: str, *allowed: str) -> Role:
    policy_set = PolicySet(name="system", statements=(Statement(effect="allow", operations=allowed),))
    return Role(document=RoleDocument(name=name, description=description, policy_sets=(policy_set,)))


_ROLES = (
    _role(OPERATOR, "The hub's own key: everything, of every property.", "*"),
    _role(PROPERTY_ADMINS, "Everything within the property.", "*"),
    _role(
        "SMARTCLEAN#QRFeedbackUsers",
        "Visitors who report something by a code on the wall.",
        *("scteams.createIncidentWithoutAssignee", "scgrids.readZone", "scgrids.uploadMediaAttachment"),
    ),
    _role("SMARTCLEAN#IAMViewOnly", "Those who look at who may do what.", *VIEW_ACCESS),
    _role("SMARTCLEAN#HOUSEKEEPING", "Those who clean: their shifts and their work.", *CLEAN),
    _role("SMARTCLEAN#FM", "Facility managers: see all, and run the work of the day.", *READ_ALL, *MANAGE_WORK, *MEDIA),
    _role("PropertyViewer", "Sees all of the property but who may do what.", *READ_ALL),
    _role("GridsViewer", "Sees the places.", *READ_PLACES),
    _role(
        "WorkforceAdministrator",
        "Everything about the workforce and its settings, and sees the places.",
        *(*ARRANGE_WORK, *READ_WORK, *MANAGE_WORK, *READ_PLACES, *MEDIA),
    ),
    _role(SENDERS, "Keys that send readings.", "hub.sendReadings"),
    _role(PUBLISHERS, "Keys that publish the events of an application.", "meb.publishEvents", "hub.publishEvents"),
)

SYSTEM_ROLES: Mapping[RoleId, Role] = {role.id: role for role in _ROLES}
"""The roles by their ids, which are their names."""

OF_THE_HUB = frozenset({OPERATOR})
"""Roles that nobody can be given: they are for the hub's own key."""
