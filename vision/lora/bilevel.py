"""The search for the places of a LoRA."""

from collections.abc import Callable
from typing import Any

from vision.lora.bilevel_search import BilevelSearch, Loss
from vision.lora.gated_lora import GatedLora
from vision.lora.hypergradients import Hypergradient
from vision.lora.search_report import SearchReport


def search(
    lora: GatedLora,
    lower: Loss,
    upper: Loss,
    hypergradient: Hypergradient = "rank_one",
    steps: int = 300,
    *,
    resume: dict[str, Any] | None = None,
    after_step: Callable[[BilevelSearch], None] | None = None,
    **options: Any,
) -> SearchReport:
    """Trains gates and weights together, on losses of disjoint halves of the data.

    :func:`~vision.lora.halves.on_halves` makes the two losses of one. Afterwards ``report.select`` chooses
    candidates and ``lora.keep`` leaves the others out.

    Args:
        lora: from :func:`~vision.lora.gated_lora.inject`.
        lower: scalar loss by number of the step, on one half; the weights follow it.
        upper: the same on the other half; the gates follow it.
        hypergradient: ``rank_one``, ``first_order`` or ``cg``, see
            :func:`~vision.lora.hypergradients.hypergradient`.
        steps: in all, also where it goes on from a state.
        resume: ``state_dict()`` of an earlier :class:`~vision.lora.bilevel_search.BilevelSearch`.
        after_step: called after each step, to save a state or show progress.
        options: of :class:`~vision.lora.bilevel_search.BilevelSearch`: learning rates, clip, optimizers.

    Raises:
        ValueError: see :class:`~vision.lora.bilevel_search.BilevelSearch`.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; a search takes 1 or more")
    searching = BilevelSearch(lora, lower, upper, hypergradient, **options)
    if resume is not None:
        searching.load_state_dict(resume)
    while len(searching.log) < steps:
        searching.step()
        if after_step is not None:
            after_step(searching)
    return SearchReport(lora, searching.log, upper)
