"""The line of a reading, taken apart for the store and put together again, to the byte.

What a slot says of place, type and device is the same for thousands of its readings, and the calendar follows from the
instant; so of a reading that has the form in which ingest writes it, only the instant and the values are kept. A line
of any other form is kept as it is.
Source: docs/contract/sensor-data.md §1, docs/decisions/0017-telemetry.md
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import msgspec

from matrixhub.model.errors import UnstorableReading
from matrixhub.model.ids import BuildingId, PropertyId, SlotId, ZoneId
from matrixhub.model.time import RETENTION_S, YEARS, Calendar, calendar, zone

HEADS_MAX = 4096
"""So many calendars that were found right are remembered: in a flood, readings of the same second follow each other."""

QUARTER_S = 900
QUARTERS_MAX = 4096
TWO_DIGITS = tuple(b"%02d" % number for number in range(60))
ZONES_MAX = 256

_encode = msgspec.json.Encoder().encode
_FIRST_MS, _END_MS = 0, (YEARS[-1] - 1970) * 31_556_952_000
_UNIX, _VALUES = b',"unixT":', b',"v":'


@dataclass(frozen=True, slots=True)
class Origin:
    """Where readings come from: all that they have in common as long as nothing of their slot changes.

    `fixed` is what stands in the line between the instant and the values, `aggregates` whether the line has `AGG`.
    """

    property_id: PropertyId
    building_id: BuildingId
    zone_id: ZoneId
    slot_id: SlotId
    devtype: str
    time_zone: str
    aggregates: bool
    fixed: str


class KeptReading(msgspec.Struct, frozen=True, gc=False):
    """A reading as it is kept: `values` is its `v`; `line` is the whole line where it cannot be made from the rest.

    `values` and `stats` are JSON that can be looked into, or None. A struct, for it is made in a tenth of the time that
    a frozen dataclass takes, and fifty thousand are made a second.
    """

    origin: Origin
    instant_ms: int
    values: str | None
    stats: str | None = None
    line: str | None = None


_NO_STATS = msgspec.Raw()


class _Line(msgspec.Struct):
    """What every reading must say."""

    DEVID: str
    DevType: str
    PID: str
    PropId: str
    InsID: str
    Region: str
    unixT: int  # noqa: N815 - the spelling of the wire
    v: msgspec.Raw
    stats: msgspec.Raw = _NO_STATS


_read_line = msgspec.json.Decoder(_Line).decode
_read_any = msgspec.json.Decoder().decode


class Splitter:
    """Takes lines apart, and remembers what their origins look like; at most `origins_max` of them."""

    def __init__(self, *, origins_max: int = 50_000) -> None:
        self._origins_max = origins_max
        self._known: dict[bytes, Origin] = {}
        self._head_end = 0
        self._heads: dict[bytes, tuple[int, str, bool]] = {}

    def split(self, line: bytes, *, carefully: bool = False) -> KeptReading:
        """The reading as it is kept. With `carefully`, nothing is taken from its looks. Raises: UnstorableReading.

        >>> head = render_calendar(calendar(1710029109417, ZoneInfo("Asia/Singapore")))
        >>> tail = b'"DEVID":"d","DevType":"X#Y","PID":"b","PropId":"p","InsID":"z","v":{"count":3}}'
        >>> kept = Splitter().split(head + b',"unixT":1710029109417,"Region":"Asia/Singapore",' + tail)
        >>> kept.instant_ms, kept.values, kept.line, kept.origin.zone_id
        (1710029109417, '{"count":3}', None, 'z')
        """
        if not carefully:
            found = self.quickly(line)
            if found is not None:
                return found
        return self._carefully(line)

    def quickly(self, line: bytes) -> KeptReading | None:
        """A line that looks as ingest writes it, of an origin that is known, with values that hold no object; None for
        any other.
        """
        head_end = self._head_end  # as long as that of the line before, more often than not
        number_at = head_end + len(_UNIX)
        if line[head_end:number_at] != _UNIX:
            self._head_end = head_end = line.find(_UNIX)
            number_at = head_end + len(_UNIX)
        fixed_at = line.find(b",", number_at) + 1
        values_at = line.find(b"{", fixed_at)
        origin = self._known.get(line[fixed_at : values_at - len(_VALUES)])
        # One closing brace before that of the line: `v` ends with it, and nothing, such as `stats`, stands behind.
        if origin is None or line.find(b"}", values_at) != len(line) - 2 or line[-1:] != b"}":
            return None
        number, values = line[number_at : fixed_at - 1], line[values_at:-1]
        if line[values_at - len(_VALUES) : values_at] != _VALUES or b"\\" in values or not number.isdigit():
            return None
        instant_ms = int(number)
        second, head = instant_ms // 1000, line[:head_end]
        known = self._heads.get(head)
        if known is None or known[0] != second or known[1] != origin.time_zone or known[2] != origin.aggregates:
            if not _FIRST_MS <= instant_ms < _END_MS:
                return None
            if head_renderer(origin.time_zone, origin.aggregates)(second) != head:
                return None
            if len(self._heads) >= HEADS_MAX:
                self._heads.clear()
            self._heads[head] = (second, origin.time_zone, origin.aggregates)
        try:
            return KeptReading(origin, instant_ms, values.decode())
        except UnicodeDecodeError:
            return None

    def _carefully(self, line: bytes) -> KeptReading:
        try:
            read, text = _read_line(line), line.decode()
            values, stats = bytes(read.v).decode(), None if read.stats is _NO_STATS else bytes(read.stats).decode()
            zone(read.Region)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise UnstorableReading(f"not a reading in the general format: {error}") from error
        if not _FIRST_MS <= read.unixT < _END_MS:
            raise UnstorableReading(f"unixT is {read.unixT}, which is no time of a reading")
        names = (read.DEVID, read.DevType, read.PID, read.PropId, read.InsID)
        if not all(names) or any("\x00" in name for name in names):
            raise UnstorableReading("an id is empty, or has a character that no id has")
        fixed = line.partition(_UNIX)[2].partition(b",")[2].partition(_VALUES)[0]
        origin = self._origin(read, fixed)
        made = KeptReading(origin, read.unixT, values, stats)
        # Whether PostgreSQL could take the text as JSON is asked of what is known to break it, and only that.
        searchable = _is_searchable(values) and (stats is None or _is_searchable(stats))
        if searchable and render_line(made) == line:
            if len(self._known) >= self._origins_max:
                self._known.clear()
            self._known[fixed] = origin
            return made
        kept = values if _is_searchable(values) else None
        return KeptReading(self._plain_origin(read), read.unixT, kept, None, text)

    def _origin(self, read: _Line, fixed: bytes) -> Origin:
        aggregates = b',"ID":"' in fixed
        return Origin(
            property_id=PropertyId(read.PropId),
            building_id=BuildingId(read.PID),
            zone_id=ZoneId(read.InsID),
            slot_id=SlotId(read.DEVID),
            devtype=read.DevType,
            time_zone=read.Region,
            aggregates=aggregates,
            fixed=fixed.decode(),
        )

    def _plain_origin(self, read: _Line) -> Origin:
        """The origin of a line that is kept whole: nothing is made from its text."""
        names = {name: getattr(read, name) for name in ("Region", "DEVID", "DevType", "PID", "PropId", "InsID")}
        return self._origin(read, _encode(names)[1:-1])


def _is_searchable(text: str) -> bool:
    """Whether PostgreSQL can look into JSON: it knows neither NUL nor half of a character.

    >>> _is_searchable('{"a":"\\\\u0041"}'), _is_searchable('{"a":"\\\\u0000"}'), _is_searchable('{"a":"\\\\ud800"}')
    (True, False, False)
    """
    if not text.startswith("{"):
        return False
    try:
        found = _encode(_read_any(text)) if "\\u" in text or text.count("{") > 1 else b""
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return b"\\u0000" not in found


def render_line(kept: KeptReading) -> bytes:
    """The line of a reading, to the byte as it was stored in the stream."""
    if kept.line is not None:
        return kept.line.encode()
    origin = kept.origin
    head = head_renderer(origin.time_zone, origin.aggregates)(kept.instant_ms // 1000)
    return join_line(head, kept.instant_ms, origin.fixed.encode(), kept.values or "", kept.stats)


def join_line(head: bytes, instant_ms: int, fixed: bytes, values: str, stats: str | None) -> bytes:
    """The parts of a line, put together."""
    if stats is None:
        return b'%b,"unixT":%d,%b,"v":%b}' % (head, instant_ms, fixed, values.encode())
    return b'%b,"unixT":%d,%b,"v":%b,"stats":%b}' % (head, instant_ms, fixed, values.encode(), stats.encode())


def render_calendar(found: Calendar) -> bytes:
    """The calendar fields, from the opening brace of the object on."""
    return _encode(
        {
            "t": found.t,
            "time": found.time,
            "dow": found.dow,
            "month": found.month,
            "dom": found.dom,
            "hour": found.hour,
            "minute": found.minute,
            "utc": found.utc,
            "unix": found.utc,
            "expire_at": found.expire_at,
        }
    )[:-1]


def render_aggregated(found: Calendar) -> bytes:
    """The same with `AGG`."""
    return render_calendar(found) + b',"AGG":"%b"' % found.t.encode()


@functools.lru_cache(maxsize=ZONES_MAX)
def head_renderer(time_zone: str, aggregates: bool) -> Callable[[int], bytes]:
    """A function from epoch seconds to the calendar fields of a line, which is quick where seconds do not repeat.

    Within a quarter of an hour only minute and second change, save where the clock of the zone is moved: the rest is
    made once and remembered.
    """
    tz = zone(time_zone)
    render = render_aggregated if aggregates else render_calendar
    parts: dict[int, Callable[[int], bytes] | None] = {}

    def rendered(second: int) -> bytes:
        quarter = second // QUARTER_S
        try:
            part = parts[quarter]
        except KeyError:
            if len(parts) >= QUARTERS_MAX:
                parts.clear()
            part = parts[quarter] = _quarter(quarter * QUARTER_S, tz, aggregates=aggregates)
        return part(second) if part is not None else render(calendar(second * 1000, tz))

    return rendered


def _quarter(start: int, tz: ZoneInfo, *, aggregates: bool) -> Callable[[int], bytes] | None:
    """What renders the seconds of a quarter of an hour; None where the local clock is not simply ahead of its start."""
    first, last = calendar(start * 1000, tz), calendar((start + QUARTER_S - 1) * 1000, tz)
    base = int(first.minute)
    if first.time[19:] != last.time[19:] or first.time[17:19] != "00" or base + 14 != int(last.minute):
        return None
    date, day = first.t[:10], first.time[:14]
    text = (
        f'{{"t":"{date}%b%b","time":"{day}%b:%b{first.time[19:]}","dow":"{first.dow}","month":"{first.month}",'
        f'"dom":"{first.dom}","hour":"{first.hour}","minute":"%b","utc":%d,"unix":%d,"expire_at":%d'
    ).encode()
    if aggregates:
        text += f',"AGG":"{date}%b%b"'.encode()

    def rendered(second: int) -> bytes:
        minutes, seconds = divmod(second - start, 60)
        minute, sec = TWO_DIGITS[base + minutes], TWO_DIGITS[seconds]
        if aggregates:
            return text % (minute, sec, minute, sec, minute, second, second, second + RETENTION_S, minute, sec)
        return text % (minute, sec, minute, sec, minute, second, second, second + RETENTION_S)

    return rendered
