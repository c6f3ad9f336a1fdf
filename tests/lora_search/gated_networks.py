"""Small networks to put a gated LoRA on, and what they are asked."""

from collections.abc import Callable
from typing import Any

import torch
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from torch import Tensor, nn

from vision.lora import GatedLora, discover, inject
from vision.transformer import VideoTransformer


class Residual(nn.Module):
    """Two convolutions, as a user writes them."""

    def __init__(self, width: int, **options) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, **options)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, **options)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(torch.relu(self.conv1(x)))


class Picture(nn.Module):
    """Every kind of layer: plain, strided, dilated, reflecting, grouped, transposed, linear."""

    def __init__(self, plain: bool = False) -> None:
        super().__init__()
        odd = {} if plain else {"padding_mode": "reflect"}
        self.enter = nn.Conv2d(3, 8, 3, padding=1)
        self.block1 = Residual(8)
        self.down = nn.Sequential(nn.Conv2d(8, 12, 3, stride=2, padding=1), nn.ReLU())
        self.block2 = Residual(12, **odd)
        self.wide = nn.Conv2d(12, 12, 3, padding=1 if plain else 2, dilation=1 if plain else 2)
        self.grouped = nn.Conv2d(12, 12, 3, padding=1, groups=4)
        self.mix = nn.Linear(12, 12)
        self.up = nn.ConvTranspose2d(12, 3, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block2(self.down(self.block1(self.enter(x))))
        x = self.grouped(torch.tanh(self.wide(x)))
        return self.up(self.mix(x.movedim(1, -1)).movedim(-1, 1))


def picture(plain: bool = False) -> Picture:
    torch.manual_seed(0)
    return Picture(plain).eval()


def wan(kind: type = VideoTransformer) -> nn.Module:
    torch.manual_seed(0)
    network = kind(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        text_dim=16,
        freq_dim=16,
        ffn_dim=32,
        num_layers=2,
        rope_max_seq_len=32,
    )
    return shake(network)


def sd3() -> nn.Module:
    torch.manual_seed(0)
    network = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=16,
        caption_projection_dim=16,
        pooled_projection_dim=16,
        out_channels=4,
        pos_embed_max_size=8,
    )
    return shake(network)


def flux() -> nn.Module:
    torch.manual_seed(0)
    network = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=16,
        axes_dims_rope=(4, 4, 8),
    )
    return shake(network)


def shake(network: nn.Module, adapters_only: bool = False) -> nn.Module:
    """Away from its start, so that every weight matters."""
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad or not adapters_only:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw).to(parameter))
    return network.eval()


def run(network: nn.Module, seed: int = 1) -> Tensor:
    """What a network says to fixed inputs, with gradient."""
    draw = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw)

    time = torch.tensor([250.0, 800.0])
    if isinstance(network, SD3Transformer2DModel):
        return network(noise(2, 4, 8, 8), noise(2, 5, 16), noise(2, 16), time, return_dict=False)[0]
    if isinstance(network, FluxTransformer2DModel):
        return network(
            noise(2, 6, 4),
            encoder_hidden_states=noise(2, 5, 16),
            pooled_projections=noise(2, 16),
            timestep=time / 1000,
            img_ids=torch.arange(18.0).view(6, 3),
            txt_ids=torch.zeros(5, 3),
            return_dict=False,
        )[0]
    if isinstance(network, VideoTransformer | WanTransformer3DModel):
        return network(noise(2, 4, 1, 8, 8), time, noise(2, 5, 16), return_dict=False)[0]
    parameter = next(network.parameters())
    return network(noise(2, 3, 12, 10).to(parameter.dtype))


TRANSFORMERS: dict[str, Callable[[], nn.Module]] = {
    "ours": wan,
    "wan": lambda: wan(WanTransformer3DModel),
    "sd3": sd3,
    "flux": flux,
}
#: Layers of :class:`Picture` one by one, without the one that peft cannot merge.
EACH = r"(?!grouped).*"


def gated(network: nn.Module, spec: Any = "conv-block", trained: bool = True, **options: Any) -> GatedLora:
    """A gated LoRA of rank 2, away from its start."""
    injected = {name: options.pop(name) for name in ("scale", "adapter_name", "seed") if name in options}
    lora = inject(network, discover(network, spec, **{"rank": 2, **options}), **injected)
    if trained:
        shake(network, adapters_only=True)
    return lora
