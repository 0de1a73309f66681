"""Development mode: requests that prove nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.api.access.doubles import PAIR, PROPERTY, parts_with

from matrixhub.api.access import Credentials, Gate
from matrixhub.model.access import PROPERTY_ADMINS
from matrixhub.model.errors import MissingParameters, Unauthorised

LOCAL = Credentials(
    authorization="", operation="scgrids.buildingZoneMap", property_id=PROPERTY, address="127.0.0.1", service="scgrids"
)


async def test_who_asks_from_this_machine_may_do_everything_in_the_property_that_it_names() -> None:
    identity = await Gate(parts_with(unsigned=True)).identify(LOCAL)
    assert (identity.scheme, identity.property_id, identity.role_id) == ("unsigned", PROPERTY, PROPERTY_ADMINS)


async def test_it_is_off_unless_the_operator_wants_it() -> None:
    with pytest.raises(Unauthorised):
        await Gate(parts_with()).identify(LOCAL)


@pytest.mark.parametrize(
    "credentials",
    [
        replace(LOCAL, address="192.0.2.1"),
        replace(LOCAL, address=""),
        replace(LOCAL, indirect=True),
        replace(LOCAL, operation=""),
        replace(LOCAL, operation="hub.listSubscriptions"),
        replace(LOCAL, authorization="Basic x"),
    ],
)
async def test_it_is_not_for_others_nor_pages_nor_proxies_nor_rest_nor_wrong_credentials(
    credentials: Credentials,
) -> None:
    with pytest.raises(Unauthorised):
        await Gate(parts_with(PAIR, unsigned=True)).identify(credentials)


async def test_without_a_property_it_is_not_known_what_for() -> None:
    with pytest.raises(MissingParameters):
        await Gate(parts_with(unsigned=True)).identify(replace(LOCAL, property_id=""))
