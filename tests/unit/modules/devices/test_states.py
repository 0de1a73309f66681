"""What may be done with a slot, in every state."""

import itertools
from collections.abc import Mapping
from typing import get_args

import pytest
from tests.unit.model.test_slot import slot

from matrixhub.model.devices import Json
from matrixhub.model.errors import MissingParameters, RequestError, WrongState
from matrixhub.model.slot import Commissioning
from matrixhub.modules.devices.states import RULES, SlotAct, next_commissioning

STATES: tuple[Commissioning, ...] = get_args(Commissioning)
ACTS: tuple[SlotAct, ...] = get_args(SlotAct)
DEVICES = ("", "7AD01C93E2")
PARAMETERS: tuple[Mapping[str, Json], ...] = ({}, {"MAX": 110, "OFFSET": 5})
NO, LACKS = WrongState, MissingParameters

Outcome = Commissioning | type[RequestError]

EXPECTED: Mapping[SlotAct, Mapping[Commissioning, tuple[Outcome, Outcome, Outcome, Outcome]]] = {
    # each row: without device; without, parameters set; with device; with device, parameters set
    "associate": {
        "new": ("new", "new", NO, NO),
        "commissioned": ("commissioned", "commissioned", NO, NO),
        "decommissioned": ("decommissioned", "decommissioned", NO, NO),
    },
    "dissociate": {
        "new": (NO, NO, "new", "new"),
        "commissioned": (NO, NO, "decommissioned", "decommissioned"),
        "decommissioned": (NO, NO, "decommissioned", "decommissioned"),
    },
    "swap": {
        "new": (NO, NO, "new", "new"),
        "commissioned": (NO, NO, "commissioned", "commissioned"),
        "decommissioned": (NO, NO, "decommissioned", "decommissioned"),
    },
    "commission": {
        "new": (NO, NO, LACKS, "commissioned"),
        "commissioned": (NO, NO, NO, NO),
        "decommissioned": (NO, NO, LACKS, "commissioned"),
    },
    "decommission": {
        "new": (NO, NO, NO, NO),
        "commissioned": ("decommissioned", "decommissioned", "decommissioned", "decommissioned"),
        "decommissioned": (NO, NO, NO, NO),
    },
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("state", STATES)
def test_every_act_in_every_state_has_its_outcome_or_its_error(act: SlotAct, state: Commissioning) -> None:
    for (hardware_id, parameters), expected in zip(
        itertools.product(DEVICES, PARAMETERS), EXPECTED[act][state], strict=True
    ):
        bin_level = slot("SMARTCLEAN#BIN", commissioning=state, hardware_id=hardware_id, parameters=parameters)
        if isinstance(expected, str):
            assert next_commissioning(act, bin_level) == expected
        else:
            with pytest.raises(expected):
                next_commissioning(act, bin_level)


def test_a_type_without_required_parameters_goes_into_service_without_any() -> None:
    assert next_commissioning("commission", slot("SMARTCLEAN#UM")) == "commissioned"
    assert next_commissioning("commission", slot("ACME#X")) == "commissioned"


def test_every_act_has_a_rule() -> None:
    assert set(RULES) == set(ACTS)
