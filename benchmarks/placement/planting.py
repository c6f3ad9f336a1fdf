"""Damage to blocks of a trained network, so that it is known where an adapter belongs."""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from benchmarks.placement.network import BLOCKS, RANKS
from benchmarks.placement.pictures import Pairs
from vision.lora import discover, inject

Network = TypeVar("Network", bound=nn.Module)

#: What damage to one block alone costs, in decibels.
DROP = 3.0
#: Length of the damage by that of the update that was found, at most.
STRONGEST = 8.0
#: Steps in search of that update, at most.
STEPS = 80


def plant(network: Network, blocks: tuple[str, ...], pairs: Pairs, seed: int) -> tuple[Network, list[float]]:
    """A copy of a network with some blocks damaged, and by how much of its weights' length each was.

    A block is damaged by a LoRA of the candidate's own form and rank, trained upwards: damage that an
    adapter there can undo. (Random updates are no such thing: deep blocks need several times their
    weights of them before the output suffers, which no adapter takes back.) Its strength is found by halving,
    such that the block alone costs :data:`DROP` decibels.
    """
    damaged = copy.deepcopy(network)
    whole = pairs.psnr(network)
    strengths = []
    for number, block in enumerate(blocks):
        directions = _directions(network, block, pairs, 100 * seed + number, whole)

        def drop(strength: float, block=block, directions=directions) -> float:
            alone = copy.deepcopy(network)
            _damage(alone.get_submodule(block), directions, strength)
            return whole - pairs.psnr(alone)

        low, high = 0.0, STRONGEST
        if drop(high) > DROP:
            for _ in range(10):
                middle = (low + high) / 2
                low, high = (low, middle) if drop(middle) > DROP else (middle, high)
        weights = torch.cat([convolution.weight.flatten() for convolution in _convolutions(network, block)])
        length = torch.cat([direction.flatten() for direction in directions]).norm()
        strengths.append((high * length / weights.norm()).item())
        _damage(damaged.get_submodule(block), directions, high)
    return damaged, strengths


def _directions(network: nn.Module, block: str, pairs: Pairs, seed: int, whole: float) -> list[Tensor]:
    """Updates of the block's convolutions that raise the loss, as long as it takes to lose enough."""
    worse = copy.deepcopy(network)
    candidates = discover(worse, BLOCKS, RANKS, conv_form="loralib")
    lora = inject(worse, [c for c in candidates if c.name == block], seed=1 + seed)
    optimizer = torch.optim.Adam(lora.weights, lr=2e-3)
    draw = torch.Generator().manual_seed(seed)
    for step in range(STEPS):
        optimizer.zero_grad()
        (-pairs.loss(worse, torch.randperm(len(pairs.hazy), generator=draw)[:8].tolist())).backward()
        optimizer.step()
        if step % 4 == 3 and whole - pairs.psnr(worse) > DROP:
            break
    lora.merge(permanent=True)
    both = zip(_convolutions(worse, block), _convolutions(network, block), strict=True)
    return [after.weight.detach() - before.weight.detach() for after, before in both]


@torch.no_grad()
def _damage(block: nn.Module, directions: list[Tensor], strength: float) -> None:
    for convolution, direction in zip(block.children(), directions, strict=True):
        convolution.weight += strength * direction  # pyright: ignore


def _convolutions(network: nn.Module, block: str) -> list[nn.Conv2d]:
    return [layer for layer in network.get_submodule(block).children() if isinstance(layer, nn.Conv2d)]
