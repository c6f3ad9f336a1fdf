"""Parameters that lie channels last in memory, and an optimizer that goes on with them."""

import copy

import torch
from torch import nn

from train.optimizers import load_optimizer_state, make_optimizer, optimizer_state
from train.recipes.train import TrainRecipe


def _network() -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(3, 5, 3).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _step(network: nn.Conv2d, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    network(torch.ones(2, 3, 6, 6).cumsum(-1)).square().mean().backward()
    optimizer.step()


def test_a_state_from_a_file_goes_on_as_if_it_had_never_left() -> None:
    recipe = TrainRecipe(output="unused", steps=2, batch_size=1, save_every=1, lr=0.1)
    network = _network()
    optimizer = make_optimizer(dict(network.named_parameters()), recipe, "model")
    _step(network, optimizer)
    tensors, numbers = optimizer_state(optimizer, dict(network.named_parameters()))
    # A file holds plain layouts alone.
    filed = {name: value.clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}
    other = copy.deepcopy(network)
    parameters = dict(other.named_parameters())
    resumed = make_optimizer(parameters, recipe, "model")
    load_optimizer_state(resumed, parameters, (filed, numbers))
    assert resumed.state[other.weight]["exp_avg"].stride() == other.weight.stride()
    for each in ((network, optimizer), (other, resumed)):
        _step(*each)
    kept = dict(network.named_parameters())
    assert all(torch.equal(value, kept[name]) for name, value in parameters.items())
