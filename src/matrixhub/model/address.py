"""Addresses: where a property or building is.

Source: docs/contract/grids.md §3
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from matrixhub.model.devices import Json
from matrixhub.model.errors import WrongParameters
from matrixhub.model.text import TEXT_MAX, is_text


@dataclass(frozen=True, slots=True)
class Coordinates:
    """A place on earth, in degrees."""

    latitude: float
    longitude: float

    def __post_init__(self) -> None:
        if not (abs(self.latitude) <= 90 and abs(self.longitude) <= 180):
            raise WrongParameters("Coordinates are a Latitude of -90 to 90 and a Longitude of -180 to 180")


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """A postal address, and where it is."""

    street: str = ""
    city: str = ""
    state: str = ""
    country: str = ""
    postal_code: str = ""
    coordinates: Coordinates | None = None


def address_document(address: Address) -> dict[str, Json]:
    """The address in the fields of the wire."""
    return {
        "Street": address.street,
        "City": address.city,
        "State": address.state,
        "Country": address.country,
        "PostalCode": address.postal_code,
        "Coordinates": coordinates_document(address.coordinates),
    }


def coordinates_document(coordinates: Coordinates | None) -> dict[str, Json]:
    """The coordinates in the fields of the wire; {} where there are none."""
    if coordinates is None:
        return {}
    return {"Latitude": coordinates.latitude, "Longitude": coordinates.longitude}


def read_address(document: object) -> Address:
    """The address a document states; what it leaves out is empty. Raises WrongParameters."""
    if not isinstance(document, Mapping):
        raise WrongParameters("Address is an object with Street, City, State, Country, PostalCode and Coordinates")
    texts = {}
    for key, name in (
        ("Street", "street"),
        ("City", "city"),
        ("State", "state"),
        ("Country", "country"),
        ("PostalCode", "postal_code"),
    ):
        value = document.get(key) or ""
        if not isinstance(value, str) or not is_text(value):
            raise WrongParameters(f"Address.{key} is a text of at most {TEXT_MAX} printable characters")
        texts[name] = value
    return Address(**texts, coordinates=_read_coordinates(document.get("Coordinates")))


def _read_coordinates(document: object) -> Coordinates | None:
    if not document:
        return None
    if isinstance(document, Mapping):
        found = [document.get(key) for key in ("Latitude", "Longitude")]
        numbers = [x for x in found if isinstance(x, int | float) and not isinstance(x, bool)]
        if len(numbers) == 2:
            return Coordinates(*numbers)
    raise WrongParameters("Coordinates are an object with the numbers Latitude and Longitude")
