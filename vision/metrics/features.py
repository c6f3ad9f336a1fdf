"""The small classifier whose features the Fréchet distance compares.

Legend: B pictures, C channels, H height, W width, D features.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn


class FeatureNetwork(ModelMixin, ConfigMixin):
    """Five 3x3 convolutions, a global average, and a linear classifier; about 210,000 parameters.

    Distances in these features are comparable with each other, not with distances in Inception's.
    It is fastest with ``network.to(memory_format=torch.channels_last)`` and pixels in the same format.

    Args:
        in_channels: C.
        num_classes: classes of the training data.
        widths: channels of the convolutions; the last one is D.
        strides: strides of the convolutions.
        norm_groups: groups of each group norm; divides every width.
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 10,
        widths: Sequence[int] = (32, 48, 64, 96, 128),
        strides: Sequence[int] = (1, 2, 1, 2, 1),
        norm_groups: int = 8,
    ) -> None:
        super().__init__()
        if len(widths) != len(strides) or any(width % norm_groups for width in widths):
            raise ValueError(
                f"expected a stride for each width and widths that {norm_groups} divides, found widths "
                f"{list(widths)} and strides {list(strides)}"
            )
        before = [in_channels, *widths[:-1]]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride, padding=1)
            for a, b, stride in zip(before, widths, strides, strict=True)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(norm_groups, width) for width in widths)
        self.classifier = nn.Linear(widths[-1], num_classes)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Features and class scores.

        Args:
            pixels: in [-1, 1], shape (B, C, H, W).

        Returns:
            features of shape (B, D) and logits of shape (B, num_classes), float32.
        """
        x = pixels
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.silu(norm(convolution(x)))
        features = x.float().mean((2, 3))  # (B, D)
        return features, self.classifier(features.to(self.classifier.weight.dtype)).float()
