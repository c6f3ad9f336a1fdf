"""The trained networks, the searches and the fine-tunings; each is computed once and kept in a file."""

import itertools
import random
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn

from benchmarks.placement.descent import descend
from benchmarks.placement.kept import once
from benchmarks.placement.pictures import Pairs, hazed_pairs
from benchmarks.placement.pretraining import pretrained
from benchmarks.placement.quality.objectives import Loss, Objective, objective
from benchmarks.placement.quality.studies import Study
from vision.lora import inject, on_halves, search
from vision.lora.scoring import Score

#: Haze that a network is trained on, and haze that it is adapted to.
SOURCE, TARGET = "grey", "shifted"
#: Placements that are no list of candidates.
UNIFORM, FULL = "uniform", "full"
#: Added to the name of a placement whose adapter has the small form.
SMALL = "-small"
#: Learning rates of fine-tuning. At the first one a placement varies least from seed to seed, which is what
#: placements are compared at; an adapter alone can take the second.
TUNING_RATE, SMALL_RATE = 1e-3, 3e-3


@dataclass(frozen=True)
class Comparison:
    """All runs of one network with one loss.

    Attributes:
        study: the network.
        loss: that it is adapted with.
        settings: numbers of nets, seeds, steps and pictures, see the command line.
        work: folder of all comparisons.
    """

    study: Study
    loss: Loss
    settings: dict[str, Any]
    work: Path

    @property
    def folder(self) -> Path:
        """Runs of other settings are other runs; more nets, seeds or subsets are not."""
        told = "-".join(
            str(self.settings[n]) for n in ("pretraining", "search", "tuning", "full", "pictures")
        )
        return self.work / f"{self.study.name}-{self.loss}-{told}-{self.settings['batch']}"

    @cached_property
    def _objective(self) -> tuple[Objective, str]:
        return objective(self.loss, self.study.generative)

    @property
    def objective_name(self) -> str:
        """What the loss rests on."""
        return self._objective[1]

    @property
    def full_nets(self) -> range:
        """The networks that are also fine-tuned whole, which takes longer than all the rest."""
        return range(min(self.settings["full_nets"], self.settings["nets"]))

    def base(self, net: int) -> dict[str, Any]:
        """PSNR of the hazy pictures and of the trained network on held-out pictures of both hazes."""

        def compute() -> dict[str, Any]:
            network = self._network(net)
            target, source = self._held_out(net), self._held_out(net, SOURCE)
            return {
                "input": target.psnr(nn.Identity()),
                "psnr": target.psnr(network),
                "source": source.psnr(network),
                "parameters": sum(p.numel() for p in network.parameters()),
            }

        return once(self.folder / f"base-{net}.json", compute)

    def searched(self, net: int, seed: int) -> dict[str, Any]:
        """The candidates that each score keeps after a rank-one search, and its time with zero-out's."""
        path = self.folder / f"search-{net}-{seed}.json"

        def compute() -> dict[str, Any]:
            network, pairs, settings = self._network(net), self._pairs(net), self.settings
            loss = self._objective[0]
            lora = inject(network, self.study.found(network), seed=seed)
            lower, upper = on_halves(
                lambda numbers: loss(network, pairs, numbers),
                range(settings["pictures"]),
                settings["batch"],
                seed,
            )
            start = time.process_time()
            report = search(
                lora, lower, upper, "rank_one", settings["search"], weight_rate=1e-3, gate_rate=1e-2
            )
            found = {"zero_out": report.select(self.study.k, "zero_out").names}
            seconds = time.process_time() - start
            for score in get_args(Score):
                found[score] = report.select(self.study.k, score).names
            report.draw(path.with_suffix(".png"))
            return {"found": {score: sorted(names) for score, names in found.items()}, "seconds": seconds}

        return once(path, compute)

    def tuned(self, net: int, seed: int, placement: str) -> dict[str, Any]:
        """Held-out PSNR after fine-tuning a fresh adapter at a placement (:data:`FULL`: all weights)."""

        def compute() -> dict[str, Any]:
            network, pairs, settings = self._network(net), self._pairs(net), self.settings
            loss = self._objective[0]
            steps, rate = settings["tuning"], SMALL_RATE if placement.endswith(SMALL) else TUNING_RATE
            if placement == FULL:
                parameters = list(network.parameters())
                steps, rate = settings["full"], self.study.full_rate
            else:
                lora = inject(network, self._candidates(network, placement), seed=seed)
                parameters = lora.parameters()
            seconds = descend(
                lambda numbers: loss(network, pairs, numbers),
                parameters,
                settings["pictures"],
                steps=steps,
                batch=settings["batch"],
                rate=rate,
                seed=seed,
                clip=1.0,
            )
            weights = parameters if placement == FULL else lora.weights  # pyright: ignore[reportPossiblyUnbound]
            return {
                "psnr": self._held_out(net).psnr(network),
                "seconds": seconds,
                "parameters": sum(weight.numel() for weight in weights),
            }

        return once(self.folder / f"tune-{net}-{seed}-{placement}.json", compute)

    def subsets(self, net: int) -> list[str]:
        """Placements for the random row: all there are, or a draw of them; the same for all seeds."""
        names = sorted(candidate.name for candidate in self.study.found(self.study.build()))
        every = list(itertools.combinations(names, self.study.k))
        count = min(self.settings["subsets"], len(every))
        chosen = every if count == len(every) else random.Random(net).sample(every, count)
        return [placement_name(subset) for subset in chosen]

    @property
    def exhaustive(self) -> bool:
        """Whether the subsets are all that there are."""
        names = self.study.found(self.study.build())
        return self.settings["subsets"] >= sum(1 for _ in itertools.combinations(names, self.study.k))

    def _candidates(self, network: nn.Module, placement: str) -> list[Any]:
        if placement == UNIFORM:
            return self.study.found_everywhere(network)
        names, small, _ = placement.partition(SMALL)
        form = self.study.small_form if small else None
        return [c for c in self.study.found(network, form) if c.name in names.split("+")]

    def _network(self, net: int) -> nn.Module:
        """The network of a seed, trained on the source haze with L1."""
        torch.manual_seed(net)
        steps = self.settings["pretraining"]
        return pretrained(
            self.study.build(),
            self.work / f"{self.study.name}-{net}-{steps}.safetensors",
            lambda: hazed_pairs(min(600, 8 * steps), SOURCE, seed=1000 + net, held_out=False),
            steps=steps,
            rate=self.study.pretraining_rate,
            seed=net,
            clip=1.0,
        )

    def _pairs(self, net: int) -> Pairs:
        return hazed_pairs(self.settings["pictures"], TARGET, seed=net, held_out=False)

    def _held_out(self, net: int, kind: str = TARGET) -> Pairs:
        return hazed_pairs(48, kind, seed=net, held_out=True)


def placement_name(names: Any) -> str:
    """One name for some candidates, whatever their order."""
    return "+".join(sorted(names))
