"""The numbers of a comparison: PSNR by row and network, differences with their errors, shares and times."""

import math
import statistics
from dataclasses import dataclass
from typing import Any, get_args

from benchmarks.placement.quality.runs import FULL, UNIFORM, Comparison, placement_name
from vision.lora.scoring import Score

ZERO_OUT = "zero_out"
#: The row of the finer search.
LAYERS = "layers"
#: Rows of the table in their order.
ROWS = {
    "input": "hazy pictures",
    "base": "base, not adapted",
    "random": "random",
    UNIFORM: "uniform: all candidates, lower ranks",
    **{score: f"bilevel, by {score}" + " (the paper's)" * (score == "gate") for score in get_args(Score)},
    "oracle": "oracle: the best subset, seen afterwards",
    LAYERS: "bilevel, by zero_out, single layers",
    FULL: "full fine-tuning",
}


@dataclass(frozen=True)
class Figures:
    """What a comparison found.

    Attributes:
        values: PSNR in decibels by row, network and seed (of rows without seeds, one each).
        parameters: trained, by row; the most of all runs.
        seconds: processor time by row, mean over runs; of bilevel rows with the search and zero-out's scores.
        total: parameters of the network.
        noise: standard deviation in decibels of one placement over seeds, from ``noise_runs`` placements;
            NaN where none was trained twice.
        noise_runs: see ``noise``.
        exhaustive: whether the random row and the oracle are over all subsets.
        subsets: PSNR of each subset, mean over its seeds, by network.
    """

    values: dict[str, list[list[float]]]
    parameters: dict[str, int]
    seconds: dict[str, float]
    total: int
    noise: float
    noise_runs: int
    exhaustive: bool
    subsets: list[dict[str, float]]

    def mean(self, row: str, net: int) -> float:
        """Over seeds."""
        return statistics.fmean(self.values[row][net])

    def difference(self, row: str, other: str, net: int | None = None) -> tuple[float, float]:
        """Mean and standard error of ``row - other``, seed by seed where both have seeds.

        Args:
            row, other: rows.
            net: of one network; None for all.

        Returns:
            In decibels; the error is NaN for one run.
        """
        nets = range(len(self.values[row])) if net is None else [net]
        found = [
            value - (self.values[other][n][seed] if _paired(other) else self.mean(other, n))
            for n in nets
            for seed, value in enumerate(self.values[row][n])
        ]
        return statistics.fmean(found), standard_error(found)

    def gain_share(self, row: str) -> list[float]:
        """What a row wins over the base by what full fine-tuning wins, by network that has it."""
        return [
            (self.mean(row, net) - self.mean("base", net)) / (self.mean(FULL, net) - self.mean("base", net))
            for net in range(len(self.values[FULL]))
        ]


def figures(comparison: Comparison) -> Figures:
    """Reads a comparison whose runs are all there."""
    nets, seeds = (range(comparison.settings[name]) for name in ("nets", "seeds"))
    subset_seeds = range(comparison.settings["subset_seeds"])
    scores = get_args(Score)
    bases = [comparison.base(net) for net in nets]
    subsets = [
        {
            name: [comparison.tuned(net, seed, name)["psnr"] for seed in subset_seeds]
            for name in comparison.subsets(net)
        }
        for net in nets
    ]
    runs: dict[str, list[list[dict[str, Any]]]] = {
        row: [[comparison.tuned(net, seed, row) for seed in seeds] for net in some]
        for row, some in ((UNIFORM, nets), (FULL, comparison.full_nets))
    }
    searches = [[comparison.searched(net, seed) for seed in seeds] for net in nets]
    for score in scores:
        runs[score] = [
            [
                comparison.tuned(net, seed, placement_name(found["found"][score]))
                for seed, found in enumerate(own)
            ]
            for net, own in enumerate(searches)
        ]
    if comparison.study.layers:
        runs[LAYERS] = [[comparison.layers(net, seed) for seed in seeds] for net in nets]
    values = {row: [[run["psnr"] for run in own] for own in found] for row, found in runs.items()}
    values["input"] = [[base["input"]] for base in bases]
    values["base"] = [[base["psnr"]] for base in bases]
    means = [{name: statistics.fmean(found) for name, found in own.items()} for own in subsets]
    # What a search found is a subset too, and may be none of those drawn.
    tried = [
        {**own, **_means_of(searches[net], values, net)} if not comparison.exhaustive else own
        for net, own in enumerate(means)
    ]
    values["random"] = [[statistics.fmean(own.values())] for own in means]
    values["oracle"] = [[max(own.values())] for own in tried]
    seconds = {row: _mean([run["seconds"] for own in found for run in own]) for row, found in runs.items()}
    searching = _mean([found["seconds"] for own in searches for found in own])
    for row in scores:
        seconds[row] += searching
    noise, noise_runs = _noise(comparison, searches)
    return Figures(
        values,
        {row: max(run["parameters"] for own in found for run in own) for row, found in runs.items()},
        seconds,
        bases[0]["parameters"],
        noise,
        noise_runs,
        comparison.exhaustive,
        means,
    )


def standard_error(found: list[float]) -> float:
    """Of the mean; NaN for one value."""
    return statistics.stdev(found) / math.sqrt(len(found)) if len(found) > 1 else math.nan


def pooled_deviation(groups: list[list[float]]) -> tuple[float, int]:
    """Standard deviation within groups of two or more, and how many groups those are."""
    many = [group for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in many)
    if not freedom:
        return math.nan, 0
    return math.sqrt(sum(statistics.variance(g) * (len(g) - 1) for g in many) / freedom), len(many)


def _noise(comparison: Comparison, searches: list[list[dict[str, Any]]]) -> tuple[float, int]:
    """Over all placements that were trained with several seeds."""
    groups = []
    for net, own in enumerate(searches):
        seeds_of: dict[str, set[int]] = {UNIFORM: set(range(len(own)))}
        for name in comparison.subsets(net):
            seeds_of.setdefault(name, set()).update(range(comparison.settings["subset_seeds"]))
        for seed, found in enumerate(own):
            for names in found["found"].values():
                seeds_of.setdefault(placement_name(names), set()).add(seed)
        groups += [
            [comparison.tuned(net, seed, name)["psnr"] for seed in sorted(seeds)]
            for name, seeds in seeds_of.items()
        ]
    return pooled_deviation(groups)


def _means_of(
    searches: list[dict[str, Any]], values: dict[str, list[list[float]]], net: int
) -> dict[str, float]:
    """Mean PSNR over seeds of the placements that searches of a network led to."""
    found: dict[str, list[float]] = {}
    for seed, run in enumerate(searches):
        for score, names in run["found"].items():
            found.setdefault(placement_name(names), []).append(values[score][net][seed])
    return {name: statistics.fmean(own) for name, own in found.items()}


def _paired(row: str) -> bool:
    return row not in ("input", "base", "random", "oracle")


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
