"""Who may do what: roles, their policies and whom they trust, and the decision. Pure.

A role is a document that people write; what its words mean is decided here and nowhere else: `decide` says whether a
request may pass, `explain` says so with everything that was looked at.

A condition that cannot be judged, such as one on the address of a request whose address is not known, neither lets a
permission hold nor a denial pass: what is not known never opens anything.

Source: docs/contract/web-services.md §3.4, docs/decisions/0015-roles.md
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, Any, Literal, NewType
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct, field

from matrixhub.model.access import Identity, Request, RoleId
from matrixhub.model.errors import Denial

Effect = Literal["allow", "deny"]

Status = Literal["ACTIVE", "PENDING_DEPRECATION", "DEPRECATED"]
"""ACTIVE; PENDING_DEPRECATION, which works like it for 90 days; DEPRECATED, which allows nothing."""

Srn = NewType("Srn", str)
"""The name of a principal, `srn:sciam:<organisation>:::<property>:<kind>/<id>`."""

PENDING_DEPRECATION = timedelta(days=90)

OTHER_NAMES: Mapping[str, tuple[str, ...]] = {
    "scgrids.listZonesByIDs": ("scgrids.listZoneByIDs",),
    "scgrids.createZoneUnit": ("scgrids.createZoneAsset",),
    "scgrids.listZoneUnitsByZoneCategory": ("scgrids.listZoneAssetsByZoneCategory",),
    "scpropteams.getMemberGroup": ("scteamsprop.getMemberGroup",),
    "scpropteams.getUserDetailsForSeatId": ("scteamsprop.getUserDetailsForSeatId",),
    "scmetrics.tsdbQuery": ("scmetrics.tsdb.query",),
}
"""Operations that are called by several names. A statement means the operation, whichever of them it says."""

_ALL_NAMES = {name: (first, *others) for first, others in OTHER_NAMES.items() for name in (first, *others)}

DAYS = (0, 1, 2, 3, 4, 5, 6)
"""0 is Sunday, as everywhere on the wire."""


class Hours(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A time of the day, on some days of the week; one that ends before it begins goes on past midnight."""

    start: Annotated[str, Meta(description="When it begins, `HH:MM`, local time.")]
    end: Annotated[str, Meta(description="When it is over, `HH:MM`; earlier than `start` is on the next day.")]
    time_zone: Annotated[str, Meta(description="Whose local time, such as `Asia/Singapore`.")]
    days: Annotated[tuple[int, ...], Meta(description="Days of the week on which it begins; 0 is Sunday.")] = DAYS


class Conditions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What must hold besides for a statement to count; all of it must."""

    ip_in: Annotated[tuple[str, ...], Meta(description="The address is in one of these networks.")] = ()
    ip_not_in: Annotated[tuple[str, ...], Meta(description="The address is in none of these networks.")] = ()
    not_before: Annotated[datetime | None, Meta(description="From this instant on, RFC 3339.")] = None
    not_after: Annotated[datetime | None, Meta(description="Until this instant, RFC 3339.")] = None
    hours: Annotated[Hours | None, Meta(description="At these times of the day.")] = None


class Statement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Operations that are allowed or denied."""

    effect: Annotated[Effect, Meta(description="A denial overrides whatever allows the same.")]
    operations: Annotated[
        tuple[str, ...], Meta(description="Names of operations; `*` stands for any text, as in `scgrids.read*`.")
    ]
    name: Annotated[str, Meta(description="What decisions are explained with; else its number.")] = ""
    buildings: Annotated[
        tuple[str, ...], Meta(description="Only requests about these buildings; none: about any.")
    ] = ()
    when: Annotated[Conditions, Meta(description="What must hold besides.")] = field(default_factory=Conditions)


class PolicySet(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Statements under a name; their order means nothing."""

    name: Annotated[str, Meta(description="What decisions are explained with; once in a role.")]
    statements: Annotated[tuple[Statement, ...], Meta(description="What is allowed and what is denied.")]


class TrustClause(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who may take the role, or may not."""

    effect: Annotated[Effect, Meta(description="A denial overrides.")]
    principals: Annotated[
        tuple[str, ...], Meta(description="SRNs of principals; `*` stands for any text, as in `srn:sciam:*:KEY/*`.")
    ]


EVERYONE = (TrustClause(effect="allow", principals=("*",)),)
"""The trust of a role that says nothing of it: everyone of its property to whom it was given."""


class RoleDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A role as people write it."""

    name: Annotated[str, Meta(description="Its name, `<name>` or `<owner>#<name>`, once in the property, for ever.")]
    policy_sets: Annotated[tuple[PolicySet, ...], Meta(description="What it allows and denies.")]
    description: Annotated[str, Meta(description="What it is for.")] = ""
    status: Annotated[
        Status,
        Meta(description="PENDING_DEPRECATION works for 90 days and is then DEPRECATED, which allows nothing."),
    ] = "ACTIVE"
    trust: Annotated[
        tuple[TrustClause, ...], Meta(description="Who may take it; left out: everyone to whom it is given.")
    ] = field(default_factory=lambda: EVERYONE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Role:
    """A role; `pending_since` is when it became PENDING_DEPRECATION."""

    document: RoleDocument
    pending_since: datetime | None = None

    @property
    def id(self) -> RoleId:
        """What refers to it: its name."""
        return RoleId(self.document.name)

    def status_at(self, now: datetime | None) -> Status:
        """Its status at an instant; where that is not known, the one that allows less.

        >>> from datetime import UTC
        >>> role = Role(document=RoleDocument(name="r", policy_sets=(), status="PENDING_DEPRECATION"),
        ...     pending_since=datetime(2024, 1, 1, tzinfo=UTC))
        >>> role.status_at(datetime(2024, 3, 30, tzinfo=UTC)), role.status_at(datetime(2024, 4, 1, tzinfo=UTC))
        ('PENDING_DEPRECATION', 'DEPRECATED')
        """
        if self.document.status != "PENDING_DEPRECATION":
            return self.document.status
        if now is None or self.pending_since is None or now - self.pending_since >= PENDING_DEPRECATION:
            return "DEPRECATED"
        return "PENDING_DEPRECATION"


class Members(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who is in a group of users."""

    seats: Annotated[tuple[str, ...], Meta(description="Ids of seats.")] = ()
    users: Annotated[tuple[str, ...], Meta(description="Subjects or e-mail addresses of federated users.")] = ()
    keys: Annotated[tuple[str, ...], Meta(description="Ids of access keys.")] = ()


class GroupDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A group of users as people write it: its members have its role."""

    name: Annotated[str, Meta(description="Its name, once in the property, for ever.")]
    role: Annotated[str, Meta(description="Name of the role, of the property or of the system.")]
    members: Annotated[Members, Meta(description="Who has the role by it; nobody is in two groups.")] = field(
        default_factory=Members
    )


Verdict = Literal["ALLOWED"] | Denial
"""What was decided, denials in the words of the wire."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Whether a request may pass; `why` names the role, and the policy set and statement that decided."""

    code: Verdict
    why: str

    @property
    def allowed(self) -> bool:
        """Whether it may."""
        return self.code == "ALLOWED"

    @property
    def denial(self) -> Denial:
        """The code of a denial."""
        return "IMPLICIT_DENY" if self.code == "ALLOWED" else self.code


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that was looked at; `holds` None is one that cannot be judged."""

    what: str
    holds: bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Considered:
    """A statement, or a clause of trust, as it was looked at: where it stands, and whether it counts."""

    where: str
    effect: Effect
    counts: bool
    checks: Sequence[Check]


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """A decision, with everything that was looked at."""

    decision: Decision
    principals: Sequence[Srn]
    trust: Sequence[Considered]
    statements: Sequence[Considered]
    boundary: Sequence[Considered]


def principals_of(identity: Identity, organisation: str = "") -> tuple[Srn, ...]:
    """The names of whoever asks: a key has one; a federated user that of the application, and that of the seat.

    What a user is called is for another provider to choose, so `%`, `:` and `/` of it are percent-encoded: no user is
    taken for a key, a seat, or a user of another application by a pattern that names one.

    Shape:  the id of a federated identity is `<QUID>:<subject>`.
    Source: docs/contract/web-services.md §3.4

    >>> from matrixhub.model.ids import PropertyId
    >>> ann = Identity(scheme="bearer", id="key_1", name="", property_id=PropertyId("p"), role_id=RoleId("r"))
    >>> principals_of(ann, "ORCHARD")
    ('srn:sciam:ORCHARD:::p:KEY/key_1',)
    """
    start = f"srn:sciam:{organisation}:::{identity.property_id or '*'}"
    federated = identity.scheme == "federated"
    quid, _, user = identity.id.partition(":")
    own = Srn(f"{start}:APP/{quid}/{_in_srn(user)}" if federated else f"{start}:KEY/{identity.id}")
    return (own,) if identity.seat_id is None else (own, Srn(f"{start}:USER/{identity.seat_id}"))


def _in_srn(text: str) -> str:
    """A text as one word of an SRN."""
    return text.replace("%", "%25").replace(":", "%3A").replace("/", "%2F")


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern is the text; `*` stands for any text, none too. It takes time in proportion to both.

    >>> matches("scteams.get*", "scteams.getSettings"), matches("scteams.get", "scteams.getSettings")
    (True, False)
    >>> matches("*.list*By*", "scgrids.listZonesByLevel"), matches("a*a", "a")
    (True, False)
    """
    first, *others = pattern.split("*")
    if not others:
        return pattern == text
    *inner, last = others
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in inner:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def decide(
    request: Request,
    identity: Identity,
    role: Role | None,
    boundary: Role | None = None,
    *,
    now: datetime | None,
    principals: Sequence[Srn] = (),
) -> Decision:
    """Whether the request may pass.

    The property comes first, then the trust of the role, then its statements: a denial overrides, and what nothing
    allows is denied. What a boundary denies is denied as well; it allows nothing.

    Shape:  `role` and `boundary` None are roles that are not there; `now` None is some instant that is not known;
            `principals` are the names of whoever asks, those of `principals_of` where none are given.
    Source: docs/contract/web-services.md §3.4
    """
    if (refused := _before_policies(request, identity, role, boundary)) is not None:
        return refused
    assert role is not None, "looked at before"
    names = principals or principals_of(identity)
    trusted = None
    for number, clause in enumerate(role.document.trust, 1):
        if any(matches(pattern, name) for pattern in clause.principals for name in names):
            if clause.effect == "deny":
                return _distrusted(role, number)
            trusted = clause
    if trusted is None:
        return _untrusted(role, names)
    allowing = ""
    for where, statement in _statements(role):
        if statement.effect == "allow" and allowing:
            continue
        if _counts(statement, request, now):
            if statement.effect == "deny":
                return _denied(role, where)
            allowing = where
    if boundary is not None:
        for where, statement in _statements(boundary):
            if statement.effect == "deny" and _counts(statement, request, now):
                return _denied(boundary, where)
    return _granted(request, role, allowing, now)


def explain(
    request: Request,
    identity: Identity,
    role: Role | None,
    boundary: Role | None = None,
    *,
    now: datetime | None,
    principals: Sequence[Srn] = (),
) -> Explanation:
    """The decision, with every clause of trust and every statement, and what came of each of their conditions."""
    names = tuple(principals or principals_of(identity))
    return Explanation(
        decision=decide(request, identity, role, boundary, now=now, principals=names),
        principals=names,
        trust=[_considered_trust(number, clause, names) for number, clause in enumerate(_trust(role), 1)],
        statements=[_considered(where, s, request, now) for where, s in _statements(role)],
        boundary=[_considered(where, s, request, now) for where, s in _statements(boundary) if s.effect == "deny"],
    )


def depends_on(*roles: Role | None) -> frozenset[str]:
    """What decisions by these roles depend on besides who asks for which operation.

    Shape:  some of `time` (of a request), `age` (of a role that is to be deprecated), `address`, `building`.
    """
    found: set[str] = set()
    for role in roles:
        if role is None:
            continue
        if role.document.status == "PENDING_DEPRECATION":
            found.add("age")
        for _, statement in _statements(role):
            when = statement.when
            if when.ip_in or when.ip_not_in:
                found.add("address")
            if when.not_before or when.not_after or when.hours:
                found.add("time")
            if statement.buildings:
                found.add("building")
    return frozenset(found)


def _before_policies(request: Request, identity: Identity, role: Role | None, boundary: Role | None) -> Decision | None:
    if identity.property_id is not None and request.property_id != identity.property_id:
        return Decision(code="IMPLICIT_DENY", why="the credentials are for another property")
    if role is None:
        return Decision(code="IMPLICIT_DENY", why=f"there is no role {identity.role_id}")
    if identity.boundary_id is not None and boundary is None:
        return Decision(code="IMPLICIT_DENY", why=f"there is no boundary role {identity.boundary_id}")
    return None


def _distrusted(role: Role, number: int) -> Decision:
    why = f"the role {role.id} does not trust whoever asks: trust, clause {number}"
    return Decision(code="TRUST_RELATIONSHIP_VIOLATION_EXPLICIT_DENY", why=why)


def _untrusted(role: Role, names: Sequence[Srn]) -> Decision:
    why = f"no clause of the trust of the role {role.id} names {' or '.join(names)}"
    return Decision(code="TRUST_RELATIONSHIP_VIOLATION_IMPLICIT_DENY", why=why)


def _denied(role: Role, where: str) -> Decision:
    return Decision(code="EXPLICIT_DENY", why=f"the role {role.id} denies it: {where}")


def _granted(request: Request, role: Role, allowing: str, now: datetime | None) -> Decision:
    if not allowing:
        return Decision(code="IMPLICIT_DENY", why=f"the role {role.id} does not allow {request.operation}")
    if role.status_at(now) == "DEPRECATED":
        return Decision(code="IMPLICIT_DENY", why=f"the role {role.id} is deprecated, and allows nothing")
    return Decision(code="ALLOWED", why=f"the role {role.id} allows it: {allowing}")


def _trust(role: Role | None) -> Sequence[TrustClause]:
    return () if role is None else role.document.trust


def _statements(role: Role | None) -> Iterator[tuple[str, Statement]]:
    """Each statement of a role, with where it stands."""
    if role is None:
        return
    for policy_set in role.document.policy_sets:
        for number, statement in enumerate(policy_set.statements, 1):
            said = f"statement {number}" + (f" ({statement.name})" if statement.name else "")
            yield f"policy set {policy_set.name}, {said}", statement


def _counts(statement: Statement, request: Request, now: datetime | None) -> bool:
    """Whether a statement is to be heeded: a permission where all of it holds, a denial unless some of it does not."""
    if not _means(statement, request.operation):
        return False
    results = [check.holds for check in _conditions(statement, request, now)]
    return all(results) if statement.effect == "allow" else False not in results


def _means(statement: Statement, operation: str) -> bool:
    """Whether a statement is about an operation, by whichever of its names."""
    names = _ALL_NAMES.get(operation, (operation,))
    return any(matches(pattern, name) for pattern in statement.operations for name in names)


def _conditions(statement: Statement, request: Request, now: datetime | None) -> Iterator[Check]:
    """What came of each condition of a statement."""
    when = statement.when
    if statement.buildings:
        known = request.building_id is not None
        holds = request.building_id in statement.buildings if known else None
        yield Check(what=f"building {request.building_id or 'not known'} is one of the statement's", holds=holds)
    if when.ip_in or when.ip_not_in:
        address = _address(request.address)
        said = request.address or "not known"
        if when.ip_in:
            inside = _inside(address, when.ip_in) if address is not None else None
            yield Check(what=f"address {said} is in {', '.join(when.ip_in)}", holds=inside)
        if when.ip_not_in:
            outside = not _inside(address, when.ip_not_in) if address is not None else None
            yield Check(what=f"address {said} is not in {', '.join(when.ip_not_in)}", holds=outside)
    if when.not_before is not None:
        holds = None if now is None else now >= when.not_before
        yield Check(what=f"it is {when.not_before.isoformat()} or later", holds=holds)
    if when.not_after is not None:
        holds = None if now is None else now <= when.not_after
        yield Check(what=f"it is {when.not_after.isoformat()} or earlier", holds=holds)
    if when.hours is not None:
        holds = None if now is None else within(when.hours, now)
        hours = when.hours
        days = f", days {' '.join(map(str, hours.days))}" if hours.days != DAYS else ""
        yield Check(what=f"it is {hours.start} to {hours.end} in {hours.time_zone}{days}", holds=holds)


def _considered(where: str, statement: Statement, request: Request, now: datetime | None) -> Considered:
    named = _means(statement, request.operation)
    first = Check(what=f"{request.operation} is {' or '.join(statement.operations)}", holds=named)
    return Considered(
        where=where,
        effect=statement.effect,
        counts=_counts(statement, request, now),
        checks=[first, *_conditions(statement, request, now)],
    )


def _considered_trust(number: int, clause: TrustClause, names: Sequence[Srn]) -> Considered:
    checks = [
        Check(what=f"{' or '.join(names)} is {pattern}", holds=any(matches(pattern, name) for name in names))
        for pattern in clause.principals
    ]
    counts = any(check.holds for check in checks)
    return Considered(where=f"trust, clause {number}", effect=clause.effect, counts=counts, checks=checks)


def within(hours: Hours, now: datetime) -> bool:
    """Whether an instant lies in the hours, by the clocks of their time zone; the end does not belong to them.

    >>> from datetime import UTC
    >>> night = Hours(start="22:00", end="06:00", time_zone="Asia/Singapore", days=(5,))
    >>> within(night, datetime(2024, 3, 8, 16, tzinfo=UTC))  # Saturday, 00:00 in Singapore: it began on Friday
    True
    >>> within(night, datetime(2024, 3, 9, 16, tzinfo=UTC))
    False
    """
    local = now.astimezone(ZoneInfo(hours.time_zone))
    at, start, end = local.hour * 60 + local.minute, minute_of(hours.start), minute_of(hours.end)
    today, yesterday = local.isoweekday() % 7, (local.isoweekday() - 1) % 7
    if start < end:
        return start <= at < end and today in hours.days
    return (at >= start and today in hours.days) or (at < end and yesterday in hours.days)


def minute_of(text: str) -> int:
    """The minute of the day of `HH:MM`; 24:00 is the end of the day. Raises: ValueError.

    >>> minute_of("08:30"), minute_of("24:00")
    (510, 1440)
    """
    hours, minutes = text.split(":")
    if len(hours) != 2 or len(minutes) != 2 or not (hours + minutes).isdecimal() or not text.isascii():
        raise ValueError(text)
    found = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or found > 1440:
        raise ValueError(text)
    return found


@lru_cache(maxsize=4096)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    """The address, None where the text is none; one of version 4 in the clothes of version 6 is one of version 4."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def _inside(address: IPv4Address | IPv6Address, networks: Sequence[str]) -> bool:
    return any(address in network_of(text) for text in networks)


@lru_cache(maxsize=4096)
def network_of(text: str) -> IPv4Network | IPv6Network:
    """The network of an address or a network. Raises: ValueError.

    >>> network_of("10.0.0.0/8"), network_of("192.0.2.7")
    (IPv4Network('10.0.0.0/8'), IPv4Network('192.0.2.7/32'))
    """
    return ip_network(text)


def explanation_document(found: Explanation) -> Mapping[str, Any]:
    """An explanation as JSON, for commands and the REST face alike."""
    return {
        "allowed": found.decision.allowed,
        "code": found.decision.code,
        "why": found.decision.why,
        "principals": list(found.principals),
        "trust": [_considered_document(one) for one in found.trust],
        "statements": [_considered_document(one) for one in found.statements],
        "boundary": [_considered_document(one) for one in found.boundary],
    }


def _considered_document(one: Considered) -> Mapping[str, Any]:
    return {
        "where": one.where,
        "effect": one.effect,
        "counts": one.counts,
        "checks": [{"what": check.what, "holds": check.holds} for check in one.checks],
    }
