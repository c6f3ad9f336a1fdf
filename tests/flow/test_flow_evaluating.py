"""Calling a network as if it were not trained."""

import pytest
import torch
from torch import nn

from vision.flow.evaluating import evaluating


def test_each_submodule_gets_its_own_mode_back():
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    network.train()
    network[0].eval()
    with pytest.raises(RuntimeError, match="stop"), evaluating(network):
        assert not network.training and not network[1].training
        assert not network(torch.ones(1, 2)).requires_grad
        raise RuntimeError("stop")
    assert network.training and network[1].training and not network[0].training
