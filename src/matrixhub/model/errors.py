"""Every error the hub reports, as one tree.

    MatrixHubError
    ├── ConfigurationError   MH-C…   the operator's settings or files are wrong
    ├── RecordedDataError    MH-C004  a line of recorded data cannot be read
    ├── EngineError          MH-E…   PostgreSQL or NATS cannot be started or reached
    ├── RequestError         MH-R…   a whole request cannot be taken
    ├── ItemRefused          MH-I…   one reading of a request cannot be taken; the others can
    ├── BusError             MH-B…   the stream did not take or give a message
    ├── StoreError           MH-S…   PostgreSQL did not take or give a row
    ├── DeliveryError        MH-D…   a push did not reach its destination, or could not be sent
    ├── HostingRefused       MH-D013  the server cannot hold databases of customers safely
    └── DatabaseBusy         MH-D014  somebody else is at work on the database

Codes are never reused. `wire_code` is what Matrix Web Services call it (docs/contract/workforce.md §1). `retry_helps`
says whether the same call may succeed later without a change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

Denial = Literal[
    "IMPLICIT_DENY",
    "EXPLICIT_DENY",
    "TRUST_RELATIONSHIP_VIOLATION_IMPLICIT_DENY",
    "TRUST_RELATIONSHIP_VIOLATION_EXPLICIT_DENY",
]
"""Why something is denied, in the words of the wire. Source: docs/contract/web-services.md §4"""


class MatrixHubError(Exception):
    """Something went wrong in the hub."""

    code = "MH-0000"
    status = 500
    wire_code = "failure"
    retry_helps = False

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])

    @property
    def message(self) -> str:
        """The text a person reads."""
        return str(self.args[0])


class ConfigurationError(MatrixHubError):
    """The configuration is wrong."""

    code = "MH-C001"
    status = 422


class SiteFileError(ConfigurationError):
    """The site file is wrong."""

    code = "MH-C002"

    def __init__(self, message: str = "", *, path: str = "", line: int | None = None, field: str = "") -> None:
        self.path, self.line, self.field = path, line, field
        where = f"{path}:{line}" if line is not None else path
        what = f"{field}: {message}" if field else message
        super().__init__(f"{where}: {what}" if where else what)


class MappingFileError(ConfigurationError):
    """The mapping file of a replay is wrong."""

    code = "MH-C003"


class RecordedDataError(MatrixHubError):
    """A line of the recorded data cannot be read."""

    code = "MH-C004"
    status = 422

    def __init__(self, message: str, *, path: str = "", line: int = 0) -> None:
        self.path, self.line = path, line
        super().__init__(f"{path}:{line}: {message}")


class EngineError(MatrixHubError):
    """An engine cannot be started or reached."""

    code = "MH-E001"
    status = 503
    retry_helps = True


class DataDirectoryBusy(EngineError):
    """Another hub is running on this data directory."""

    code = "MH-E002"
    status = 409


class HubNotRunning(EngineError):
    """No hub is running on this data directory."""

    code = "MH-E003"


class PortInUse(EngineError):
    """The wanted port is in use by another program."""

    code = "MH-E004"
    status = 409


class RequestError(MatrixHubError):
    """The request cannot be taken."""

    code = "MH-R001"
    status = 400


class MalformedBody(RequestError):
    """The body is not JSON, a JSON array or NDJSON in UTF-8."""

    code = "MH-R002"


class BodyTooLarge(RequestError):
    """The body is larger than the limit."""

    code = "MH-R003"
    status = 413


class TooManyReadings(RequestError):
    """The request holds more readings than the limit."""

    code = "MH-R004"
    status = 413


class UnsupportedEncoding(RequestError):
    """The Content-Encoding is none of identity, gzip and zstd."""

    code = "MH-R005"
    status = 415


class Unauthorised(RequestError):
    """Valid credentials are needed, such as `Authorization: Bearer mhk_…`."""

    code = "MH-R006"
    status = 401
    wire_code = "TOKEN_INVALID"


class Overloaded(RequestError):
    """The hub cannot store readings right now; send the same readings again."""

    code = "MH-R007"
    status = 503
    retry_helps = True


class NotFound(RequestError):
    """There is no such thing."""

    code = "MH-R008"
    status = 404


class Conflict(RequestError):
    """The thing exists already, or was changed meanwhile."""

    code = "MH-R009"
    status = 409


class InvalidValue(RequestError):
    """A value is not allowed here.

    `fields` names what is wrong in a document, by path such as `auth.password`, each with a text that quotes no secret.
    """

    code = "MH-R010"
    status = 422

    def __init__(self, message: str = "", *, fields: Sequence[tuple[str, str]] = ()) -> None:
        self.fields = tuple(fields)
        super().__init__(message)


class WrongMethod(RequestError):
    """The path does not take this method."""

    code = "MH-R011"
    status = 405


class VersionMismatch(RequestError):
    """The thing was changed meanwhile: its version is not the one in If-Match."""

    code = "MH-R012"
    status = 412


class KeyReused(RequestError):
    """The Idempotency-Key was used before for another request."""

    code = "MH-R013"
    status = 422


class Forbidden(RequestError):
    """The key may not do this."""

    code = "MH-R014"
    status = 403


class Gone(RequestError):
    """The thing was there, but is no longer kept."""

    code = "MH-R015"
    status = 410


class UnsupportedType(RequestError):
    """The Content-Type is not one that the path takes."""

    code = "MH-R016"
    status = 415


class LimitViolated(RequestError):
    """A quota is exceeded."""

    code = "MH-R017"
    wire_code = "LIMIT_VIOLATED"


class RateExceeded(LimitViolated):
    """More than the quota allows in a time; `retry_after_s` says when the same may be taken."""

    code = "MH-R018"
    status = 429
    retry_helps = True

    def __init__(self, message: str = "", *, retry_after_s: float = 0.0) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class MissingParameters(RequestError):
    """A mandatory parameter is missing."""

    code = "MH-R019"
    wire_code = "MISSING_PARAMETERS"


class WrongParameters(RequestError):
    """A value lies outside the defined set."""

    code = "MH-R020"
    wire_code = "WRONG_PARAMETERS"


class QueryTooLong(RequestError):
    """More was asked for than one query may return."""

    code = "MH-R021"
    wire_code = "QUERY_LENGTH_EXCEEDED"


class WrongState(Conflict):
    """The thing is not in a state in which this can be done."""

    code = "MH-R022"
    wire_code = "WRONG_PARAMETERS"


class NameTaken(Conflict):
    """Another thing of the same kind has that name."""

    code = "MH-R023"
    wire_code = "WRONG_PARAMETERS"


class DatabaseNotReady(RequestError):
    """A customer's database cannot be written to as it is, so nothing is to lead to it yet."""

    code = "MH-D015"
    status = 409
    retry_helps = True


class ApplyNotAllowed(RequestError):
    """The hub was not allowed to make its schema in a customer's database."""

    code = "MH-D016"
    status = 409


class BackfillUnderWay(Conflict):
    """A backfill of the same data is not over yet."""

    code = "MH-R038"


class UnknownOperation(RequestError):
    """There is no such operation."""

    code = "MH-R024"
    status = 404
    wire_code = "UNKNOWN_OPERATION"


class AccessDenied(Forbidden):
    """Nothing allows whoever asks to do this, or something forbids it; `reason` is one of the four published codes."""

    code = "MH-R025"

    def __init__(self, message: str = "", *, reason: Denial = "IMPLICIT_DENY") -> None:
        self.reason = reason
        self.wire_code = reason
        super().__init__(message)


class MalformedForm(RequestError):
    """The body is not a form that can be read."""

    code = "MH-R035"


class NotAcceptable(RequestError):
    """It cannot be had as any of the types that the request accepts."""

    code = "MH-R036"
    status = 406


class TooManyExports(RateExceeded):
    """So many exports are under way that there is no turn for another one now."""

    code = "MH-R037"


class TooOften(RateExceeded):
    """Whoever asks does so more often than it may."""

    code = "MH-R026"


class TooManyWrong(RateExceeded):
    """There were too many wrong credentials; these are not looked at for now."""

    code = "MH-R027"


class SignatureUsed(Unauthorised):
    """The same request was made before with the same signature."""

    code = "MH-R028"


class FederatedTokenRefused(Unauthorised):
    """The token of the identity provider is not good here."""

    code = "MH-R032"


class IdentityProviderAway(RequestError):
    """The keys of the identity provider cannot be had now, so that nothing it signed can be verified."""

    code = "MH-R033"
    status = 503
    retry_helps = True


class SystemRole(Conflict):
    """The role is one of those that every property has, which cannot be changed."""

    code = "MH-R029"


class RoleInUse(Conflict):
    """The role is still given to somebody."""

    code = "MH-R030"


class MemberTaken(Conflict):
    """A member is in another group of users already; everybody has one role."""

    code = "MH-R031"


class ItemRefused(MatrixHubError):
    """A reading cannot be taken."""

    code = "MH-I000"
    status = 422


class MalformedReading(ItemRefused):
    """The reading is not an object with `DEVID` and `v`."""

    code = "MH-I001"


class UnknownSlot(ItemRefused):
    """No device slot of this property has that id."""

    code = "MH-I002"


class BadValue(ItemRefused):
    """An attribute of `v` has the wrong type or lies outside its range."""

    code = "MH-I003"


class BadTime(ItemRefused):
    """The time of the reading cannot be read."""

    code = "MH-I004"


class AbsurdTime(ItemRefused):
    """The time of the reading is absurdly far off."""

    code = "MH-I005"


class NoValues(ItemRefused):
    """The reading has none of the attributes of its device type."""

    code = "MH-I006"


class WrongDeviceType(ItemRefused):
    """The reading names another device type than its slot."""

    code = "MH-I007"


class ReadingTooLarge(ItemRefused):
    """The reading is larger than a stream message may be."""

    code = "MH-I008"


class BusError(MatrixHubError):
    """The stream cannot be reached."""

    code = "MH-B001"
    status = 503
    retry_helps = True


class StreamFull(BusError):
    """The stream has reached its size limit and takes nothing more."""

    code = "MH-B002"
    status = 507


class ForeignMessage(BusError):
    """The stream of events holds a message that the hub has not written."""

    code = "MH-B003"
    status = 500
    retry_helps = False


class StoreError(MatrixHubError):
    """The database cannot be reached."""

    code = "MH-S001"
    status = 503
    retry_helps = True


class LeaseLost(StoreError):
    """Another worker owns the subscription now."""

    code = "MH-S002"
    status = 409
    retry_helps = False


class UnstorableReading(StoreError):
    """A line of the stream is no reading that the store can keep."""

    code = "MH-S003"
    status = 422
    retry_helps = False


class StoreBusy(StoreError):
    """The database is busy with long queries of others."""

    code = "MH-S004"


class DeliveryError(MatrixHubError):
    """A push did not reach its destination."""

    code = "MH-D001"
    status = 502
    retry_helps = True


class DestinationUnreachable(DeliveryError):
    """No connection to the destination: name, network, TLS or time-out."""

    code = "MH-D002"


class DestinationRefused(DeliveryError):
    """The destination answered with something else than 2xx.

    `answer` is the beginning of what it said, `failed` the items it named as wrong, by index, with its reasons.
    """

    code = "MH-D003"

    def __init__(
        self,
        message: str = "",
        *,
        http_status: int = 0,
        retry_after_s: float | None = None,
        answer: str = "",
        failed: Mapping[int, str] | None = None,
    ) -> None:
        self.http_status, self.retry_after_s = http_status, retry_after_s
        self.answer, self.failed = answer, failed or {}
        super().__init__(message)


class EgressRefused(DeliveryError):
    """The destination lies where pushes may not go without leave."""

    code = "MH-D004"

    def __init__(
        self, message: str = "", *, host: str = "", address: str = "", reason: str = "", property_id: str = ""
    ) -> None:
        self.host, self.address, self.reason = host, address, reason
        if not message and address:
            what = address if host == address else f"{host} is {address}, which"
            message = (
                f"{what} is not pushed to ({reason}); where it is meant, allow it: "
                f"matrixhub egress allow --property {property_id or 'PROPERTY'} {address}"
            )
        super().__init__(message)


class DatabaseFault(DestinationUnreachable):
    """A customer's database cannot be written to. `step` is what is not right: reach, tls, login, rights or schema."""

    code = "MH-D010"

    def __init__(self, message: str = "", *, step: str = "reach") -> None:
        super().__init__(message)
        self.step = step


class DatabaseUnknown(DeliveryError):
    """Where a customer's database is cannot be found out now; it was not asked."""

    code = "MH-D011"


class RowsRefused(DestinationRefused):
    """A customer's database refuses more rows of a push than can be told apart in time; it is sent in parts."""

    code = "MH-D012"


class HostingRefused(MatrixHubError):
    """The server cannot hold databases of customers safely; `missing` says what has to be done for it, one by one."""

    code = "MH-D013"
    status = 409

    def __init__(self, message: str = "", *, missing: Sequence[str] = ()) -> None:
        self.missing = tuple(missing)
        super().__init__(message)


class DatabaseBusy(MatrixHubError):
    """The database is being made, changed or dropped by somebody else, or was not finished."""

    code = "MH-D014"
    status = 409
    retry_helps = True


class TokenFault(DeliveryError):
    """No access token could be had; the destination was not asked."""

    code = "MH-D005"

    def __init__(self, message: str = "", *, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class TokenRefused(TokenFault):
    """The token server refused the client: its id, secret or scope is wrong."""

    code = "MH-D006"


class ReauthorisationNeeded(TokenFault):
    """The refresh token is no longer good; someone must agree anew, and everything is kept until then."""

    code = "MH-D007"
    retry_helps = False
