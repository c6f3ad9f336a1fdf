"""CDM trains: eight Gaussians on a ring, in the benchmark's own code, several seeds at once."""

import pytest
import torch
from torch import nn

from benchmarks.ring import verdict
from benchmarks.ring_toy.distance import (
    ON_GRID,
    data_distance,
    distance,
    draw_samples,
    off_grid_distance,
    off_grid_schedules,
)
from benchmarks.ring_toy.network import RingNetwork
from benchmarks.ring_toy.training import clip_each_seed, distill, ring_method, train_start
from vision.flow.solver import euler_solve

SEEDS = 3


@pytest.fixture
def network() -> RingNetwork:
    return RingNetwork(SEEDS, torch.Generator().manual_seed(0), width=16)


def alone(network: RingNetwork, seed: int) -> RingNetwork:
    """The network of one seed."""
    copy = RingNetwork(1, width=16)
    copy.load_state_dict({name: value[seed : seed + 1] for name, value in network.state_dict().items()})
    return copy


def points(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 2, generator=generator), torch.rand(count, generator=generator)


def test_a_short_run_teaches_one_step():
    start = train_start(2, 400)
    student = distill(start, 100)
    # One step of the start gives the mean of the data; in between it follows a path that bends.
    before, after = (distance(network, (1.0,), 1000) for network in (start, student))
    assert (before > 800).all()
    assert (after < 0.1 * before).all()
    before, after = (off_grid_distance(network, 6, 1000) for network in (start, student))
    assert (after < 0.6 * before).all()


def test_each_seed_is_a_network_of_its_own(network):
    x, t = points(4 * SEEDS)
    output = network(x, t)
    for seed in range(SEEDS):
        torch.testing.assert_close(output[seed::SEEDS], alone(network, seed)(x[seed::SEEDS], t[seed::SEEDS]))


def test_joined_batches_keep_their_seeds(network):
    """The method asks the student at anchors and beside them in one call."""
    (x, t), (y, u) = points(2 * SEEDS), points(4 * SEEDS)
    joined = network(torch.cat([x, y]), torch.cat([t, u]))
    torch.testing.assert_close(joined, torch.cat([network(x, t), network(y, u)]))


def test_clipping_is_by_seed(network):
    x, t = points(4 * SEEDS)
    # One seed far above the bound of the norm, one far below.
    scale = torch.tensor([100.0, 1.0, 1e-4]).repeat(4)
    (scale[:, None] * network(x, t)).square().sum().backward()
    expected = []
    for seed in range(SEEDS):
        copy = alone(network, seed)
        for one, all_seeds in zip(copy.parameters(), network.parameters(), strict=True):
            assert all_seeds.grad is not None
            one.grad = all_seeds.grad[seed : seed + 1].clone()
        nn.utils.clip_grad_norm_(copy.parameters(), 1.0)
        expected.append([one.grad for one in copy.parameters()])
    clip_each_seed(network)
    for all_seeds, *ones in zip(network.parameters(), *expected, strict=True):
        torch.testing.assert_close(all_seeds.grad, torch.cat(ones))


@pytest.mark.parametrize("anchor_aware", [False, True])
def test_no_parameter_is_shared_by_seeds(network, anchor_aware):
    method = ring_method(network, anchor_aware=anchor_aware)
    for trained in method.networks.values():
        assert {len(parameter) for parameter in trained.parameters()} == {SEEDS}


def test_samples_are_those_of_each_seed(network):
    noise, _ = points(5)
    samples = draw_samples(network, ON_GRID, noise)
    with torch.no_grad():
        one = alone(network, 1)
        expected = euler_solve(lambda x, t: one(x, t), noise, [*ON_GRID, 0.0])
    torch.testing.assert_close(samples[1], expected)


def test_fresh_data_are_as_far_as_the_sizes_of_the_samples_say():
    # Pairs of one point each with itself: 2 E|x - y| / P, and E|x - y| is below the diameter.
    assert 0 < data_distance(5, 500) < 1000 * 2 * 3.5 / 500


def test_schedules_are_fixed_in_advance():
    schedules = off_grid_schedules()
    assert len(schedules) == 20
    assert schedules[:6] == off_grid_schedules(6)
    for times in schedules:
        assert times[0] == 1
        assert 0.95 > times[1] > times[2] > times[3] > 0.1


def test_the_verdict_is_on_the_ratio_of_the_means():
    good, control = torch.tensor([6.0, 9.0]), torch.tensor([10.0, 10.0])
    assert verdict(good, control)[0]
    passed, sentence = verdict(good + 0.6, control)
    assert not passed
    assert sentence.startswith("Not accepted")
    assert "0.81" in sentence
