"""Which schedulers a distilled model may have, and the shift that they apply."""

from collections.abc import Mapping
from typing import Any

from vision.flow.shift import TimeShift, shift_of_scheduler

_EULER = "FlowMatchEulerDiscreteScheduler"


def flow_shift(name: str, config: Mapping[str, Any], tokens: int) -> TimeShift:
    """The time shift of a scheduler of flow matching.

    Args:
        name: class of the scheduler.
        config: its configuration.
        tokens: of the latents, for a dynamic shift.

    Raises:
        ValueError: another kind of scheduler, one that draws noise, or one that bends the grid.
    """
    if name == _EULER:
        if config.get("stochastic_sampling"):
            raise ValueError(
                f"the teacher's {name} sets stochastic_sampling, but a few-step model follows an ODE; "
                "set it to false in scheduler_config.json"
            )
        return shift_of_scheduler(config, tokens)
    if config.get("use_flow_sigmas") and config.get("prediction_type") == "flow_prediction":
        return shift_of_scheduler({**config, "shift": config.get("flow_shift", 1.0)}, tokens)
    raise ValueError(
        f"the teacher's scheduler is a {name}, which does not match a flow-matching model; expected "
        f"{_EULER}, or one with use_flow_sigmas and prediction_type flow_prediction. Put back the "
        "scheduler that the model was trained with"
    )
