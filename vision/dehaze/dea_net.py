"""DEA-Net, a convolutional dehazing network.

Legend: B batch, H height, W width.
"""

from pathlib import Path
from typing import Any, Literal

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders.peft import PeftAdapterMixin
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from typing_extensions import Self

from vision.dehaze.clip_statistics import CLIP_MEAN, CLIP_STD
from vision.dehaze.dea_net_blocks import AttentionFusion, DetailAttentionBlock, DetailBlock
from vision.dehaze.dea_net_convolution import DetailConvolution
from vision.dehaze.padding import padded
from vision.dehaze.weights_file import load_weights, read_weights
from vision.weights import check_weights

#: Where BiLaLoRA searches for a place: the two convolutions of each of the 16 blocks before the decoder, as
#: a specification for :func:`vision.lora.discover`.
SEARCH_SPACE = r"((?:down_level[12]|level3)_block\d)\.conv[12]"
# Two halvings, and mirrored edges of three pixels at a quarter of the size.
_MULTIPLE, _MINIMUM = 4, 16


class DEANet(ModelMixin, ConfigMixin, PeftAdapterMixin):
    """DEA-Net (Chen et al., TIP 2024) as BiLaLoRA uses it: 3,653,377 parameters once re-parameterised.

    Convolutions at full, half and quarter size; the output is the clear picture itself, not a residual.
    The channel attention averages over the whole picture, so that tiles differ a little from the whole.

    Args:
        base_dim: channels at full size, even.
        reparameterized: False for the training form, whose first convolution in each block is the sum of
            five; :meth:`fused` makes the other one of it.
        image_mean: subtracted from the input, by channel; 0 for the weights of DEA-Net's own authors.
        image_std: what the input is divided by then; 1 for those.
    """

    @register_to_config
    def __init__(
        self,
        base_dim: int = 32,
        reparameterized: bool = True,
        image_mean: tuple[float, float, float] = CLIP_MEAN,
        image_std: tuple[float, float, float] = CLIP_STD,
    ) -> None:
        super().__init__()
        if base_dim < 2 or base_dim % 2:
            raise ValueError(f"base_dim is {base_dim}, expected an even number such as 32")
        full, half, quarter = base_dim, 2 * base_dim, 4 * base_dim
        self.down1 = nn.Sequential(nn.Conv2d(3, full, 3, padding=1))
        self.down2 = nn.Sequential(nn.Conv2d(full, half, 3, 2, 1), nn.ReLU())
        self.down3 = nn.Sequential(nn.Conv2d(half, quarter, 3, 2, 1), nn.ReLU())
        self.fe_level_2 = nn.Conv2d(half, half, 3, padding=1)
        self.fe_level_3 = nn.Conv2d(quarter, quarter, 3, padding=1)
        for stage, width, count in (("down_level1", full, 4), ("down_level2", half, 4)):
            self._add_stage(stage, DetailBlock, width, count, reparameterized)
        self._add_stage("level3", DetailAttentionBlock, quarter, 8, reparameterized)
        for stage, width, count in (("up_level2", half, 4), ("up_level1", full, 4)):
            self._add_stage(stage, DetailBlock, width, count, reparameterized)
        self.up1 = nn.Sequential(nn.ConvTranspose2d(quarter, half, 3, 2, 1, 1), nn.ReLU())
        self.up2 = nn.Sequential(nn.ConvTranspose2d(half, full, 3, 2, 1, 1), nn.ReLU())
        self.up3 = nn.Sequential(nn.Conv2d(full, 3, 3, padding=1))
        self.mix1 = AttentionFusion(quarter, 8)
        self.mix2 = AttentionFusion(half, 4)

    def forward(self, pixels: Tensor) -> Tensor:
        """Clears pictures of any size.

        Args:
            pixels: hazy, in [0, 1], shape (B, 3, H, W).

        Returns:
            Clear ones, about [0, 1] (not clamped), same shape.
        """
        height, width = pixels.shape[-2:]
        mean, std = (
            pixels.new_tensor(self.config[name])[:, None, None] for name in ("image_mean", "image_std")
        )
        x = padded((pixels - mean) / std, _MULTIPLE, _MINIMUM)
        level_1 = self._stage("down_level1", self.down1(x))
        level_2 = self.down2(level_1)
        level_3 = self.down3(self._stage("down_level2", self.fe_level_2(level_2)))
        x = self.mix1(level_3, self._stage("level3", self.fe_level_3(level_3)))
        x = self.mix2(level_2, self._stage("up_level2", self.up1(x)))
        x = self.up3(self._stage("up_level1", self.up2(x)))
        return x[..., :height, :width]

    @torch.no_grad()
    def fused(self) -> "DEANet":
        """The re-parameterised network with the same output, a new one; what adapters are made for.

        Raises:
            ValueError: it is re-parameterised already.
        """
        if self.config["reparameterized"]:
            raise ValueError("the network is re-parameterised already")
        fused = DEANet(**{**_settings(self), "reparameterized": True})
        nn.Module.to(fused, self.device, self.dtype)
        fused.load_state_dict(fused_weights(self))
        return fused.train(self.training)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Self:
        """Loads a folder or a model of the hub; ValueError where its weights are not this network's."""
        folder = Path(pretrained_model_name_or_path) / (kwargs.get("subfolder") or "")
        if folder.is_dir():
            check_weights(folder, cls, kwargs.get("variant"))
        kwargs.setdefault("use_safetensors", True)
        return super().from_pretrained(pretrained_model_name_or_path, **kwargs)

    @classmethod
    def from_released(
        cls, file: str | Path, normalization: Literal["clip", "none"], base_dim: int = 32
    ) -> "DEANet":
        """Loads weights as DEA-Net's or BiLaLoRA's authors name them, in either form.

        Args:
            file: their file, converted to safetensors; a pickle is refused, with the line that converts it.
            normalization: "none" for the files of DEA-Net's authors, "clip" for those of BiLaLoRA's.
            base_dim: of the network.

        Raises:
            ValueError: weights of another network; the first few keys are named.
        """
        if normalization not in ("clip", "none"):
            raise ValueError(f"normalization is {normalization!r}, expected 'clip' or 'none'")
        state = {key.removeprefix("module."): value for key, value in read_weights(file).items()}
        plain = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        mean, std = (CLIP_MEAN, CLIP_STD) if normalization == "clip" else plain
        network = cls(base_dim, not any(".conv1.conv1_5." in key for key in state), mean, std)
        load_weights(network, state, str(file))
        return network.eval()

    def _add_stage(self, name: str, kind: type, width: int, count: int, reparameterized: bool) -> None:
        for number in range(1, count + 1):
            self.add_module(f"{name}_block{number}", kind(width, reparameterized))

    def _stage(self, name: str, x: Tensor) -> Tensor:
        for number in range(1, 9 if name == "level3" else 5):
            x = self.get_submodule(f"{name}_block{number}")(x)
        return x


def fused_weights(network: nn.Module) -> dict[str, Tensor]:
    """The state dict of a network whose detail convolutions are each one convolution."""
    state = network.state_dict()
    for name, part in network.named_modules():
        if isinstance(part, DetailConvolution):
            for key in part.state_dict():
                del state[f"{name}.{key}"]
            state[f"{name}.weight"], state[f"{name}.bias"] = part.kernel()
    return state


def _settings(network: DEANet) -> dict[str, Any]:
    return {name: value for name, value in network.config.items() if not name.startswith("_")}
