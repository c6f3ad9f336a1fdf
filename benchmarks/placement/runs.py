"""The trained networks, the planted cases and the searches; each is computed once and kept in a file."""

import copy
import random
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors.torch import load_file

from benchmarks.placement.kept import keep_weights, once
from benchmarks.placement.network import BLOCKS, COST, RANKS, HazeUNet
from benchmarks.placement.pictures import Pairs, draw_pairs
from benchmarks.placement.planting import plant
from benchmarks.placement.pretraining import pretrained
from vision.lora import discover, inject, on_halves, search
from vision.lora.scoring import Score

NAMES = ("bott1", "bott2", "dec1", "dec2", "enc1", "enc2")
#: By method, the hypergradient of the search; "joint" gives the gates the loss of the weights.
METHODS = {"rank_one": "rank_one", "first_order": "first_order", "cg": "cg", "joint": "first_order"}
#: Blocks planted a case.
PLANTED = 2


def cases(count: int, net: int) -> list[tuple[str, ...]]:
    """Pairs of blocks in an order of the network's own, at most fifteen; each three hold every block once."""
    first, *others = random.Random(net).sample(NAMES, len(NAMES))
    pairs: list[tuple[str, ...]] = []
    # As the rounds of a tournament are drawn up: one stays, the others move round.
    for turn in range(len(others)):
        circle = [first, *others[turn:], *others[:turn]]
        pairs += [tuple(sorted((circle[n], circle[-1 - n]))) for n in range(len(circle) // 2)]
    return pairs[:count]


def pairs_for(net: int, count: int) -> tuple[Pairs, Pairs]:
    """Crops for training or searching, and for tests."""
    return draw_pairs(count, seed=net, held_out=False), draw_pairs(48, seed=net, held_out=True)


def trained_network(net: int, steps: int, folder: Path) -> HazeUNet:
    """The network of a seed, trained on synthetic haze with L1; read where an earlier run left it."""
    torch.manual_seed(net)
    network = HazeUNet(skips=False).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return pretrained(
        network,
        folder / f"net{net}.safetensors",
        lambda: draw_pairs(600, seed=1000 + net, held_out=False),
        steps=steps,
        rate=2e-3,
        seed=net,
    )


def planted_network(
    network: HazeUNet, net: int, blocks: tuple[str, ...], pairs: Pairs, folder: Path
) -> tuple[HazeUNet, list[float]]:
    """A copy with damaged blocks, and the strengths, see :func:`plant`; the same for all methods."""
    path = folder / f"net{net}-{'-'.join(blocks)}.safetensors"
    if path.is_file():
        damaged = copy.deepcopy(network)
        state = load_file(path)
        strengths = state.pop("strengths").tolist()
        damaged.load_state_dict(state)
        return damaged, strengths
    few = Pairs(pairs.hazy[:24], pairs.clear[:24])
    damaged, strengths = plant(network, blocks, few, seed=net)
    keep_weights(damaged, path, strengths=torch.tensor(strengths))
    return damaged, strengths


def run_case(
    net: int, blocks: tuple[str, ...], method: str, settings: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """What one search found in one planted case; read where an earlier run left it."""
    path = folder / f"net{net}-{'-'.join(blocks)}-{method}.json"

    def compute() -> dict[str, Any]:
        network = trained_network(net, settings["pretraining"], folder)
        pairs, held_out = pairs_for(net, settings["pictures"])
        damaged, strengths = planted_network(network, net, blocks, pairs, folder)
        lora = inject(damaged, discover(damaged, BLOCKS, RANKS, conv_form="loralib"), seed=net)
        assert {candidate.cost for candidate in lora.candidates} == {COST}
        before = held_out.psnr(damaged)
        lower, upper = on_halves(
            lambda numbers: pairs.loss(damaged, numbers),
            range(settings["pictures"]),
            settings["batch"],
            seed=net,
        )
        report = search(
            lora,
            lower,
            lower if method == "joint" else upper,
            METHODS[method],  # pyright: ignore[reportArgumentType]
            settings["steps"],
            weight_rate=1e-3,
            gate_rate=1e-2,
            cg_steps=4,
        )
        report.draw(path.with_suffix(".png"))
        found = {score: list(report.select(PLANTED, score, upper=upper).names) for score in get_args(Score)}
        return {
            "net": net,
            "planted": blocks,
            "method": method,
            "found": found,
            "strengths": strengths,
            "psnr": {
                "trained": held_out.psnr(network),
                "planted": before,
                "after the search": held_out.psnr(damaged),
            },
        }

    return once(path, compute)
