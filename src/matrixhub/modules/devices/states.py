"""What may be done with a slot in which state, and what state it is in then.

Source: docs/contract/devices.md §4
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from matrixhub.model.errors import MissingParameters, WrongState
from matrixhub.model.slot import Commissioning, DeviceSlot, missing_parameters

SlotAct = Literal["associate", "dissociate", "swap", "commission", "decommission"]

_AS_IT_IS: Mapping[Commissioning, Commissioning] = {state: state for state in get_args(Commissioning)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """When an act may be done, and what it makes of a slot.

    `associated` is whether a device must be in the slot, or must not; None: either. A state that `becomes` does not
    have is one in which the act is refused.
    """

    associated: bool | None = None
    configured: bool = False
    becomes: Mapping[Commissioning, Commissioning]


RULES: Mapping[SlotAct, Rule] = {
    "associate": Rule(associated=False, becomes=_AS_IT_IS),
    "dissociate": Rule(associated=True, becomes={**_AS_IT_IS, "commissioned": "decommissioned"}),
    "swap": Rule(associated=True, becomes=_AS_IT_IS),
    "commission": Rule(
        associated=True, configured=True, becomes={"new": "commissioned", "decommissioned": "commissioned"}
    ),
    "decommission": Rule(becomes={"commissioned": "decommissioned"}),
}


def next_commissioning(act: SlotAct, slot: DeviceSlot) -> Commissioning:
    """What the slot is after the act.

    Raises: WrongState if it may not be done now, MissingParameters if parameters are to be set first.
    """
    rule = RULES[act]
    if slot.commissioning not in rule.becomes:
        raise WrongState(f"slot {slot.id} is {slot.commissioning}, so it cannot be {act}ed")
    if rule.associated is not None and rule.associated != slot.associated:
        there = f"device {slot.slot.hardware_id} is in slot {slot.id}"
        raise WrongState(there if slot.associated else f"no device is in slot {slot.id}")
    if rule.configured and (missing := missing_parameters(slot.slot)):
        raise MissingParameters(f"slot {slot.id} needs its parameters first: {', '.join(missing)}")
    return rule.becomes[slot.commissioning]
