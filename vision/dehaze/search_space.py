"""Where an adapter of a dehazing network may go."""

from torch import nn

from vision.dehaze.dea_net import SEARCH_SPACE, DEANet
from vision.transformer import VideoTransformer


def search_space(network: nn.Module) -> str:
    """What :func:`vision.lora.discover` takes where nothing else is asked for.

    The published 16 blocks of DEA-Net, the families of layers of a transformer, the convolutional blocks of
    another network.
    """
    if isinstance(network, DEANet):
        return SEARCH_SPACE
    return "dit-family" if isinstance(network, VideoTransformer) else "conv-block"
