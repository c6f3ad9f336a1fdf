"""What a merged adapter and a step of the search cost.

Legend: B pictures, S side of crops.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.dehaze.arms import Arm
from train.methods.cleared_by_flow import ClearedByFlow
from train.methods.dehaze_objectives import cleared_at_once
from vision import DehazePipeline
from vision.dehaze.search_space import search_space
from vision.flow.draws import Draws
from vision.lora import BilevelSearch, discover, inject
from vision.lora.hypergradients import Hypergradient

#: Passes forward and backward in a step of the released search: the upper loss, the lower loss for the gates,
#: and the lower loss for the weights.
RELEASED = 3
MODES: tuple[Hypergradient, ...] = ("rank_one", "first_order")
_BATCH, _SIDE = 2, 64


@dataclass(frozen=True)
class Ratio:
    """Of the times of two calls made in turn.

    Attributes:
        median: of the ratios.
        low, high: their quartiles.
        count: of repetitions.
    """

    median: float
    low: float
    high: float
    count: int

    def meets(self, other: "Ratio") -> bool:
        """Whether the quartiles of both overlap."""
        return self.low <= other.high and other.low <= self.high


def ratio_in_turn(first: Callable[[], Any], second: Callable[[], Any], repeats: int) -> Ratio:
    """Time of ``first`` by that of ``second``, in pairs of calls whose order changes; one of each before.

    Processor time of this process, which other programs disturb less than a clock's.
    """
    found = []
    for number in range(repeats + 1):
        calls = (first, second) if number % 2 else (second, first)
        seconds = [_seconds(call) for call in calls]
        one, other = seconds if number % 2 else seconds[::-1]
        found.append(one / other)
    counted = found[1:] * (2 if repeats == 1 else 1)  # quartiles are of two values or more
    low, median, high = statistics.quantiles(counted, n=4, method="inclusive")
    return Ratio(median, low, high, repeats)


def merged_ratios(base: Arm, adapter: Arm, pixels: Tensor, repeats: int) -> dict[str, Ratio]:
    """The base with a merged adapter, with one beside its weights, and once more itself, by the base.

    Args:
        base: without adapter.
        adapter: the same with one.
        pixels: in [0, 1], shape (1, 3, H, W).
        repeats: pairs of calls.
    """
    arms = {
        "base": base.pipeline(),
        "merged": adapter.pipeline(),
        "unmerged": adapter.pipeline(merged=False),
        "base again": base.pipeline(),
    }
    calls = {
        name: lambda pipeline=pipeline: pipeline(pixels, output_type="pt") for name, pipeline in arms.items()
    }
    return {name: ratio_in_turn(calls[name], calls["base"], repeats) for name in list(calls)[1:]}


@dataclass(frozen=True)
class StepCost:
    """What a step of the search costs.

    Attributes:
        passes: through the network, forward; each has its way back.
        ratio: time of a step by that of one pass forward and backward.
    """

    passes: int
    ratio: Ratio


def step_costs(base: Arm, repeats: int) -> dict[str, StepCost]:
    """By hypergradient, what a step on all candidates costs, with the mean absolute change as the loss.

    Those that need first derivatives alone, as the released search does.

    Args:
        base: without adapter.
        repeats: pairs of a step and a pass.
    """
    return {mode: _step_cost(base.pipeline(), mode, repeats) for mode in MODES}


def _step_cost(pipeline: DehazePipeline, mode: Hypergradient, repeats: int) -> StepCost:
    network, flow = pipeline.lora_network, pipeline.flow
    clearing = cleared_at_once if flow is None else ClearedByFlow(flow)
    hazy = torch.rand(2, _BATCH, 3, _SIDE, _SIDE, generator=torch.Generator().manual_seed(0))
    lora = inject(network, discover(network, search_space(network)))

    def loss(half: int) -> Tensor:
        return (clearing(pipeline.network, hazy[half], Draws(0, 0)) - hazy[half]).abs().mean()

    passes = 0

    def counted(*_: Any) -> None:
        nonlocal passes
        passes += 1

    searching = BilevelSearch(lora, lambda _: loss(0), lambda _: loss(1), mode)
    searching.step()  # B is zero before, which would spare some of the work
    handle = network.register_forward_pre_hook(counted)
    searching.step()
    handle.remove()

    def one_pass() -> None:
        torch.autograd.grad(loss(0), lora.parameters(), allow_unused=True)

    return StepCost(passes, ratio_in_turn(searching.step, one_pass, repeats))


def _seconds(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start
