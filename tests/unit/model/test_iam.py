"""Decisions: tables of them, and the same against another evaluator that is written in another way."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrixhub.model.access import OPERATOR, PROPERTY_ADMINS, PUBLISHERS, SENDERS, Identity, Request, RoleId
from matrixhub.model.iam import (
    Conditions,
    Considered,
    Effect,
    Hours,
    PolicySet,
    Role,
    RoleDocument,
    Srn,
    Statement,
    TrustClause,
    decide,
    depends_on,
    explain,
    matches,
    principals_of,
    within,
)
from matrixhub.model.iam_system import SYSTEM_ROLES
from matrixhub.model.ids import BuildingId, PropertyId, SeatId

P, OTHER = PropertyId("p"), PropertyId("other")
NOW = datetime(2024, 3, 8, 2, 0, tzinfo=UTC)  # a Friday, 10:00 in Singapore
READ = "scgrids.readZone"
ME = Srn("srn:sciam:ORCHARD:::p:KEY/key_1")


def statement(effect: Effect, *operations: str, **fields: Any) -> Statement:
    return Statement(effect=effect, operations=operations, **fields)


def role(*statements: Statement, name: str = "R", **fields: Any) -> Role:
    pending_since = fields.pop("pending_since", None)
    document = RoleDocument(name=name, policy_sets=(PolicySet(name="set", statements=statements),), **fields)
    return Role(document=document, pending_since=pending_since)


def asks(**fields: Any) -> Identity:
    given = {"scheme": "bearer", "id": "key_1", "name": "n", "property_id": P, "role_id": RoleId("R"), **fields}
    return Identity(**given)


def request(operation: str = READ, **fields: Any) -> Request:
    return Request(**{"operation": operation, "property_id": P, **fields})


def code(found: Role | None, asked: Request | None = None, **fields: Any) -> str:
    """What is decided on a request by somebody who has the role."""
    boundary, now = fields.pop("boundary", None), fields.pop("now", NOW)
    identity = asks(**{"boundary_id": boundary.id if boundary is not None else None, **fields})
    return decide(asked or request(), identity, found, boundary, now=now, principals=(ME,)).code


ALL, READS = statement("allow", "*"), statement("allow", "scgrids.read*")
NOT_ZONES = statement("deny", "*Zone")


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ((), "IMPLICIT_DENY"),
        ((ALL,), "ALLOWED"),
        ((READS,), "ALLOWED"),
        ((statement("allow", "scgrids.readZone"),), "ALLOWED"),
        ((statement("allow", "scgrids.readZon"),), "IMPLICIT_DENY"),
        ((statement("allow", "SCGRIDS.*"),), "IMPLICIT_DENY"),
        ((statement("allow", "scteams.*", "*.readZone"),), "ALLOWED"),
        ((NOT_ZONES,), "EXPLICIT_DENY"),
        ((ALL, NOT_ZONES), "EXPLICIT_DENY"),
        ((NOT_ZONES, ALL), "EXPLICIT_DENY"),
        ((ALL, statement("deny", "scteams.*")), "ALLOWED"),
    ],
)
def test_a_denial_overrides_and_what_nothing_allows_is_denied(statements: Sequence[Statement], expected: str) -> None:
    assert code(role(*statements)) == expected


@pytest.mark.parametrize(
    ("trust", "expected"),
    [
        ((("allow", "*"),), "ALLOWED"),
        ((("allow", "srn:sciam:ORCHARD:::p:KEY/key_1"),), "ALLOWED"),
        ((("allow", "srn:sciam:*:p:KEY/*"),), "ALLOWED"),
        ((), "TRUST_RELATIONSHIP_VIOLATION_IMPLICIT_DENY"),
        ((("allow", "srn:sciam:*:USER/*"),), "TRUST_RELATIONSHIP_VIOLATION_IMPLICIT_DENY"),
        ((("allow", "srn:sciam:*:KEY/key_10"),), "TRUST_RELATIONSHIP_VIOLATION_IMPLICIT_DENY"),
        ((("deny", "*:KEY/key_1"), ("allow", "*")), "TRUST_RELATIONSHIP_VIOLATION_EXPLICIT_DENY"),
        ((("allow", "*"), ("deny", "*:KEY/key_1")), "TRUST_RELATIONSHIP_VIOLATION_EXPLICIT_DENY"),
        ((("allow", "*"), ("deny", "*:KEY/key_2")), "ALLOWED"),
        ((("deny", "*:KEY/key_2"),), "TRUST_RELATIONSHIP_VIOLATION_IMPLICIT_DENY"),
    ],
)
def test_a_role_is_for_those_it_trusts(trust: Sequence[tuple[Effect, str]], expected: str) -> None:
    clauses = tuple(TrustClause(effect=effect, principals=(pattern,)) for effect, pattern in trust)
    assert code(role(ALL, trust=clauses)) == expected


def test_trust_comes_before_statements() -> None:
    nobody = role(statement("deny", "*"), trust=())
    assert code(nobody) == "TRUST_RELATIONSHIP_VIOLATION_IMPLICIT_DENY"


def test_another_property_is_out_of_reach_whatever_the_role_allows() -> None:
    assert code(role(ALL), request(property_id=OTHER)) == "IMPLICIT_DENY"
    assert code(role(ALL), request(property_id=None)) == "IMPLICIT_DENY"
    assert code(role(ALL), request(property_id=OTHER), property_id=None) == "ALLOWED"


def test_a_role_that_is_not_there_allows_nothing() -> None:
    assert code(None) == "IMPLICIT_DENY"
    without = decide(request(), asks(boundary_id=RoleId("gone")), role(ALL), None, now=NOW)
    assert (without.code, "gone" in without.why) == ("IMPLICIT_DENY", True)


@pytest.mark.parametrize(
    ("status", "age_days", "expected"),
    [
        ("ACTIVE", 0, "ALLOWED"),
        ("PENDING_DEPRECATION", 0, "ALLOWED"),
        ("PENDING_DEPRECATION", 89.999, "ALLOWED"),
        ("PENDING_DEPRECATION", 90, "IMPLICIT_DENY"),
        ("DEPRECATED", 0, "IMPLICIT_DENY"),
    ],
)
def test_a_deprecated_role_allows_nothing_and_one_that_will_be_does_for_90_days(
    status: str, age_days: float, expected: str
) -> None:
    since = NOW - timedelta(days=age_days)
    assert code(role(ALL, status=status, pending_since=since)) == expected


def test_a_deprecated_role_still_denies() -> None:
    assert code(role(ALL, NOT_ZONES, status="DEPRECATED")) == "EXPLICIT_DENY"
    assert code(role(ALL), boundary=role(NOT_ZONES, name="B", status="DEPRECATED")) == "EXPLICIT_DENY"


def test_a_boundary_denies_and_allows_nothing() -> None:
    boundary = role(ALL, NOT_ZONES, name="B", trust=())
    assert code(role(ALL), boundary=boundary) == "EXPLICIT_DENY"
    assert code(role(ALL), request("scgrids.readBuilding"), boundary=boundary) == "ALLOWED"
    assert code(role(), request("scgrids.readBuilding"), boundary=boundary) == "IMPLICIT_DENY"


IN, OUT = Conditions(ip_in=("10.0.0.0/8", "2001:db8::/32")), Conditions(ip_not_in=("10.0.0.0/8",))


@pytest.mark.parametrize(
    ("when", "address", "allowed", "denied"),
    [
        (IN, "10.1.2.3", True, True),
        (IN, "::ffff:10.1.2.3", True, True),
        (IN, "2001:db8::1", True, True),
        (IN, "192.0.2.1", False, False),
        (IN, "", False, True),
        (IN, "no address", False, True),
        (OUT, "10.1.2.3", False, False),
        (OUT, "192.0.2.1", True, True),
        (OUT, "2001:db8::1", True, True),
        (OUT, "", False, True),
    ],
)
def test_an_address_that_is_not_known_opens_nothing(
    when: Conditions, address: str, allowed: bool, denied: bool
) -> None:
    asked = request(address=address)
    assert code(role(statement("allow", "*", when=when)), asked) == ("ALLOWED" if allowed else "IMPLICIT_DENY")
    assert code(role(ALL, statement("deny", "*", when=when)), asked) == ("EXPLICIT_DENY" if denied else "ALLOWED")


@pytest.mark.parametrize(
    ("building", "allowed", "denied"), [("b1", True, True), ("b2", False, False), (None, False, True)]
)
def test_a_building_that_is_not_known_opens_nothing(building: BuildingId | None, allowed: bool, denied: bool) -> None:
    asked = request(building_id=building)
    assert (code(role(statement("allow", "*", buildings=("b1",))), asked) == "ALLOWED") is allowed
    assert (code(role(ALL, statement("deny", "*", buildings=("b1",))), asked) == "EXPLICIT_DENY") is denied


DAY = Hours(start="08:00", end="18:00", time_zone="Asia/Singapore", days=(1, 2, 3, 4, 5))


@pytest.mark.parametrize(
    ("when", "now", "holds"),
    [
        (Conditions(not_before=NOW), NOW, True),
        (Conditions(not_before=NOW), NOW - timedelta(seconds=1), False),
        (Conditions(not_after=NOW), NOW, True),
        (Conditions(not_after=NOW), NOW + timedelta(seconds=1), False),
        (Conditions(not_before=NOW, not_after=NOW), NOW, True),
        (Conditions(hours=DAY), NOW, True),
        (Conditions(hours=DAY), datetime(2024, 3, 8, 0, 0, tzinfo=UTC), True),
        (Conditions(hours=DAY), datetime(2024, 3, 7, 23, 59, 59, tzinfo=UTC), False),
        (Conditions(hours=DAY), datetime(2024, 3, 8, 10, 0, tzinfo=UTC), False),
        (Conditions(hours=DAY), datetime(2024, 3, 9, 2, 0, tzinfo=UTC), False),
        (Conditions(hours=DAY, ip_in=("10.0.0.0/8",)), NOW, False),
    ],
)
def test_all_conditions_on_time_must_hold(when: Conditions, now: datetime, holds: bool) -> None:
    asked = request(address="192.0.2.1")
    assert (code(role(statement("allow", "*", when=when)), asked, now=now) == "ALLOWED") is holds
    assert (code(role(ALL, statement("deny", "*", when=when)), asked, now=now) == "EXPLICIT_DENY") is holds


def test_a_time_that_is_not_known_opens_nothing() -> None:
    when = Conditions(hours=DAY)
    assert code(role(statement("allow", "*", when=when)), now=None) == "IMPLICIT_DENY"
    assert code(role(ALL, statement("deny", "*", when=when)), now=None) == "EXPLICIT_DENY"
    assert code(role(ALL), now=None) == "ALLOWED"


@pytest.mark.parametrize(
    ("start", "end", "at", "holds"),
    [
        ("22:00", "06:00", "2024-03-08T14:00", True),  # Friday 22:00
        ("22:00", "06:00", "2024-03-08T21:59", True),  # Saturday 05:59, of the night that began on Friday
        ("22:00", "06:00", "2024-03-08T22:00", False),  # Saturday 06:00
        ("22:00", "06:00", "2024-03-07T21:00", False),  # Friday 05:00, of the night that began on Thursday
        ("00:00", "24:00", "2024-03-08T15:59", True),  # Friday 23:59
        ("00:00", "24:00", "2024-03-08T16:00", False),  # Saturday 00:00
        ("08:00", "08:00", "2024-03-08T16:00", True),  # round the clock: Saturday 00:00, begun on Friday
    ],
)
def test_hours_belong_to_the_day_on_which_they_begin(start: str, end: str, at: str, holds: bool) -> None:
    hours = Hours(start=start, end=end, time_zone="Asia/Singapore", days=(5,))
    assert within(hours, datetime.fromisoformat(at).replace(tzinfo=UTC)) is holds


def test_hours_go_by_the_clock_of_the_zone_also_when_it_is_put_forward() -> None:
    hours = Hours(start="08:00", end="09:00", time_zone="Europe/Berlin")
    assert within(hours, datetime(2024, 3, 30, 7, 30, tzinfo=UTC))
    assert within(hours, datetime(2024, 3, 31, 6, 30, tzinfo=UTC))
    assert not within(hours, datetime(2024, 3, 31, 7, 30, tzinfo=UTC))


def test_a_decision_tells_what_decided() -> None:
    found = role(READS, statement("deny", "*Zone", name="no zones"))
    assert decide(request(), asks(), found, now=NOW).why == (
        "the role R denies it: policy set set, statement 2 (no zones)"
    )
    assert decide(request("scgrids.readLevel"), asks(), found, now=NOW).why == (
        "the role R allows it: policy set set, statement 1"
    )


def test_the_names_of_principals() -> None:
    assert principals_of(asks(), "ORCHARD") == (ME,)
    ann = asks(scheme="federated", id="quid:auth0|7", seat_id=SeatId("p_004"))
    assert principals_of(ann, "ORCHARD") == (
        "srn:sciam:ORCHARD:::p:APP/quid/auth0|7",
        "srn:sciam:ORCHARD:::p:USER/p_004",
    )
    assert principals_of(asks(property_id=None)) == ("srn:sciam::::*:KEY/key_1",)


@pytest.mark.parametrize("user", ["x:KEY/key_1", "x:USER/p_004", "x:APP/quid_other/bob", "x/bob"])
@pytest.mark.parametrize(
    "pattern", ["srn:sciam:*:KEY/*", "srn:sciam:*:USER/p_004", "srn:*:APP/quid_other/*", "srn:*:APP/quid_other/bob"]
)
def test_no_user_is_named_so_that_a_pattern_takes_him_for_somebody_else(user: str, pattern: str) -> None:
    [name] = principals_of(asks(scheme="federated", id=f"quid_own:{user}"), "ORCHARD")
    trusting = role(ALL, trust=(TrustClause(effect="allow", principals=(pattern,)),))
    decision = decide(request(), asks(), trusting, now=NOW, principals=[name])
    assert decision.code == "TRUST_RELATIONSHIP_VIOLATION_IMPLICIT_DENY"
    assert name.startswith("srn:sciam:ORCHARD:::p:APP/quid_own/x%")


def test_somebody_with_two_names_is_trusted_by_either_and_denied_by_either() -> None:
    names = principals_of(asks(scheme="federated", id="q:ann", seat_id=SeatId("p_004")))
    for pattern in ("*:USER/p_004", "*:APP/q/*"):
        by_name = TrustClause(effect="allow", principals=(pattern,))
        against = TrustClause(effect="deny", principals=(pattern,))
        everyone = TrustClause(effect="allow", principals=("*",))
        assert decide(request(), asks(), role(ALL, trust=(by_name,)), now=NOW, principals=names).allowed
        assert not decide(request(), asks(), role(ALL, trust=(everyone, against)), now=NOW, principals=names).allowed


def test_what_a_decision_depends_on_is_known() -> None:
    assert depends_on(role(ALL), None) == set()
    assert depends_on(role(statement("allow", "*", when=IN))) == {"address"}
    assert depends_on(role(statement("allow", "*", when=Conditions(hours=DAY), buildings=("b",)))) == {
        "time",
        "building",
    }
    assert depends_on(role(ALL), role(statement("deny", "*", when=OUT), status="PENDING_DEPRECATION")) == {
        "address",
        "age",
    }


# --- against another evaluator ---

WORDS = ("scgrids", "scteams", "read", "Zone", "list", ".", "*", "get")
patterns = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map("".join)
operations = st.lists(st.sampled_from([w for w in WORDS if w != "*"]), min_size=1, max_size=4).map("".join)
networks = st.lists(st.sampled_from(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]), max_size=2).map(tuple)
instants = st.sampled_from([None, NOW - timedelta(hours=1), NOW, NOW + timedelta(hours=1)])
conditions = st.builds(Conditions, ip_in=networks, ip_not_in=networks, not_before=instants, not_after=instants)
statements = st.builds(
    Statement,
    effect=st.sampled_from(["allow", "deny"]),
    operations=st.lists(patterns, min_size=1, max_size=3).map(tuple),
    buildings=st.lists(st.sampled_from(["b1", "b2"]), max_size=2).map(tuple),
    when=conditions,
)
policy_sets = st.lists(
    st.builds(PolicySet, name=st.just("s"), statements=st.lists(statements, max_size=4).map(tuple)), max_size=3
).map(tuple)
trusts = st.lists(
    st.builds(
        TrustClause,
        effect=st.sampled_from(["allow", "deny"]),
        principals=st.lists(st.sampled_from(["*", "srn:*", "*:KEY/key_1", "*:USER/*", ME]), min_size=1, max_size=2).map(
            tuple
        ),
    ),
    max_size=3,
).map(tuple)
documents = st.builds(
    RoleDocument,
    name=st.just("R"),
    policy_sets=policy_sets,
    status=st.sampled_from(["ACTIVE", "DEPRECATED"]),
    trust=trusts | st.just((TrustClause(effect="allow", principals=("*",)),)),
)
roles = st.builds(Role, document=documents)
requests = st.builds(
    Request,
    operation=operations,
    property_id=st.sampled_from([P, P, P, OTHER]),
    building_id=st.sampled_from([None, "b1", "b2", "b3"]),
    address=st.sampled_from(["", "10.9.9.9", "192.0.2.7", "2001:db8::5", "198.51.100.1"]),
)


def plainly(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


def naive(asked: Request, found: Role, boundary: Role | None, now: datetime) -> str:
    """The same, as one would say it: collect everything that counts, then look."""

    def truth(one: Statement) -> set[bool | None]:
        results: set[bool | None] = {any(plainly(p).fullmatch(asked.operation) for p in one.operations)}
        if one.buildings:
            results.add(None if asked.building_id is None else asked.building_id in set(one.buildings))
        for wanted, inside in ((one.when.ip_in, True), (one.when.ip_not_in, False)):
            if wanted:
                found_in = asked.address and any(ip_address(asked.address) in ip_network(n) for n in wanted)
                results.add(None if not asked.address else bool(found_in) is inside)
        results.add(one.when.not_before is None or one.when.not_before <= now)
        results.add(one.when.not_after is None or one.when.not_after >= now)
        return results

    def effects(one: Role) -> set[str]:
        every = itertools.chain.from_iterable(s.statements for s in one.document.policy_sets)
        return {s.effect for s in every if (truth(s) == {True} if s.effect == "allow" else False not in truth(s))}

    if asked.property_id != P:
        return "IMPLICIT_DENY"
    trusted = {
        clause.effect for clause in found.document.trust if any(plainly(p).fullmatch(ME) for p in clause.principals)
    }
    if "deny" in trusted:
        return "TRUST_RELATIONSHIP_VIOLATION_EXPLICIT_DENY"
    if not trusted:
        return "TRUST_RELATIONSHIP_VIOLATION_IMPLICIT_DENY"
    if "deny" in effects(found) | (effects(boundary) if boundary is not None else set()):
        return "EXPLICIT_DENY"
    return "ALLOWED" if "allow" in effects(found) and found.document.status == "ACTIVE" else "IMPLICIT_DENY"


@given(found=roles, boundary=st.none() | roles, asked=requests)
def test_a_decision_is_that_of_another_evaluator(found: Role, boundary: Role | None, asked: Request) -> None:
    assert code(found, asked, boundary=boundary) == naive(asked, found, boundary, NOW)


@given(found=roles, boundary=st.none() | roles, asked=requests)
def test_an_explanation_has_the_decision_and_counts_as_it_does(
    found: Role, boundary: Role | None, asked: Request
) -> None:
    identity = asks(boundary_id=boundary.id if boundary is not None else None)
    told = explain(asked, identity, found, boundary, now=NOW, principals=(ME,))
    assert told.decision == decide(asked, identity, found, boundary, now=NOW, principals=(ME,))

    def heeded(considered: Sequence[Considered], effect: str) -> bool:
        return any(one.counts and one.effect == effect for one in considered)

    if told.decision.code == "EXPLICIT_DENY":
        assert heeded(told.statements, "deny") or heeded(told.boundary, "deny")
    if told.decision.allowed:
        assert heeded(told.statements, "allow")
        assert heeded(told.trust, "allow")
        assert not heeded(told.statements, "deny")
        assert not heeded(told.boundary, "deny")
    assert any(one.where in told.decision.why for one in (*told.trust, *told.statements, *told.boundary)) or (
        told.decision.code.endswith("IMPLICIT_DENY")
    )


@given(found=roles, asked=requests, data=st.data())
def test_the_order_of_statements_means_nothing(found: Role, asked: Request, data: st.DataObject) -> None:
    every = [one for policy_set in found.document.policy_sets for one in policy_set.statements]
    shuffled = data.draw(st.permutations(every))
    trust = data.draw(st.permutations(found.document.trust))
    other = role(*shuffled, trust=tuple(trust), status=found.document.status)
    assert code(other, asked) == code(found, asked)


@given(pattern=patterns, text=operations, data=st.data())
def test_a_narrower_wildcard_never_allows_more(pattern: str, text: str, data: st.DataObject) -> None:
    """In place of a `*`, or of some of them, stands a text; with a `*` of its own it may be, too."""
    narrower = "".join(data.draw(st.sampled_from(["*", "read", "re*", ""])) if c == "*" else c for c in pattern)
    if code(role(statement("allow", narrower)), request(text)) == "ALLOWED":
        assert code(role(statement("allow", pattern)), request(text)) == "ALLOWED"
    if code(role(ALL, statement("deny", pattern)), request(text)) == "ALLOWED":
        assert code(role(ALL, statement("deny", narrower)), request(text)) == "ALLOWED"


@given(pattern=st.text(alphabet="ab*:\n", max_size=12), text=st.text(alphabet="ab:\n", max_size=12))
def test_a_pattern_matches_what_its_expression_does(pattern: str, text: str) -> None:
    assert matches(pattern, text) == (plainly(pattern).fullmatch(text) is not None)


def test_a_pattern_of_many_wildcards_takes_no_time() -> None:
    assert not matches("*a" * 250 + "*b", "a" * 500)


# --- the roles of the system ---


def allowed(name: str, operation: str, **fields: Any) -> bool:
    return decide(request(operation), asks(role_id=RoleId(name), **fields), SYSTEM_ROLES[RoleId(name)], now=NOW).allowed


@pytest.mark.parametrize(
    ("name", "may", "may_not"),
    [
        (PROPERTY_ADMINS, ["scgrids.createZone", "hub.createRole", "hub.sendReadings", "anything.at.all"], []),
        (SENDERS, ["hub.sendReadings"], ["hub.publishEvents", READ, "hub.listKeys"]),
        (PUBLISHERS, ["meb.publishEvents", "hub.publishEvents"], ["hub.sendReadings", "hub.listEvents", READ]),
        ("GridsViewer", [READ, "scgrids.buildingZoneMap"], ["scgrids.updateZone", "scteams.getSettings"]),
        (
            "PropertyViewer",
            [
                *(READ, "scteams.getLastNTasks", "scmetrics.tsdbQuery", "hub.listSubscriptions"),
                *("scpropteams.getUserDetailsForSeatId", "scattendance.readIntegration", "scteams.shiftStatus"),
            ],
            [
                "hub.createSeat",
                "scattendance.attendanceEvent",
                "scgrids.createZone",
                "scteams.createShift",
                "hub.createSubscription",
                "hub.listKeys",
                "hub.listRoles",
            ],
        ),
        (
            "WorkforceAdministrator",
            [
                *("scteams.updateSettings", "scteams.createShift", READ, "hub.createSeat", "hub.changeSeat"),
                *("hub.createAttendanceIntegration", "scattendance.attendanceEvent", "sctasks.addCustomTaskBuilding"),
            ],
            ["scgrids.updateZone", "hub.listKeys", "hub.sendReadings"],
        ),
        (
            "SMARTCLEAN#FM",
            ["scteams.createShift", "scteams.adminDeleteIncident", READ],
            ["scteams.updateIncidentsSettings", "scteams.updateSettings", "scgrids.createZone", "hub.createKey"],
        ),
        (
            "SMARTCLEAN#HOUSEKEEPING",
            ["scteams.taskStart", "scteams.shiftEnd", "scteams.createIncidentWithoutAssignee"],
            ["scteams.adminDeleteIncident", "scteams.createShift", "scteams.shiftStartAdmin", "hub.listEvents"],
        ),
        (
            "SMARTCLEAN#QRFeedbackUsers",
            ["scteams.createIncidentWithoutAssignee"],
            ["scteams.getLastNTasks", "scgrids.listZonesByBuilding"],
        ),
        ("SMARTCLEAN#IAMViewOnly", ["hub.listRoles", "hub.explainAccess"], ["hub.createRole", "hub.createKey", READ]),
    ],
)
def test_a_role_of_the_system_allows_what_it_is_for(name: str, may: list[str], may_not: Sequence[str]) -> None:
    assert [one for one in may if not allowed(name, one)] == []
    assert [one for one in may_not if allowed(name, one)] == []


def test_the_hubs_own_role_allows_everything() -> None:
    for operation in (READ, "hub.sendReadings", "anything.at.all"):
        assert allowed(OPERATOR, operation, property_id=None)


def test_roles_of_the_system_depend_on_nothing_and_are_known_by_name() -> None:
    assert depends_on(*SYSTEM_ROLES.values()) == set()
    assert all(found.id == name for name, found in SYSTEM_ROLES.items())
    assert len(SYSTEM_ROLES) == 11


def test_a_role_is_frozen() -> None:
    found = SYSTEM_ROLES[PROPERTY_ADMINS]
    with pytest.raises(AttributeError):
        found.document.name = "other"  # type: ignore[misc]
    assert replace(found, pending_since=NOW) != found
