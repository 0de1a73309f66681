"""Ask a hub as clients of Matrix Web Services do: zone map, slots, past data, a new incident. Standard library only.

    matrixhub key create --property PROPERTY --access        # prints the access key and its secret, once
    export HUB=http://127.0.0.1:8080 PROPERTY=… BUILDING=… ACCESS_KEY=… SECRET_KEY=…
    python examples/ask_matrix.py

Every request is signed with SCHMAC_V1 (docs/contract/web-services.md §3.1). A client that signs so for the original
platform does the same here; only the address is another one.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import sys
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode

DAY_S = 86_400


def ask(service: str, operation: str, body: object = None) -> dict[str, Any]:
    """The answer of an operation on the building. Raises: SystemExit with what the hub says of a refusal."""
    seconds = str(int(time.time()))
    signed = f"{service}/{os.environ['PROPERTY']}/{operation}/{os.environ['ACCESS_KEY']}/{seconds}"
    signature = hmac.new(os.environ["SECRET_KEY"].encode(), signed.encode(), hashlib.sha256).hexdigest()
    query = {
        "op": operation,
        "org": os.environ.get("ORGANISATION", "scnoop"),
        "pid": os.environ["BUILDING"],
        "propid": os.environ["PROPERTY"],
    }
    request = urllib.request.Request(
        f"{os.environ['HUB']}/prod/v2/{service}/v1/actions?{urlencode(query)}",
        data=json.dumps(body).encode(),
        headers={
            "Content-Type": "application/json",
            "x-sc-time": seconds,
            "Authorization": f"SCHMAC_V1;{os.environ['ACCESS_KEY']};{signature}",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        sys.exit(f"{operation}: {error.code} {error.read().decode()}")


def main() -> None:
    """The four uses, one after the other."""
    zones = ask("scgrids", "scgrids.buildingZoneMap", {"ESK": ""})["data"]
    print(f"{len(zones)} zones, the first is {zones[0]['Name']}")

    slots = ask("scdevicemanagement", "scdevicemanagement.getDeviceSlots", {"ProviderOrg": "SMARTCLEAN"})["Slots"]
    print(f"{len(slots)} device slots, the first is {slots[0]['Display']}, a {slots[0]['Type']}")

    now = int(time.time())
    raw = {"$start": str(now - DAY_S), "$end": str(now), "$devid": slots[0]["Alias"]}
    readings = ask(
        "scmetrics",
        "scmetrics.executeNamedQuery",
        {
            "id": "device_slot_raw_data",
            "qcontext": "scglobal",
            "qtype": "raw",
            "params": [{"key": key, "value": value} for key, value in raw.items()],
        },
    )["data"]
    print(f"{len(readings)} readings of it in the last day")

    incident = ask(
        "scworkforcemanagement",
        "scteams.createIncidentWithoutAssignee",
        {
            "Incident": {
                "Name": "Tap drips",
                "Zone": zones[0]["InsID"],
                "By": "Guard desk",
                "Priority": "L",
                "Tasks": [{"Name": "Close valve"}],
            }
        },
    )["data"]
    print(f"incident {incident['TaskId']} in {incident['ZoneName']} is {incident['Status']}")


if __name__ == "__main__":
    main()
