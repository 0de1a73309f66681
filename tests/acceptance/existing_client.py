"""A client of the original platform, written from the published description of its SDKs and from nothing of ours.

It finds, signs, sends and reads as they do, their habits included: parameters in the query without encoding, `null`
where there is no body, an answer that counts only with the exact content type.

Source: contract/sdk.md §1.3 to §1.6, §2
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import ssl
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp

TIMEOUT_S = 10.0

Where = Literal["discovered", "fixed", "local"]


@dataclass(frozen=True, slots=True)
class Method:
    """A method of an SDK: the class it belongs to, where that sends to, and what it is signed as.

    `path` is the segment of the path, '' for the Java SDK in its local mode, which has none.
    """

    group: str
    path: str
    module: str
    operation: str
    body: str | None = None
    discovered: bool = True
    known: bool = True


@dataclass(frozen=True, slots=True)
class Response:
    """What the synchronous client gives back."""

    status_code: int
    headers: Message | Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class Discovery:
    """`moduleversions.json`, fetched without credentials each time a class is constructed."""

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S, context=context) as answer:
            assert answer.status == 200
            found = json.loads(answer.read())
        self.base: str = found["base"]
        self.versions = {name: module["version"] for name, module in found["modules"].items()}

    def url(self, service: str) -> str:
        """Where the operations of a service are."""
        return f"https://{self.base}/{service}/{self.versions[service]}/actions"


@dataclass(frozen=True, kw_only=True, slots=True)
class ExistingClient:
    """Calls methods as the SDKs do; `host` is what their environment names for services with a fixed address."""

    discovery_url: str
    host: str
    context: ssl.SSLContext
    access_key: str
    secret_key: str
    clock_off_s: int = 0

    def call(self, method: Method, *, org: str, pid: str, propid: str) -> Response:
        """The synchronous client: whatever comes is given back."""
        where = urlsplit(self._url(method, org, pid, propid))
        connection = http.client.HTTPSConnection(
            where.hostname or "", where.port, timeout=TIMEOUT_S, context=self.context
        )
        try:
            target = f"{where.path}?{where.query}"
            connection.request("POST", target, _body(method), self._headers(method, propid))
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read().decode())
        finally:
            connection.close()

    async def call_async(
        self, session: aiohttp.ClientSession, method: Method, *, org: str, pid: str, propid: str
    ) -> Response | dict[str, Any]:
        """The asynchronous client: on an error a dictionary, whose error is JSON only with the exact content type."""
        async with session.post(
            self._url(method, org, pid, propid),
            data=_body(method),
            headers=self._headers(method, propid),
            ssl=self.context,
            allow_redirects=False,
        ) as answer:
            text = await answer.text()
            if 200 <= answer.status < 300:
                return Response(answer.status, answer.headers, text)
            if answer.headers.get("Content-Type") == "application/json":
                return {"code": "failure", "error": json.loads(text)}
            return {"code": "failure", "error": text or f"HTTP {answer.status}: {answer.reason}"}

    def _url(self, method: Method, org: str, pid: str, propid: str) -> str:
        query = f"op={method.operation}&org={org}&pid={pid}&propid={propid}"
        if not method.path:
            return f"https://{self.host}/v1/actions?{query}"
        if method.discovered:
            return f"{Discovery(self.discovery_url, self.context).url(method.path)}?{query}"
        return f"https://{self.host}/api/{method.path}/v1/actions?{query}"

    def _headers(self, method: Method, propid: str) -> dict[str, str]:
        seconds = int(time.time()) + self.clock_off_s
        text = f"{method.module}/{propid}/{method.operation}/{self.access_key}/{seconds}"
        signature = hmac.new(self.secret_key.encode(), text.encode(), hashlib.sha256).hexdigest()
        return {
            "content-type": "application/json",
            "Accept": "application/json",
            "x-sc-identity": "external",
            "x-sc-time": str(seconds),
            "Authorization": f"SCHMAC_V1;{self.access_key};{signature}",
        }


def _body(method: Method) -> bytes:
    return b"null" if method.body is None else method.body.encode()


def python_methods(ids: Mapping[str, str]) -> list[Method]:
    """Every method of the Python SDK; `ids` names the things of the property. Source: contract/sdk.md §1.5"""
    now = int(time.time())
    of_day = {"StartTime": now - 3600, "EndTime": now + 3600}
    incident = {
        "Name": "Tap drips",
        "Priority": "L",
        "By": "Guard desk",
        "Zone": ids["zone"],
        "Tasks": [{"Name": "Close valve"}],
    }
    raw = {
        "id": "device_slot_raw_data",
        "qcontext": "scglobal",
        "qtype": "raw",
        "params": [
            {"key": "$start", "value": str(now - 3600)},
            {"key": "$end", "value": str(now)},
            {"key": "$devid", "value": ids["slot"]},
        ],
    }
    series = {
        "Principal": ids["building"],
        "NS": "VCS_WO_DAILY_COUNT_BY_TYPE",
        "Start": str(now - 86400),
        "End": str(now),
    }

    def of(
        group: str, path: str, *names: tuple[str, Any], module: str = "", prefix: str = "", **how: Any
    ) -> list[Method]:
        return [
            Method(
                group,
                path,
                module or path,
                f"{prefix or path}.{name}",
                None if body is None else json.dumps(body),
                **how,
            )
            for name, body in names
        ]

    return [
        *of(
            "SCGrids",
            "scgrids",
            ("listProperties", None),
            ("readProperty", None),
            ("readBuilding", None),
            ("listLevelsByBuilding", None),
            ("listBuildingMetrics", None),
            ("listBuildingsByProperty", None),
            ("buildingZoneMap", {"ESK": ""}),
            ("listZonesByLevel", {"LID": ids["level"]}),
            ("readZone", {"InsID": ids["zone"]}),
        ),
        *of(
            "SCDeviceManagement",
            "scdevicemanagement",
            ("realSenseMigrated", None),
            ("getDeviceSlots", {"Alias": [ids["slot"]]}),
        ),
        *of(
            "SCMetrics",
            "scmetrics",
            ("getModuleMetrics", {"Principal": ids["building"], "NS": "BUILDING_METRICS"}),
            ("getModuleTSMetrics", series),
            ("executeNamedQuery", raw),
        ),
        *of(
            "SCWorkforcemanagement",
            "scworkforcemanagement",
            ("createIncidentWithoutAssignee", {"Incident": incident}),
            ("getTaskGroupInTRangeForID", of_day),
            ("getShiftLatenessMetricsForBuilding", of_day),
            ("findAvailabilityForIncident-v2", {"EndTime": now + 3600, "ZoneID": [ids["zone"]]}),
            (
                "assignIncident",
                {"SeatId": ids["seat"], "ShiftID": ids["seat"], "zoneId": ids["zone"], "IncidentID": ids["incident"]},
            ),
            ("getIncidentsSettings", None),
            # The body of this one is encoded twice by a branch of the SDK.
            ("getLastNTasks", json.dumps({**of_day, "Limit": 10, "TasksFor": "ZONE", "zoneId": ids["zone"]})),
            prefix="scteams",
        ),
        *of("SCPropTeams", "scteamsprop", ("getMemberGroup", None), prefix="scpropteams", discovered=False),
        *of(
            "SCPartnersSolutions",
            "scpartnerssolutions",
            ("listAllSolutionsForProperty", None),
            module="SCPartnersSolutions",
            prefix="solution",
            discovered=False,
        ),
        *of(
            "SCTasks",
            "scbi",
            ("taskOperationsStarted", {}),
            ("taskOperationsSuccess", {}),
            module="SCTasks",
            prefix="sctasks",
            discovered=False,
            known=False,
        ),
        *of("SCDatetimeutils", "datetime", ("getDateTimeForFrequency", {}), prefix="scdatetimeutils", known=False),
        *of(
            "SCReports",
            "screports",
            ("getDataForAttendanceKPIs", {}),
            module="SCReports",
            discovered=False,
            known=False,
        ),
        *of("SCDashboard", "widgets", ("getWidgetImage", {}), prefix="scdashboard", known=False),
        *of("SCBi", "scbi", ("kpiJobStarted", {}), ("pdfReportGenerationSuccess", {}), known=False),
        *of("SCSMSGateway", "smsgateway", ("publishSMS", {}), module="SMSGateway", discovered=False, known=False),
    ]


def java_methods(ids: Mapping[str, str]) -> list[Method]:
    """Methods of the Java SDK in its local mode, whose path has no service. Source: contract/sdk.md §2"""
    now = int(time.time())
    of_day = {"StartTime": now - 3600, "EndTime": now + 3600}
    bodies: list[tuple[str, str, Any]] = [
        ("scgrids", "scgrids.readLevel", {"LID": ids["level"]}),
        ("scgrids", "scgrids.listPropertyMetrics", None),
        ("scgrids", "scgrids.listPropertyTypes", None),
        ("scgrids", "scgrids.listZoneCategories", {"PropertyTypeID": "OFFICE"}),
        ("scgrids", "scgrids.updateZone", {"InsID": ids["zone"], "Area": 40}),
        ("scgrids", "scgrids.updateLevel", {"LID": ids["level"], "Area": 400}),
        ("scgrids", "scgrids.updateBuilding", {"Status": "Active"}),
        ("scdevicemanagement", "scdevicemanagement.listDevicesByProviderType", {"deviceProviderType": "SMARTCLEAN#UM"}),
        ("scdevicemanagement", "scdevicemanagement.listDevicesForProjectV2", None),
        ("scworkforcemanagement", "scteams.getAvailabilityByProperty", None),
        ("scworkforcemanagement", "scteams.getTasksForIDPaginated", {**of_day, "Type": "INCIDENT"}),
        ("scworkforcemanagement", "scteams.getPaginatedListOfUnAssignedIncidents", of_day),
        ("scworkforcemanagement", "scteams.getShiftsForProjectInTRange", of_day),
        ("scworkforcemanagement", "scteams.getTaskGroupInTRangeForSeatID", {**of_day, "SeatId": ids["seat"]}),
        ("scworkforcemanagement", "scteams.getUnassignedIncidentsForZone", {**of_day, "zoneId": ids["zone"]}),
        ("scworkforcemanagement", "scteams.getUnAssignedIncidentsInTRangeForGivenID", of_day),
        ("scteamsprop", "scpropteams.getUserDetailsForSeatId", {"SeatId": ids["seat"], "WithProfile": True}),
        ("scteamsprop", "scteamsprop.getUserDetailsForSeatId", {"SeatId": ids["seat"], "WithProfile": False}),
    ]
    return [
        Method("Java", "", module, operation, None if body is None else json.dumps(body))
        for module, operation, body in bodies
    ]
