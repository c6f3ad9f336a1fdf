"""The trained networks, the searches and the fine-tunings; each is computed once and kept in a file."""

import itertools
import random
import time
from collections.abc import Callable
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
from vision.lora import Candidate, discover, inject, on_halves, search
from vision.lora.scoring import Score
from vision.lora.search_report import SearchReport

#: Haze that a network is trained on, and haze that it is adapted to.
SOURCE, TARGET = "grey", "shifted"
#: Placements that are no list of candidates.
UNIFORM, FULL = "uniform", "full"
#: Learning rate of fine-tuning at which placements are compared; a placement varies least from seed to seed.
TUNING_RATE = 1e-3
#: The largest share of a network's parameters that the finer search may take.
LARGEST_SHARE = 0.03


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
            report, seconds = self._search(net, seed, self.study.found, self.settings["search"], 1e-3)
            start = time.process_time()
            found = {"zero_out": report.select(self.study.k, "zero_out").names}
            seconds += time.process_time() - start
            for score in get_args(Score):
                found[score] = report.select(self.study.k, score).names
            report.draw(path.with_suffix(".png"))
            return {"found": {score: sorted(names) for score, names in found.items()}, "seconds": seconds}

        return once(path, compute)

    def tuned(self, net: int, seed: int, placement: str) -> dict[str, Any]:
        """Held-out PSNR after fine-tuning a fresh adapter at a placement (:data:`FULL`: all weights)."""

        def compute() -> dict[str, Any]:
            network = self._network(net)
            if placement == FULL:
                parameters = list(network.parameters())
                found = self._tune(
                    net, seed, network, parameters, self.settings["full"], self.study.full_rate
                )
                return {**found, "parameters": sum(weight.numel() for weight in parameters)}
            candidates = self._candidates(network, placement)
            return self._tune_adapter(net, seed, network, candidates, self.settings["tuning"], TUNING_RATE)

        return once(self.folder / f"tune-{net}-{seed}-{placement}.json", compute)

    def layers(self, net: int, seed: int) -> dict[str, Any]:
        """Held-out PSNR by the finer search of a study: single layers within :data:`LARGEST_SHARE`.

        Its seconds are those of the search, of zero-out's scores and of fine-tuning.
        """
        finer, settings = self.study.layers, self.settings
        if finer is None:
            raise ValueError(f"the study {self.study.name} has no finer search")
        steps, tuning = settings["layer_search"], settings["layer_tuning"]

        def candidates(network: nn.Module) -> list[Candidate]:
            return discover(network, finer.candidates, finer.ranks, "peft")

        def compute() -> dict[str, Any]:
            report, seconds = self._search(net, seed, candidates, steps, 3e-3)
            start = time.process_time()
            budget = int(LARGEST_SHARE * self.base(net)["parameters"])
            names = report.select(score="zero_out", budget=budget, batches=finer.batches).names
            seconds += time.process_time() - start
            network = self._network(net)
            chosen = [candidate for candidate in candidates(network) if candidate.name in names]
            found = self._tune_adapter(net, seed, network, chosen, tuning, finer.rate)
            return {**found, "names": list(names), "seconds": seconds + found["seconds"]}

        return once(self.folder / f"layers-{net}-{seed}-{steps}-{tuning}.json", compute)

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

    def _candidates(self, network: nn.Module, placement: str) -> list[Candidate]:
        if placement == UNIFORM:
            return self.study.found_everywhere(network)
        return [c for c in self.study.found(network) if c.name in placement.split("+")]

    def _search(
        self,
        net: int,
        seed: int,
        candidates: Callable[[nn.Module], list[Candidate]],
        steps: int,
        weight_rate: float,
    ) -> tuple[SearchReport, float]:
        """A rank-one search on two halves of the pictures, and its seconds."""
        network, pairs, loss = self._network(net), self._pairs(net), self._objective[0]
        lora = inject(network, candidates(network), seed=seed)
        lower, upper = on_halves(
            lambda numbers: loss(network, pairs, numbers),
            range(self.settings["pictures"]),
            self.settings["batch"],
            seed,
        )
        start = time.process_time()
        report = search(lora, lower, upper, "rank_one", steps, weight_rate=weight_rate, gate_rate=1e-2)
        return report, time.process_time() - start

    def _tune_adapter(
        self, net: int, seed: int, network: nn.Module, candidates: list[Candidate], steps: int, rate: float
    ) -> dict[str, Any]:
        lora = inject(network, candidates, seed=seed)
        found = self._tune(net, seed, network, lora.parameters(), steps, rate)
        return {**found, "parameters": sum(weight.numel() for weight in lora.weights)}

    def _tune(
        self, net: int, seed: int, network: nn.Module, parameters: list[Any], steps: int, rate: float
    ) -> dict[str, Any]:
        pairs, loss = self._pairs(net), self._objective[0]
        seconds = descend(
            lambda numbers: loss(network, pairs, numbers),
            parameters,
            self.settings["pictures"],
            steps=steps,
            batch=self.settings["batch"],
            rate=rate,
            seed=seed,
            clip=1.0,
        )
        return {"psnr": self._held_out(net).psnr(network), "seconds": seconds}

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
