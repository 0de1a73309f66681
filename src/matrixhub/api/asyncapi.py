"""The AsyncAPI document of what the hub pushes: readings and events, as they arrive at a customer's web service.

Source: docs/contract/data-push.md §1, docs/contract/sensor-data.md §1, docs/contract/event-bus.md §3, §7
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from matrixhub import __version__
from matrixhub.model.devices import DEVICE_TYPES, Attribute, DeviceType
from matrixhub.model.event import CATALOGUE, ENVELOPE_FIELDS, PRIORITIES

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_SECONDS: Schema = {"type": "integer", "description": "epoch seconds"}

READING_FIELDS: dict[str, Schema] = {
    "t": {"type": "string", "pattern": r"^\d{14}$", "description": "local wall time in `Region`, YYYYMMDDHHmmss"},
    "v": {"type": "object", "description": "the reading, by device type"},
    "unixT": {"type": "integer", "description": "the instant, epoch milliseconds"},
    "DEVID": {"type": "string", "description": "the device slot"},
    "Region": {"type": "string", "description": "time zone of the building, an IANA name"},
    "time": {"type": "string", "description": "the same instant as `t`, YYYY-MM-DDTHH:mm:ss±hhmm"},
    "DevType": {"type": "string", "description": "slot type, `<provider>#<type>`"},
    "PID": {"type": "string", "description": "the building"},
    "PropId": {"type": "string", "description": "the property"},
    "InsID": {"type": "string", "description": "the zone"},
    "Display": {"type": "string", "description": "name of the slot"},
    "dow": {"type": "string", "pattern": "^[0-6]$", "description": "local day of the week, Sunday is 0"},
    **{name: {"type": "string", "pattern": r"^\d{2}$"} for name in ("month", "hour", "dom", "minute")},
    "DASSOC": {"type": "string", "description": "the device in the slot"},
    "DevSubType": _TEXT,
    "utc": _SECONDS,
    "unix": _SECONDS,
    "expire_at": _SECONDS,
    "Type": _TEXT,
}
"""What every reading has."""

SOME_READING_FIELDS: dict[str, Schema] = {
    "AGG": {"type": "string", "description": "as `t`; UM, FD and AQ Lite"},
    "ID": {"type": "string", "description": "as `DEVID`; UM, FD and AQ Lite"},
    "stats": {"type": "object", "description": "tags added by analytics, where the device sent them"},
}
"""What some readings have."""

_EVENT_FIELDS: dict[str, Schema] = {
    "ID": {"type": "string", "description": "the building"},
    "ATTR": {"type": "string", "description": "by which a repeat is known"},
    "Description": _TEXT,
    "Event": {"type": "string", "description": f"one of {', '.join(CATALOGUE)}, or that of an application"},
    "Principal": _TEXT,
    "PType": {"enum": ["building", "property"]},
    "Entity": {"type": "string", "description": "the property"},
    "EType": {"enum": ["building", "property"]},
    "RoutingKey": {"type": "string", "description": "matrix.<principal>.<module>.<event>.<priority>"},
    "RoutingKeyS": {"type": "array", "items": _TEXT, "minItems": 5, "maxItems": 5},
    "Status": {"enum": list(PRIORITIES)},
    "Time": {"type": "string", "description": "<module>#<epoch seconds>"},
    "UnixTime": {"type": "string", "description": "epoch seconds"},
    "UnixTimeInt": _SECONDS,
    "Module": _TEXT,
    "Meta": {"type": "object", "description": "the record it is about, by event"},
}

_HEADERS: Schema = {
    "type": "object",
    "properties": {
        "X-Request-Id": {"type": "string", "description": "the same in every attempt of a push"},
        "webhook-id": {"type": "string", "description": "of Standard Webhooks, where the subscription signs"},
        "webhook-timestamp": {"type": "string"},
        "webhook-signature": {"type": "string"},
    },
}


@cache
def asyncapi_text() -> str:
    """The document as it is committed and served."""
    return json.dumps(asyncapi_document(), indent=2, ensure_ascii=False) + "\n"


def asyncapi_document() -> Schema:
    """The document, AsyncAPI 3.0."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Matrix Hub: pushes",
            "version": __version__,
            "description": (
                "What arrives at the web service of a customer: HTTPS POST, in order, in batches, again until it was "
                "taken with a 2xx. Readings and events are subscribed to separately."
            ),
        },
        "defaultContentType": "application/json",
        "channels": {
            "readings": _channel("readings", "Readings of the sensors of a property"),
            "events": _channel("events", "Events of the zones, tasks, incidents, shifts and audits of a property"),
        },
        "operations": {
            name: {
                "action": "send",
                "channel": {"$ref": f"#/channels/{name}"},
                "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
                "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
            }
            for name in ("readings", "events")
        },
        "components": {
            "messages": {
                "readings": _message("Readings", "A JSON array of texts, each the JSON of one reading.", "Readings"),
                "events": _message("Events", "A JSON array of events.", "Events"),
            },
            "schemas": _schemas(),
        },
    }


def _channel(name: str, title: str) -> Schema:
    return {
        "address": None,
        "title": title,
        "description": "The URL of the subscription.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
    }


def _message(title: str, summary: str, schema: str) -> Schema:
    return {
        "title": title,
        "summary": summary,
        "contentType": "application/json; charset=utf-8",
        "headers": _HEADERS,
        "payload": {"$ref": f"#/components/schemas/{schema}"},
    }


def _schemas() -> Schema:
    reading = {"$ref": "#/components/schemas/Reading"}
    return {
        "Readings": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "contentMediaType": "application/json", "contentSchema": reading},
        },
        "Reading": {
            "type": "object",
            "required": list(READING_FIELDS),
            "properties": {**READING_FIELDS, **SOME_READING_FIELDS},
            "allOf": [
                {
                    "if": {"properties": {"DevType": {"const": kind.devtype}}},
                    "then": {"properties": {"v": {"$ref": f"#/components/schemas/{_name(kind)}"}}},
                }
                for kind in DEVICE_TYPES
            ],
        },
        **{_name(kind): _values(kind) for kind in DEVICE_TYPES},
        "Events": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Event"}},
        "Event": {
            "type": "object",
            "required": list(ENVELOPE_FIELDS),
            "properties": {name: _EVENT_FIELDS[name] for name in ENVELOPE_FIELDS},
            "additionalProperties": False,
        },
    }


def _name(kind: DeviceType) -> str:
    return f"Values_{kind.devtype.partition('#')[2]}"


def _values(kind: DeviceType) -> Schema:
    return {
        "type": "object",
        "title": kind.name,
        "properties": {attribute.key: _value(attribute) for attribute in kind.attributes},
    }


def _value(attribute: Attribute) -> Schema:
    types = {"number": "integer" if attribute.integral else "number", "text": "string", "object": "object"}
    made: Schema = {"type": types[attribute.kind]}
    if attribute.low is not None:
        made["minimum"] = attribute.low
    if attribute.high is not None:
        made["maximum"] = attribute.high
    notes = [note for note in (attribute.unit, attribute.note) if note]
    if notes:
        made["description"] = "; ".join(notes)
    return made
