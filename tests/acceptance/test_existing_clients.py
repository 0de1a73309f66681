"""A client written for the original platform points at a hub and works."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import trustme
from tests.acceptance.existing_client import ExistingClient, Method, Response, java_methods, python_methods
from tests.acceptance.hub import DEVICES, PROPERTY, Hub

EXAMPLE = Path(__file__).parents[2] / "examples" / "ask_matrix.py"
ORG = f"{PROPERTY}-owner"
BUILDING, ZONE = f"{PROPERTY}-b0", f"{PROPERTY}-z0"
MAP = Method("SCGrids", "scgrids", "scgrids", "scgrids.buildingZoneMap", '{"ESK":""}')
LEVELS = Method("SCGrids", "scgrids", "scgrids", "scgrids.listLevelsByBuilding")


@dataclass(frozen=True, slots=True)
class Site:
    """A hub behind TLS, a client for it, and the ids that its methods take."""

    client: ExistingClient
    ids: Mapping[str, str]
    hub: Hub

    def call(self, method: Method, **changes: str) -> Response:
        where = {"org": ORG, "pid": BUILDING, "propid": PROPERTY, **changes}
        return self.client.call(method, **where)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    authority = trustme.CA()
    made = authority.issue_cert("localhost")
    hub = Hub()
    try:
        certificate = hub.write("hub.pem", b"".join(blob.bytes() for blob in made.cert_chain_pems).decode())
        key = hub.write("hub.key", made.private_key_pem.bytes().decode())
        hub.settings |= {
            "MATRIXHUB_HTTP__TLS_LISTEN": "127.0.0.1:0",
            "MATRIXHUB_HTTP__TLS_CERTIFICATE": str(certificate),
            "MATRIXHUB_HTTP__TLS_KEY": str(key),
        }
        hub.start()
        hub.prepare()
        host = f"localhost:{urlsplit(hub.program.wait_told()['tls_url']).port}"
        made_key = hub.ask("key", "create", "--property", PROPERTY, "--access")
        client = ExistingClient(
            discovery_url=f"https://{host}/matrix/utils/modules/moduleversions.json",
            host=host,
            context=ssl.create_default_context(cadata=authority.cert_pem.bytes().decode()),
            access_key=made_key["access_key"],
            secret_key=made_key["secret"],
        )
        yield Site(client, _ids(client), hub)
    finally:
        hub.remove()


def _ids(client: ExistingClient) -> dict[str, str]:
    """What the methods are about, found as a client would."""
    where = {"org": ORG, "pid": BUILDING, "propid": PROPERTY}
    level = client.call(LEVELS, **where).json()["data"][0]["LID"]
    ids = {
        "building": BUILDING,
        "zone": ZONE,
        "slot": DEVICES[0],
        "level": level,
        "seat": _seat(client),
        "incident": "made below",
    }
    create = next(method for method in python_methods(ids) if "createIncidentWithoutAssignee" in method.operation)
    ids["incident"] = client.call(create, **where).json()["data"]["TaskId"]
    return ids


def _seat(client: ExistingClient) -> str:
    """A seat, which existing clients know but do not make; the same pair is taken by the REST face as Basic."""
    pair = base64.b64encode(f"{client.access_key}:{client.secret_key}".encode()).decode()
    request = urllib.request.Request(
        f"https://{client.host}/hub/v1/seats",
        data=b'{"name": "Ann Lee"}',
        headers={"Authorization": f"Basic {pair}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, context=client.context, timeout=10) as answer:
        return str(json.load(answer)["id"])


def methods(site: Site) -> list[Method]:
    return [*python_methods(site.ids), *java_methods(site.ids)]


def error_of(answer: Response | dict[str, Any]) -> dict[str, Any]:
    """What the asynchronous client makes of a refusal: it has read the JSON."""
    assert isinstance(answer, dict), answer
    assert answer["code"] == "failure"
    assert isinstance(answer["error"], dict), answer["error"]
    assert answer["error"]["message"]
    return answer["error"]


def test_the_smoke_test_of_the_description_passes(site: Site) -> None:
    answer = site.call(MAP)
    assert answer.status_code == 200
    assert [zone["InsID"] for zone in answer.json()["data"]] == [ZONE]


def test_every_method_of_the_synchronous_client_gets_an_answer(site: Site) -> None:
    for method in methods(site):
        answer = site.call(method)
        assert answer.headers["Content-Type"] == "application/json", method
        assert answer.status_code in ((200, 201, 202) if method.known else (404,)), (method, answer.text)
        if not method.known:
            assert answer.json()["code"] == "UNKNOWN_OPERATION"


async def test_every_method_of_the_asynchronous_client_gets_an_answer(site: Site) -> None:
    async with aiohttp.ClientSession() as session:
        for method in methods(site):
            answer = await site.client.call_async(session, method, org=ORG, pid=BUILDING, propid=PROPERTY)
            if method.operation == "scteams.assignIncident":  # the synchronous client has done it before
                assert error_of(answer)["code"] == "WRONG_PARAMETERS"
            elif method.known:
                assert isinstance(answer, Response), (method, answer)
                assert answer.text
            else:
                assert error_of(answer)["code"] == "UNKNOWN_OPERATION"


async def test_a_wrong_secret_is_401_and_an_error_with_a_code(site: Site) -> None:
    wrong = replace(site.client, secret_key="wrong")
    assert wrong.call(MAP, org=ORG, pid=BUILDING, propid=PROPERTY).status_code == 401
    async with aiohttp.ClientSession() as session:
        answer = await wrong.call_async(session, MAP, org=ORG, pid=BUILDING, propid=PROPERTY)
    assert error_of(answer)["code"] == "TOKEN_INVALID"


@pytest.mark.parametrize("off_s, status", [(-290, 200), (290, 200), (-320, 401), (320, 401)])
def test_a_clock_may_be_five_minutes_off(site: Site, off_s: int, status: int) -> None:
    off = replace(site.client, clock_off_s=off_s)
    assert off.call(MAP, org=ORG, pid=BUILDING, propid=PROPERTY).status_code == status


def test_habits_of_the_clients_do_no_harm(site: Site) -> None:
    assert site.call(MAP, org="SMARTCLEAN").status_code == 200
    assert site.call(LEVELS, pid="scnoop").status_code == 400
    assert site.call(MAP, propid="another").status_code == 401
    wrong_path = replace(MAP, path="scbi", discovered=False)
    assert site.call(wrong_path).status_code == 401, "signed as another service"
    assert site.call(replace(wrong_path, module="SCTasks")).status_code == 200, "the operation says what is meant"


def test_an_incident_that_a_client_creates_is_in_the_log_of_events(site: Site) -> None:
    now = int(time.time())
    body = {"Principal": BUILDING, "Module": "scworkforcemanagement", "Start": str(now - 3600), "End": str(now + 60)}
    log = Method("SCMetrics", "scmetrics", "scmetrics", "scmetrics.getEventLogs", json.dumps(body))
    events = site.call(log).json()["series"]["values"]
    assert "INCIDENT_CREATED_OPEN" in {event["Event"] for event in events}


def test_the_example_asks_for_all_it_says(site: Site) -> None:
    env = {
        "HUB": site.hub.url,
        "PROPERTY": PROPERTY,
        "BUILDING": BUILDING,
        "ACCESS_KEY": site.client.access_key,
        "SECRET_KEY": site.client.secret_key,
    }
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    zones, slots, readings, incident = done.stdout.splitlines()
    assert zones.startswith("1 zones")
    assert slots.startswith(f"{len(DEVICES) // 2} device slots")
    assert readings.endswith("readings of it in the last day")
    assert incident.endswith("NOT_ASSIGNED")
    wrong = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        env={**env, "SECRET_KEY": "wrong"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert wrong.returncode != 0
    assert "TOKEN_INVALID" in wrong.stderr
