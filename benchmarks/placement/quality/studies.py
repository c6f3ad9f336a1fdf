"""The networks of the comparison, their candidates, and ranks at which all placements cost the same.

Legend: B batch, H height, W width, C channels of a network's widest picture, d width of its tokens.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.placement.network import BLOCKS, RANKS, HazeUNet
from vision.dehaze.dea_net import SEARCH_SPACE, DEANet
from vision.dehaze.flow_dehazer import FlowDehazer
from vision.lora import Candidate, discover
from vision.lora.candidate import ConvForm
from vision.lora.discovery import Spec
from vision.transformer import VideoTransformer


@dataclass(frozen=True)
class LayerSearch:
    """The adapter that is judged beside full fine-tuning: single layers, what a share of the weights buys.

    Attributes:
        candidates: see :func:`vision.lora.discover`.
        ranks: by candidate; those of few channels can carry more.
        rate: learning rate of fine-tuning.
        batches: of the held-out half over which zero-out takes its mean.
    """

    candidates: Spec
    ranks: Mapping[str, int]
    rate: float = 2e-2
    batches: int = 4


@dataclass(frozen=True)
class Study:
    """A network and where an adapter may go in it.

    Attributes:
        name: short name, also of its folder.
        label: what the report says.
        build: a fresh network from pixels (B, 3, H, W) to the same.
        candidates: see :func:`vision.lora.discover`.
        ranks: by candidate, such that each costs the same.
        uniform: ranks of an adapter on all candidates that costs as much as ``k`` of them by ``ranks``.
        k: candidates that an adapter takes.
        conv_form: of its convolutions.
        pretraining_rate: learning rate on the source haze.
        full_rate: learning rate of full fine-tuning.
        generative: whether the haze-to-clear loss needs a content guard beside it.
        layers: the finer search, if there is one.
    """

    name: str
    label: str
    build: Callable[[], nn.Module]
    candidates: Spec
    ranks: int | Mapping[str, int]
    uniform: int | Mapping[str, int]
    k: int
    conv_form: ConvForm = "peft"
    pretraining_rate: float = 1e-3
    full_rate: float = 3e-4
    generative: bool = False
    layers: LayerSearch | None = None

    def found(self, network: nn.Module) -> list[Candidate]:
        """The candidates at the ranks of an adapter on ``k`` of them."""
        return discover(network, self.candidates, self.ranks, self.conv_form)

    def found_everywhere(self, network: nn.Module) -> list[Candidate]:
        """The candidates at the ranks of an adapter on all of them."""
        return discover(network, self.candidates, self.uniform, self.conv_form)


class OneStepFlow(nn.Module):
    """A :class:`~vision.dehaze.flow_dehazer.FlowDehazer` on pixels as a pipeline of one step calls it.

    The noise is one draw for all pictures, so that the output is a function of the picture alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.transformer = VideoTransformer(
            patch_size=(1, 8, 8),
            num_attention_heads=4,
            attention_head_dim=48,
            in_channels=6,
            out_channels=3,
            text_dim=8,
            ffn_dim=384,
            num_layers=4,
        )

    def forward(self, hazy: Tensor) -> Tensor:
        """Hazy pictures (B, 3, H, W) in [0, 1], sides a multiple of 8, to clear ones."""
        flow = FlowDehazer(self.transformer, noise_std=0.1)
        latents = flow.encode(hazy)
        noise = torch.randn(latents[:1].shape, generator=torch.Generator().manual_seed(0)).expand_as(latents)
        start = torch.ones(len(hazy))
        return flow.decode(flow.predict_clear(flow.start(latents, noise), start, latents))


def _channels_last(network: nn.Module) -> nn.Module:
    """Convolutions of few channels take a third less time so on a CPU."""
    return network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


STUDIES = (
    Study(
        "unet",
        "U-Net of 12, 24 and 48 channels",
        lambda: _channels_last(HazeUNet()),
        BLOCKS,
        RANKS,
        # In units of what rank 1 costs at 12 channels: 2 (2 + 2 + 4) = 16, as 8 + 8.
        {"(enc|dec)1": 2, "(enc|dec)2": 1, "bott[12]": 1},
        k=2,
        conv_form="loralib",
        pretraining_rate=2e-3,
        full_rate=1e-3,
        layers=LayerSearch(
            r"(enter|leave|down[12]|(?:enc|dec|bott)[12]\.conv[12])",
            {"enter": 3, "leave": 6, r"(enc|dec)1\..*": 4, ".*": 2},
        ),
    ),
    Study(
        "dea-net",
        "DEA-Net of 12, 24 and 48 channels, re-parameterised",
        lambda: _channels_last(DEANet(12)),
        SEARCH_SPACE,
        {"down_level1_.*": 8, "down_level2_.*": 4, "level3_.*": 2},
        # In the same units: 4 x 2 + 4 x 2 + 8 x 4 = 48, as 6 x 8.
        {"down_level1_.*": 2, "down_level2_.*": 1, "level3_.*": 1},
        k=6,
    ),
    Study(
        "dit",
        "diffusion transformer, 192 wide, 4 blocks, one step",
        OneStepFlow,
        # 3 (d + d) and (d + 2 d) + (2 d + d): each costs 6 d r.
        {"qkv": r"(.*blocks\.\d+)\.attn1\.to_[qkv]", "ffn": r"(.*blocks\.\d+)\.ffn\.net\.(?:0\.proj|2)"},
        4,
        1,
        k=2,
        generative=True,
    ),
)


def study(name: str) -> Study:
    """The study of a name."""
    return next(study for study in STUDIES if study.name == name)
