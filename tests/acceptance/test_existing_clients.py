"""A client written for the original platform points at a hub and works."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import aiohttp
import pytest
import trustme
from tests.acceptance.existing_client import ExistingClient, Method, Response, java_methods, python_methods
from tests.acceptance.hub import DEVICES, PROPERTY, Hub

ORG = f"{PROPERTY}-owner"
BUILDING, ZONE = f"{PROPERTY}-b0", f"{PROPERTY}-z0"
MAP = Method("SCGrids", "scgrids", "scgrids", "scgrids.buildingZoneMap", '{"ESK":""}')
LEVELS = Method("SCGrids", "scgrids", "scgrids", "scgrids.listLevelsByBuilding")
CREATE_SEAT = "/hub/v1/seats"


@dataclass(frozen=True, slots=True)
class Site:
    """A hub behind TLS, a client for it, and the ids that its methods take."""

    client: ExistingClient
    ids: Mapping[str, str]

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
            secret_key=made_key["secret_key"],
        )
        yield Site(client, _ids(client))
    finally:
        hub.remove()


def _ids(client: ExistingClient) -> dict[str, str]:
    """What the methods are about, found as a client would."""
    where = {"org": ORG, "pid": BUILDING, "propid": PROPERTY}
    level = client.call(LEVELS, **where).json()["data"][0]["LID"]
    ids = {"building": BUILDING, "zone": ZONE, "slot": DEVICES[0], "level": level, "seat": "none", "incident": "none"}
    create = next(method for method in python_methods(ids) if "createIncidentWithoutAssignee" in method.operation)
    ids["incident"] = client.call(create, **where).json()["data"]["TaskId"]
    return ids


def test_the_smoke_test_of_the_description_passes(site: Site) -> None:
    answer = site.call(MAP)
    assert answer.status_code == 200
    assert [zone["InsID"] for zone in answer.json()["data"]] == [ZONE]
