"""Tiny dehazers of each kind, with weights drawn such that they change a picture."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from vision.dehaze.dea_net import DEANet
from vision.lora import discover, inject
from vision.transformer import VideoTransformer

TINY_FLOW = {
    "patch_size": (1, 4, 4),
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 6,
    "out_channels": 3,
    "text_dim": 8,
    "freq_dim": 16,
    "ffn_dim": 32,
    "num_layers": 1,
}


def tiny_dea() -> DEANet:
    torch.manual_seed(0)
    return DEANet(2).eval()


def tiny_transformer(**fields) -> VideoTransformer:
    torch.manual_seed(0)
    return VideoTransformer(**{**TINY_FLOW, **fields}).eval()


def write_adapter(network: nn.Module, path: Path, size: float = 0.3) -> Path:
    """A gated adapter for blocks of the network, of which it is taken off again."""
    lora = inject(network, discover(network, "conv-block", rank=2)[:3])
    with torch.no_grad():
        for weight in lora.weights:
            weight.normal_(std=size)
    file = lora.save(path, "native" if path.suffix else "diffusers")
    lora.remove()
    return file


class AirlightNetwork(nn.Module):
    """Inverts ``I = J t + A (1 - t)`` for one learned t, with A the mean of the picture or as told."""

    size_multiple = 2

    def __init__(self) -> None:
        super().__init__()
        self.t = nn.Parameter(torch.tensor(0.5))
        self.colors = nn.Conv2d(3, 3, 1)
        with torch.no_grad():
            self.colors.weight.copy_(torch.eye(3)[:, :, None, None])
            self.colors.bias.zero_()  # pyright: ignore

    def airlight(self, pixels: Tensor) -> Tensor:
        return pixels.mean((2, 3))

    def forward(self, pixels: Tensor, airlight: Tensor | None = None) -> Tensor:
        assert pixels.shape[2] % 2 == pixels.shape[3] % 2 == 0
        color = self.airlight(pixels) if airlight is None else airlight
        return self.colors((pixels - color[:, :, None, None] * (1 - self.t)) / self.t)


def airlight_network() -> nn.Module:
    return AirlightNetwork()


def no_network() -> str:
    return "nothing"


class Halving(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.gain * pixels[..., ::2, ::2]


def halving_network() -> nn.Module:
    return Halving()


def picture(seed: int = 0, width: int = 37, height: int = 29) -> Image.Image:
    noise = torch.rand(3, 5, 6, generator=torch.Generator().manual_seed(seed))
    smooth = nn.functional.interpolate(noise[None], (height, width), mode="bilinear")[0]
    return Image.fromarray((255 * smooth).byte().permute(1, 2, 0).numpy())
