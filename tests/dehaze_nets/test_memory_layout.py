"""Weights of convolutions channels last: another order in memory, the same network."""

import torch

from vision.dehaze.dea_net import DEANet
from vision.dehaze.memory_layout import lay_channels_last


@torch.no_grad()
def test_weights_lie_channels_last_and_say_the_same() -> None:
    network, pixels = DEANet(4).eval(), torch.rand(1, 3, 20, 24)
    before = network(pixels)
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    lay_channels_last(network)
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    wide = [value for value in network.parameters() if value.ndim == 4 and min(value.shape[1:]) > 1]
    assert wide
    assert all(value.is_contiguous(memory_format=torch.channels_last) for value in wide)
    assert torch.allclose(network(pixels), before, atol=1e-5)
