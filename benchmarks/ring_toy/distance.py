"""How far a network's samples are from the ring: the energy distance along schedules fixed in advance.

    E = 2 mean |x - y| - mean |x - x'| - mean |y - y'|,   here times 1000,

x samples, y data, each mean over all pairs (Székely and Rizzo 2013). Two samples of the data are not at 0
but at about 1.3 with 3,000 points each.

Legend: S seeds; P points.
"""

import math
from functools import cache

import torch
from torch import Tensor

from benchmarks.ring_toy.mixture import Mixture
from benchmarks.ring_toy.network import RingNetwork
from vision.flow.solver import euler_solve

ANGLES = torch.arange(8) * math.pi / 4
#: Eight Gaussians of deviation 0.12 on a circle of radius 1.5.
RING = Mixture(1.5 * torch.stack([ANGLES.cos(), ANGLES.sin()], 1), torch.full((8, 2), 0.12))
ON_GRID = (1.0, 0.75, 0.5, 0.25)
POINTS = 3000


def draw_data(count: int, generator: torch.Generator) -> Tensor:
    """Points of the ring, (count, 2)."""
    component = torch.randint(8, (count,), generator=generator)
    return RING.means[component] + RING.stds[component] * torch.randn(count, 2, generator=generator)


def off_grid_schedules(count: int = 20) -> list[tuple[float, ...]]:
    """Schedules of four steps: 1 and three sorted draws of U(.1, .95). The same ones in each call."""
    generator = torch.Generator().manual_seed(2)
    inner = (0.1 + 0.85 * torch.rand(count, 3, generator=generator)).sort(1, descending=True).values
    return [(1.0, *times) for times in inner.tolist()]


@torch.no_grad()
def draw_samples(network: RingNetwork, times: tuple[float, ...], noise: Tensor) -> Tensor:
    """Samples (S, P, 2) of each seed's network from the same noise (P, 2)."""
    repeated = noise.repeat_interleave(network.seeds, 0)  # seed fastest
    samples = euler_solve(lambda x, t: network(x, t), repeated, [*times, 0.0])
    return samples.reshape(len(noise), network.seeds, 2).transpose(0, 1).contiguous()


def distance(network: RingNetwork, times: tuple[float, ...], points: int = POINTS, key: int = 0) -> Tensor:
    """Energy distance times 1000 of each seed, shape (S,); ``key`` chooses noise and data."""
    noise, data, within = _reference(points, key)
    values = [
        2 * _mean_distance(sample, data) - _mean_distance(sample, sample) - within
        for sample in draw_samples(network, times, noise)
    ]
    return 1000 * torch.tensor(values)


def off_grid_distance(network: RingNetwork, schedules: int = 20, points: int = POINTS) -> Tensor:
    """Mean over the first random schedules, each with its own noise and data; shape (S,)."""
    each = [distance(network, times, points, key) for key, times in enumerate(off_grid_schedules(schedules))]
    return torch.stack(each).mean(0)


def data_distance(keys: int = 20, points: int = POINTS) -> float:
    """What perfect samples get: the mean distance between data and as many fresh data."""
    total = 0.0
    for key in range(keys):
        _, data, within = _reference(points, key)
        fresh = draw_data(points, torch.Generator().manual_seed(2000 + key))
        total += 2 * _mean_distance(fresh, data) - _mean_distance(fresh, fresh) - within
    return 1000 * total / keys


@cache
def _reference(points: int, key: int) -> tuple[Tensor, Tensor, float]:
    """Noise, data and the mean distance within the data."""
    generator = torch.Generator().manual_seed(1000 + key)
    noise, data = torch.randn(points, 2, generator=generator), draw_data(points, generator)
    return noise, data, _mean_distance(data, data)


def _mean_distance(a: Tensor, b: Tensor) -> float:
    # In parts that stay in the cache; not by a product of matrices, which is wrong for near points.
    mode = "donot_use_mm_for_euclid_dist"
    total = sum(torch.cdist(part, b, compute_mode=mode).sum().item() for part in a.split(250))
    return total / (len(a) * len(b))
