"""Which runs there are, in an order such that a stopped comparison has whole columns."""

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.placement.quality.runs import FULL, SMALL, UNIFORM, Comparison, placement_name


def tasks(comparison: Comparison) -> Iterator[Callable[[], Any]]:
    """The runs, seed by seed: what is accepted first, then all other placements."""
    nets, seeds = range(comparison.settings["nets"]), range(comparison.settings["seeds"])
    for seed in seeds:
        for net in nets:
            yield lambda net=net: comparison.base(net)
            yield lambda net=net, seed=seed: comparison.searched(net, seed)
            yield lambda net=net, seed=seed: [
                comparison.tuned(net, seed, placement) for placement in selected(comparison, net, seed)
            ]
            yield lambda net=net, seed=seed: comparison.tuned(net, seed, UNIFORM)
    for seed in range(comparison.settings["subset_seeds"]):
        for net in nets:
            for placement in comparison.subsets(net):
                yield lambda net=net, seed=seed, placement=placement: comparison.tuned(net, seed, placement)
    for seed in seeds:
        for net in comparison.full_nets:
            yield lambda net=net, seed=seed: comparison.tuned(net, seed, FULL)


def selected(comparison: Comparison, net: int, seed: int) -> list[str]:
    """The placements that the search of a seed leads to, each once, and the small form of zero-out's."""
    found = {score: placement_name(names) for score, names in comparison.searched(net, seed)["found"].items()}
    small = [found["zero_out"] + SMALL] if comparison.study.small_form else []
    return [*dict.fromkeys(found.values()), *small]


def count(comparison: Comparison) -> int:
    """How many tasks there are."""
    return sum(1 for _ in tasks(comparison))
