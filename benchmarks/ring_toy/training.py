"""Trains the ring: the start by regression on the exact velocity, the student by the project's own method.

All seeds of a group are trained at once. Their weights, data and noise are their own; the schedules of the
rollout are common, since the method draws one a batch.

Legend: S seeds; B samples of each seed.
"""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.ring_toy.denoiser import RingDenoiser
from benchmarks.ring_toy.distance import RING, draw_data
from benchmarks.ring_toy.mixture_denoiser import MixtureDenoiser
from benchmarks.ring_toy.network import RingNetwork
from benchmarks.ring_toy.seed_linear import SeedLinear
from train.ema import MovingAverage
from train.methods.cdm import CDM
from train.recipes.cdm import CDMSettings
from vision.distill.anchor import AnchorEmbedding
from vision.flow.draws import Draws, keyed_generator
from vision.flow.path import interpolate, velocity_from_x0

LEARNING_RATES = {"fake": 1e-3, "student": 5e-4}


class _WholeBatchDraws(Draws):
    """One call of the generator a batch; by sample, as a run on several processes needs it, is slower."""

    def normal(self, purpose: str, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        generator = keyed_generator(self.seed, self.step, purpose)
        return torch.from_numpy(generator.standard_normal(tuple(shape), np.float32)).to(device)


def train_start(seeds: int, steps: int = 1500, seed: int = 0, batch: int = 512) -> RingNetwork:
    """Networks that follow the exact velocity: what student and fake score start from.

    Args:
        seeds: S.
        steps: of Adam, whose rate falls from 2e-3 to 0 along a half cosine.
        seed: of weights and data.
        batch: B.
    """
    generator = torch.Generator().manual_seed(seed)
    network = RingNetwork(seeds, generator)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        x_0 = draw_data(seeds * batch, generator)
        t = 0.005 + 0.995 * torch.rand(len(x_0), generator=generator)
        x_t = interpolate(x_0, torch.randn(x_0.shape, generator=generator), t)
        velocity = velocity_from_x0(x_t, RING.x0(x_t, t), t)
        optimizer.zero_grad()
        (seeds * (network(x_t, t) - velocity).square().mean()).backward()
        optimizer.step()
        decay.step()
    return network


def ring_method(start: RingNetwork, **options: Any) -> CDM:
    """The project's method on copies of the start, with the exact teacher; options as in :func:`distill`."""
    ring = {"weight_guidance": 0.0, "max_rollout_steps": 8, "sigma_low": 0.05, "sigma_high": 0.98}
    method = CDM(
        RingDenoiser(copy.deepcopy(start)),
        RingDenoiser(copy.deepcopy(start)),
        MixtureDenoiser(RING),
        settings=CDMSettings(**{**ring, **options}),
        null_condition={},
        latent_shape=(2, 1, 1, 1),
    )
    for module in method.networks["fake"].modules():
        if isinstance(module, AnchorEmbedding):
            # Each seed's fake score has its own, which starts at zero too.
            shared = module.linear
            module.linear = SeedLinear(start.seeds, shared.in_features, shared.out_features)
            nn.init.zeros_(module.linear.weight)
            nn.init.zeros_(module.linear.bias)
    return method


def distill(
    start: RingNetwork, student_updates: int = 1000, seed: int = 0, batch: int = 384, **options: Any
) -> RingNetwork:
    """The moving average of the student after a run of :class:`CDM`, two iterations an update.

    Args:
        start: of student and fake score; it is not changed.
        student_updates: half of the iterations.
        seed: of all draws.
        batch: B.
        options: of :class:`CDMSettings`, besides the ring's: no guidance, at most eight steps of sigmas
            in [.05, .98].
    """
    method = ring_method(start, **options)
    optimizers = {
        name: torch.optim.AdamW(method.networks[name].parameters(), lr=rate, weight_decay=1e-4)
        for name, rate in LEARNING_RATES.items()
    }
    weights = dict(method.networks["student"].named_parameters())
    average, updates = MovingAverage(weights, 0.999), 0
    samples = start.seeds * batch
    for step in range(2 * student_updates):
        draws = _WholeBatchDraws(seed, step, 0, samples)
        for name, loss in method.losses({"none": torch.zeros(samples, 1)}, draws).items():
            optimizers[name].zero_grad()
            # The loss is a mean over all seeds: times S it is the sum of what each would have alone.
            (start.seeds * loss().value).backward()
            clip_each_seed(method.networks[name])
            optimizers[name].step()
            method.updated(name)
            if name == "student":
                updates += 1
                average.update(weights, updates)
    student = copy.deepcopy(start)
    student.load_state_dict(average.weights)
    return student


def clip_each_seed(network: nn.Module, max_norm: float = 1.0) -> None:
    """Clips the gradient of each seed by the norm over its own parameters, all of shape (S, ...)."""
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
    scale = (max_norm / (norms + 1e-6)).clamp(max=1)
    for gradient in gradients:
        gradient.mul_(scale[:, None, None])
