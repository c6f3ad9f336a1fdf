"""What the networks are adapted with: pairs of the target haze, or its hazy pictures alone."""

from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from benchmarks.placement.pictures import SIDE, Pairs, photographs
from train.jobs.haze_to_clear import GUARD
from train.methods.dehaze_objectives import cleared_at_once
from train.methods.unpaired import Unpaired
from vision.dehaze.directions.synthetic_pair_direction import SyntheticPairDirection
from vision.dehaze.haze_to_clear_objective import HazeToClear
from vision.dehaze.synthetic.domain import domain
from vision.dehaze.synthetic.hazing import invented_haze
from vision.flow.draws import Draws

Loss = Literal["paired", "haze-to-clear"]
LOSSES: tuple[Loss, ...] = get_args(Loss)
#: Scalar loss of a network on some of the pairs.
Objective = Callable[[nn.Module, Pairs, list[int]], Tensor]
_WINDOW = 15
#: Side at which the encoder sees the crops, twice their own: at 224 a step takes four times as long.
_SEEN = 2 * SIDE


def objective(loss: Loss, generative: bool) -> tuple[Objective, str]:
    """The loss and what it rests on, for the report.

    Args:
        loss: "paired" is the mean absolute error; "haze-to-clear" sees no clear version of any picture.
        generative: whether a content guard goes with haze-to-clear.

    Raises:
        ValueError: haze-to-clear needs an encoder that is not installed.
    """
    if loss == "paired":
        return (lambda network, pairs, numbers: pairs.loss(network, numbers)), "L1 on pairs"
    from vision.dehaze.directions.efficientnet_encoder import EfficientNetEncoder

    haze = partial(invented_haze, domain("shifted"), torch.Generator().manual_seed(0))
    moved = HazeToClear(SyntheticPairDirection(EfficientNetEncoder(_SEEN), photographs(), haze))
    guard = GUARD if generative else 0.0
    unpaired = Unpaired(cleared_at_once, moved, guard, _WINDOW)
    name = f"{moved.name}, content guard {guard:g}" if guard else moved.name
    return (lambda network, pairs, n: unpaired(network, {"hazy": pairs.hazy[n]}, Draws(0, 0)).value), name
