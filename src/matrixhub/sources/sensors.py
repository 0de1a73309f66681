"""The simulated devices: what each type makes of the room it hangs in.

Each class is one or more rows of `model.devices.DEVICE_TYPES`; `SENSORS` at the end says which. `values` gives a `v`
that leaves `normal_values` unchanged: numbers without a fraction are integers, strings stay strings (Q1, Q2).
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from matrixhub.model.devices import GOOD_THRESHOLD, LIGHT_LEVELS, MAX_RATING, Json, parameter
from matrixhub.model.ids import stable_hex_id
from matrixhub.model.site import Slot
from matrixhub.sources.rooms import Room

Values = dict[str, Json]


class Sensor(ABC):
    """A device in its slot. `last_ms` is the instant of its last reading."""

    __slots__ = ("last_ms", "rng", "room", "slot_id")
    interval_s: ClassVar[float] = 60.0

    def __init__(self, slot: Slot, room: Room, rng: random.Random) -> None:
        self.slot_id = str(slot.id)
        self.room = room
        self.rng = rng
        self.last_ms = room.at_ms - 1

    def wait_s(self) -> float:
        """How long until the next report: the interval of the type, a tenth more or less."""
        return self.interval_s * (0.9 + 0.2 * self.rng.random())

    @abstractmethod
    def values(self, now_ms: int) -> Values:
        """The `v` of a report at the instant; the room has been advanced to it, `last_ms` not yet."""


class PeopleCounter(Sensor):
    """People in and out since the last report."""

    __slots__ = ()
    interval_s = 30.0

    def values(self, now_ms: int) -> Values:
        came, went = self.room.count_passages()
        return {"count": came, "out_count": went}


class UsageMonitor(Sensor):
    """Motion, in and out alike: it over-counts (Q13). Battery millivolts and a running number, both strings (Q2)."""

    __slots__ = ("battery_mv", "running", "seen")

    def __init__(self, slot: Slot, room: Room, rng: random.Random) -> None:
        super().__init__(slot, room, rng)
        self.battery_mv = rng.uniform(2750, 3000)
        self.running = rng.randrange(1000, 9000)
        self.seen = 0

    def values(self, now_ms: int) -> Values:
        passages = self.room.arrived + self.room.left
        count, self.seen = passages - self.seen, passages
        self.running += count
        self.battery_mv -= (now_ms - self.last_ms) / 86_400_000 * 1.1 + 0.004 * count
        if self.battery_mv < 2400 and self.room.clock.staffed:
            self.battery_mv = 3000.0
        return {"b": str(int(self.battery_mv)), "count": count, "u": str(self.running)}


class FeedbackTablet(Sensor):
    """A visitor's opinion: stars follow the cleanliness of the room, and bad ones have reasons (Q7, Q8, Q9)."""

    __slots__ = ("best", "config_id", "good")
    interval_s = 900.0
    NAMES = ("Excellent", "Good", "Average", "Bad", "Very bad")
    REASONS = ("Wet floor", "No soap", "No toilet paper", "Bad smell", "Bin full", "Dirty basin")

    def __init__(self, slot: Slot, room: Room, rng: random.Random) -> None:
        super().__init__(slot, room, rng)
        self.best = max(2, parameter(slot.parameters, "MaxRating", MAX_RATING))
        self.good = parameter(slot.parameters, "GoodThreshold", GOOD_THRESHOLD)
        self.config_id = stable_hex_id("feedback configuration", self.slot_id)

    def wait_s(self) -> float:
        """Opinions come when visitors do: a few an hour at noon, hardly any at night."""
        return min(7200.0, 20 + self.rng.expovariate(max(0.02, self.room.activity) / self.interval_s))

    def values(self, now_ms: int) -> Values:
        room, best = self.room, self.best
        liking = 1 - 0.8 * room.dirt - (0.35 if room.wet_pct else 0.0)
        stars = min(best, max(1, round(self.rng.gauss(1 + liking * (best - 1), 0.18 * best))))
        rating = best + 1 - stars
        negative = stars < self.good
        name = self.NAMES[(rating - 1) * (len(self.NAMES) - 1) // (best - 1)]
        v: Values = {"c": self.config_id, "n": int(negative), "nm": name, "rating": rating, "s": stars}
        if negative:
            v["reasons"] = self._reasons()
        v["type"] = "DEFECT" if negative else "FEEDBACK"
        return v

    def _reasons(self) -> Values:
        first = 0 if self.room.wet_pct else self.rng.randrange(len(self.REASONS))
        picked = [first] if self.rng.random() < 0.6 else sorted({first, self.rng.randrange(len(self.REASONS))})
        return {f"ID_{i + 1}": {"ID": str(i + 1), "Name": self.REASONS[i], "selector": i + 1} for i in picked}


class Level(Sensor):
    """What is left of something that visitors use up and staff fills again; for a bin, the room left in it (Q10)."""

    __slots__ = ("left_pct", "seen")
    interval_s = 600.0
    use_pct: ClassVar[float] = 0.3
    height_mm: ClassVar[int] = 150
    low_pct: ClassVar[float] = 15.0
    staff_min: ClassVar[float] = 25.0

    def __init__(self, slot: Slot, room: Room, rng: random.Random) -> None:
        super().__init__(slot, room, rng)
        self.left_pct = rng.uniform(25, 100)
        self.seen = 0

    def values(self, now_ms: int) -> Values:
        self._fill_if_low((now_ms - self.last_ms) / 60_000)
        used, self.seen = self.room.left - self.seen, self.room.left
        if used:
            spent_pct = used * self.room.pattern.users * self.use_pct * self.rng.uniform(0.6, 1.4)
            self.left_pct = max(0.0, self.left_pct - spent_pct)
        return {"p": tidy(self.left_pct, 1), "d": 20 + round(self.height_mm * (1 - self.left_pct / 100))}

    def _fill_if_low(self, minutes: float) -> None:
        if self.left_pct >= self.low_pct or not self.room.clock.staffed:
            return
        if self.rng.random() < 1 - math.exp(-minutes / self.staff_min):
            self.left_pct = self.rng.uniform(95, 100)


class ToiletRoll(Level):
    """A toilet-roll dispenser."""

    __slots__ = ()
    use_pct = 0.42
    height_mm = 110


class PaperTowel(Level):
    """A paper-towel box."""

    __slots__ = ()
    use_pct = 0.55
    height_mm = 190


class Soap(Level):
    """A soap dispenser."""

    __slots__ = ()
    use_pct = 0.25
    height_mm = 140


class Bin(Level):
    """A bin; `p` is how empty it is, and it is emptied earlier than it is full."""

    __slots__ = ()
    use_pct = 0.40
    height_mm = 520
    low_pct = 20.0
    staff_min = 40.0


class SpillDetector(Sensor):
    """A camera that sees wet floor."""

    __slots__ = ()
    interval_s = 30.0

    def values(self, now_ms: int) -> Values:
        wet = self.room.wet_pct
        return {"value": int(wet > 0), "AreaP": tidy(wet, 2)}


class AirWired(Sensor):
    """Ammonia, VOC and nitrogen dioxide in ppm, each with a prediction and a score; `rssi` is a string (Q1)."""

    __slots__ = ("expected", "signal")
    SPREADS = (0.03, 0.02, 0.03)

    def __init__(self, slot: Slot, room: Room, rng: random.Random) -> None:
        super().__init__(slot, room, rng)
        self.expected = [0.1, 0.15, 0.55]
        self.signal = rng.uniform(-78, -45)

    def values(self, now_ms: int) -> Values:
        room, gauss = self.room, self.rng.gauss
        measured = (room.ammonia_ppm, room.voc_mg_m3 * 1.2, 0.55 + 0.08 * room.activity)
        part = 1 - math.exp(-(now_ms - self.last_ms) / 5_400_000)
        v: Values = {"rssi": str(round(self.signal + gauss(0, 2)))}
        for i, (key, spread) in enumerate(zip(("amm", "alc", "no2"), self.SPREADS, strict=True)):
            value = abs(measured[i] + gauss(0, spread / 4))
            expected = self.expected[i]
            v[f"{key}_expected"] = tidy(expected, 3)
            v[f"{key}_zscore"] = tidy((value - expected) / spread, 3)
            v[key] = tidy(value, 3)
            self.expected[i] = expected + (value - expected) * part
        return v


class AirLite(Sensor):
    """Ammonia in ppb (Q5), an index, and humidity and temperature in tenths (Q6)."""

    __slots__ = ()
    interval_s = 300.0

    def values(self, now_ms: int) -> Values:
        room, gauss = self.room, self.rng.gauss
        index = 22 + 190 * room.voc_mg_m3 + 110 * room.ammonia_ppm + gauss(0, 3)
        return {
            "amm": max(0, round(room.ammonia_ppm * 1000 + gauss(0, 6))),
            "aqi": min(500, max(1, round(index))),
            "rh": min(1000, max(0, round(room.humidity_pct * 10 + gauss(0, 4)))),
            "temp": round(room.temperature_c * 10 + gauss(0, 1)),
        }


class AirTenInOne(Sensor):
    """Everything about the air of a room, unscaled."""

    __slots__ = ("pressure",)

    def __init__(self, slot: Slot, room: Room, rng: random.Random) -> None:
        super().__init__(slot, room, rng)
        self.pressure = rng.uniform(1004, 1016)

    def values(self, now_ms: int) -> Values:
        room, gauss = self.room, self.rng.gauss
        self.pressure += (1010 - self.pressure) * 0.002 + gauss(0, 0.05)
        dust = 7 + 0.8 * room.people + abs(gauss(0, 1.5))
        return {
            "temperature": tidy(room.temperature_c + gauss(0, 0.08), 1),
            "humidity": percent(room.humidity_pct + gauss(0, 0.5), 1),
            "light_level": light_level(self._lux()),
            "co2": round(room.co2_ppm + gauss(0, 6)),
            "pir_trigger": int(self.rng.random() < 1 - 0.5 ** min(room.people, 20)),
            "tvoc": tidy(abs(room.voc_mg_m3 + gauss(0, 0.01)), 2),
            "pressure": tidy(self.pressure, 1),
            "hcho": tidy(0.01 + 0.03 * room.voc_mg_m3 + abs(gauss(0, 0.003)), 3),
            "pm_25": round(dust),
            "pm_10": round(dust * 1.3 + 1),
        }

    def _lux(self) -> float:
        """Daylight through the windows, and lamps while somebody is there."""
        daylight = max(0.0, self.room.clock.warmth) * 60
        return daylight + (180 if self.room.people else 0) * self.rng.uniform(0.8, 1.2)


class Occupancy(Sensor):
    """Whether a place is taken. It follows how many people there are for the places of the room."""

    __slots__ = ("occupied",)
    occupied_value: ClassVar[int] = 0
    settle_min: ClassVar[float] = 4.0

    def __init__(self, slot: Slot, room: Room, rng: random.Random) -> None:
        super().__init__(slot, room, rng)
        self.occupied = False
        room.places += 1

    def occ(self, now_ms: int) -> int:
        """The value on the wire: 0 is occupied for the enclosed types, 1 for the open area (Q4)."""
        rng = self.rng
        if rng.random() < 1 - math.exp(-(now_ms - self.last_ms) / 60_000 / self.settle_min):
            self.occupied = rng.random() < min(0.95, 0.6 * self.room.people / self.room.places)
        return self.occupied_value if self.occupied else 1 - self.occupied_value

    def values(self, now_ms: int) -> Values:
        return {"occ": self.occ(now_ms)}


class CubicleOne(Occupancy):
    """An enclosed place, with the radio's extras (Q3)."""

    __slots__ = ("battery_pct", "source")

    def __init__(self, slot: Slot, room: Room, rng: random.Random) -> None:
        super().__init__(slot, room, rng)
        self.battery_pct = rng.uniform(55, 100)
        self.source = f"gw{rng.randrange(1, 20):02d}:{rng.randrange(16**6):06x}"

    def values(self, now_ms: int) -> Values:
        self.battery_pct = max(1.0, self.battery_pct - (now_ms - self.last_ms) / 86_400_000 * 0.2)
        return {
            "C": "1",
            "Disass": "0",
            "Src": self.source,
            "batt": round(self.battery_pct),
            "rssi": round(self.rng.gauss(-68, 3)),
            "occ": self.occ(now_ms),
        }


class CubicleTwo(Occupancy):
    """An enclosed place of the second maker."""

    __slots__ = ()

    def values(self, now_ms: int) -> Values:
        return {"b": "0", "occ": self.occ(now_ms)}


class Desk(Occupancy):
    """A seat in the open: here 1 is occupied."""

    __slots__ = ()
    occupied_value = 1
    settle_min = 45.0


class TreeTilt(Sensor):
    """The lean of a tree: it sways a little, more in a storm, and a storm may leave it leaning."""

    __slots__ = ("battery_pct", "lean")
    interval_s = 600.0

    def __init__(self, slot: Slot, room: Room, rng: random.Random) -> None:
        super().__init__(slot, room, rng)
        self.battery_pct = rng.uniform(70, 100)
        self.lean = [rng.uniform(-0.8, 0.8) for _ in range(3)]

    def values(self, now_ms: int) -> Values:
        stormy, gauss = self.room.clock.is_stormy(now_ms), self.rng.gauss
        sway, creep = (2.5, 0.06) if stormy else (0.12, 0.004)
        self.lean = [x * 0.9995 + gauss(0, creep) for x in self.lean]
        self.battery_pct = max(1.0, self.battery_pct - (now_ms - self.last_ms) / 86_400_000 * 0.05)
        x, y, z = (tidy(max(-90.0, min(90.0, lean + gauss(0, sway))), 2) for lean in self.lean)
        return {"Tb": "none", "Xt": x, "Yt": y, "Zt": z, "v": round(self.battery_pct)}


class Climate(Sensor):
    """Temperature and humidity."""

    __slots__ = ()
    interval_s = 120.0

    def values(self, now_ms: int) -> Values:
        room, gauss = self.room, self.rng.gauss
        return {
            "t": tidy(room.temperature_c + gauss(0, 0.05), 2),
            "h": percent(room.humidity_pct + gauss(0, 0.3), 2),
        }


SENSORS: Mapping[str, type[Sensor]] = {
    "SMARTCLEAN#PPLCTR": PeopleCounter,
    "SMARTCLEAN#UM": UsageMonitor,
    "SMARTCLEAN#FD": FeedbackTablet,
    "SMARTCLEAN#TR": ToiletRoll,
    "SMARTCLEAN#PT": PaperTowel,
    "SMARTCLEAN#SS": Soap,
    "SMARTCLEAN#BIN": Bin,
    "SMARTCLEAN#WD": SpillDetector,
    "SMARTCLEAN#ODRDTR": AirWired,
    "SMARTCLEAN#ODRDTR_BATT_V1": AirLite,
    "SMARTCLEAN#ODRDTR_10_IN_1": AirTenInOne,
    "SMARTCLEAN#OCCMINEW": CubicleOne,
    "SMARTCLEAN#OCCSCM": CubicleTwo,
    "SMARTCLEAN#OCCDESK": Desk,
    "SMARTCLEAN#TILT": TreeTilt,
    "SMARTCLEAN#TH": Climate,
}


def tidy(value: float, digits: int) -> int | float:
    """The number rounded, as an integer if nothing is left behind the point.

    >>> tidy(2.04, 1), tidy(2.26, 1)
    (2, 2.3)
    """
    rounded = round(value, digits)
    return int(rounded) if rounded.is_integer() else rounded


def percent(value: float, digits: int) -> int | float:
    """The number rounded and kept within 0 to 100."""
    return tidy(min(100.0, max(0.0, value)), digits)


def light_level(lux: float) -> int:
    """The light level of the 10-in-1 (Q15); between two bands the lower one, above all the highest.

    >>> light_level(5.5), light_level(6), light_level(900)
    (0, 1, 3)
    """
    return max((level for level, (low, _) in LIGHT_LEVELS.items() if low <= lux), default=min(LIGHT_LEVELS))
