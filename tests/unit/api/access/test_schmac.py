"""SCHMAC_V1: the vectors, and that no header or time ever makes anything but a refusal."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.unit.api.access.doubles import NOW, NOW_S, PAIR, PROPERTY, parts_with

from matrixhub.api.access import Credentials, Gate
from matrixhub.api.access.schmac import (
    ALIASES,
    SKEW_MAX_S,
    check_time,
    modules_of,
    read_schmac,
    signature,
    string_to_sign,
)
from matrixhub.model.errors import MissingParameters, Unauthorised
from matrixhub.model.ids import PropertyId
from matrixhub.model.secret import Secret

OPERATION = "scgrids.buildingZoneMap"
DEMO = ("demo-key/0001", "1710029109", "demo-secret-0001")
VECTORS = (
    (
        *("attendance", "propid", "scattendance.readIntegration", "dummyaccesskey/abcd", "1631346630"),
        *("mydummysecretkey", "5f7a71f6ae877c13954c8a70a485ac656bfa5f7cdd1417866660c8e5198d9bf5"),
    ),
    (
        *("scgrids", PROPERTY, OPERATION, *DEMO),
        "b9b83fabe5a364361fd105a949f9c83c3c273913c0da3c1c5c77bd698b781670",
    ),
    (
        *("scworkforcemanagement", PROPERTY, "scteams.createIncidentWithoutAssignee", *DEMO),
        "c2f6ad10c8173efb59e7d7b67031046159b0a19a1a2e0e4added059054bea80f",
    ),
    (
        *("SCReports", PROPERTY, "screports.getDataForAttendanceKPIs", *DEMO),
        "7d892133aa8e365f19089f1c9d95155d274565daac6c1673c6c7609b098f49d6",
    ),
)


def signed(module: str = "scgrids", **fields: str) -> Credentials:
    """A request as a client signs it; `fields` are changed after the signature."""
    text = string_to_sign(module, PROPERTY, OPERATION, PAIR.access_key, str(NOW_S))
    made = Credentials(
        authorization=f"SCHMAC_V1;{PAIR.access_key};{signature(PAIR.secret, text)}",
        service=module,
        operation=OPERATION,
        property_id=PROPERTY,
        time=str(NOW_S),
        address="192.0.2.1",
    )
    return replace(made, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(("module", "property_id", "operation", "access_key", "time", "secret", "expected"), VECTORS)
def test_every_vector_is_signed_as_published(
    module: str, property_id: str, operation: str, access_key: str, time: str, secret: str, expected: str
) -> None:
    text = string_to_sign(module, property_id, operation, access_key, time)
    assert signature(Secret(secret), text) == expected
    assert read_schmac(f"SCHMAC_V1;{access_key};{expected}").access_key == access_key


async def test_a_signed_request_is_that_of_its_key() -> None:
    identity = await Gate(parts_with(PAIR)).identify(signed())
    assert (identity.scheme, identity.id, identity.property_id) == ("schmac", PAIR.key_id, PROPERTY)


@pytest.mark.parametrize(("service", "alias"), ALIASES.items())
async def test_the_service_of_the_path_may_be_signed_by_its_own_name_and_by_that_of_the_sdk(
    service: str, alias: str
) -> None:
    for module in (service, alias):
        assert await Gate(parts_with(PAIR)).identify(signed(module, service=service))
    with pytest.raises(Unauthorised):
        await Gate(parts_with(PAIR)).identify(signed(alias, service="scgrids"))


def test_without_any_service_that_of_the_name_was_signed() -> None:
    assert modules_of("", "sctasks.taskOperationsStarted") == ("sctasks", "SCTasks")


@pytest.mark.parametrize(
    "changed",
    [
        {"operation": "scgrids.readZone"},
        {"operation": "\ud800"},
        {"property_id": "another"},
        {"time": str(NOW_S + 1)},
        {"service": "scmetrics"},
        {"authorization": f"SCHMAC_V1;{PAIR.access_key};{'0' * 64}"},
        {"authorization": f"SCHMAC_V1;unknown;{'0' * 64}"},
    ],
)
async def test_a_signature_of_something_else_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(Unauthorised):
        await Gate(parts_with(PAIR)).identify(signed(**changed))


async def test_a_key_signs_for_its_own_property_only() -> None:
    other = replace(PAIR, property_id=PropertyId("another"))
    with pytest.raises(Unauthorised, match="another property"):
        await Gate(parts_with(other)).identify(signed())


async def test_a_request_that_names_no_property_lacks_a_parameter() -> None:
    with pytest.raises(MissingParameters, match="propid"):
        await Gate(parts_with(PAIR)).identify(signed(property_id=""))


@pytest.mark.parametrize("operation", ["", "hub.listSubscriptions"])
async def test_the_rest_face_says_that_it_takes_no_signature(operation: str) -> None:
    with pytest.raises(Unauthorised, match="Basic"):
        await Gate(parts_with(PAIR)).identify(signed(operation=operation))


@pytest.mark.parametrize("off_s", [-SKEW_MAX_S, 0, SKEW_MAX_S])
def test_a_time_may_be_off_by_five_minutes(off_s: int) -> None:
    check_time(str(NOW_S + off_s), now_s=NOW_S)


@pytest.mark.parametrize(
    "text",
    [
        str(NOW_S - SKEW_MAX_S - 1),
        str(NOW_S + SKEW_MAX_S + 1),
        "",
        " ",
        "-1",
        "1e9",
        f"{NOW_S}.0",
        f"{NOW_S}000",
        "²",
        "١",
    ],
)
def test_a_time_that_is_farther_off_or_none_is_refused(text: str) -> None:
    with pytest.raises(Unauthorised):
        check_time(text, now_s=NOW_S)


async def test_after_a_rotation_both_secrets_are_good_until_the_overlap_ends() -> None:
    rotated = replace(
        PAIR, secret=Secret("new"), previous_secret=PAIR.secret, previous_until=NOW + timedelta(seconds=60)
    )
    assert await Gate(parts_with(rotated)).identify(signed())
    with pytest.raises(Unauthorised):
        await Gate(parts_with(rotated, now=NOW + timedelta(seconds=60))).identify(signed())


async def test_an_expired_key_is_refused() -> None:
    expiring = replace(PAIR, expires_at=NOW + timedelta(seconds=1))
    assert await Gate(parts_with(expiring)).identify(signed())
    with pytest.raises(Unauthorised):
        await Gate(parts_with(expiring, now=NOW + timedelta(seconds=1))).identify(signed())


PIECES = st.one_of(
    st.text(), st.sampled_from(["SCHMAC_V1", "Basic", "Bearer", "demo-key/0001", "0" * 64, ";", " ", ""])
)


@given(
    authorization=st.one_of(
        st.text(),
        st.lists(PIECES, max_size=5).map(";".join),
        PIECES.map("Basic {}".format),
        PIECES.map("Bearer {}".format),
    ),
    time=st.one_of(st.text(), st.integers().map(str), st.just(str(NOW_S))),
    operation=st.one_of(st.text(), st.just(OPERATION)),
    property_id=st.one_of(st.text(), st.just(str(PROPERTY))),
    service=st.one_of(st.text(), st.sampled_from(["", "scgrids", "scbi"])),
)
async def test_no_header_or_time_does_anything_but_refuse(
    authorization: str, time: str, operation: str, property_id: str, service: str
) -> None:
    credentials = Credentials(
        authorization=authorization, service=service, operation=operation, property_id=property_id, time=time
    )
    with pytest.raises((Unauthorised, MissingParameters)):
        await Gate(parts_with(PAIR)).identify(credentials)


@given(
    st.text(alphabet=st.characters(codec="latin-1"), min_size=1),
    st.sampled_from(["authorization", "time", "operation", "property_id"]),
)
async def test_whatever_is_put_behind_what_was_signed_breaks_it(rest: str, field: str) -> None:
    assume(field != "authorization" or rest.strip())  # blanks around a header are no part of it
    good = signed()
    changed = replace(good, **{field: getattr(good, field) + rest})
    with pytest.raises((Unauthorised, MissingParameters)):
        await Gate(parts_with(PAIR)).identify(changed)
