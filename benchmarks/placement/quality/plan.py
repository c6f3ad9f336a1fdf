"""Which runs there are, in an order such that a stopped comparison has whole columns."""

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.placement.quality.runs import FULL, UNIFORM, Comparison, placement_name


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
            if comparison.study.layers:
                yield lambda net=net, seed=seed: comparison.layers(net, seed)
    for seed in range(comparison.settings["subset_seeds"]):
        for net in nets:
            for placement in comparison.subsets(net):
                yield lambda net=net, seed=seed, placement=placement: comparison.tuned(net, seed, placement)
    for seed in seeds:
        for net in comparison.full_nets:
            yield lambda net=net, seed=seed: comparison.tuned(net, seed, FULL)


def selected(comparison: Comparison, net: int, seed: int) -> list[str]:
    """The placements that the search of a seed leads to, each once."""
    found = comparison.searched(net, seed)["found"]
    return list(dict.fromkeys(map(placement_name, found.values())))


def count(comparison: Comparison) -> int:
    """How many tasks there are."""
    return sum(1 for _ in tasks(comparison))
