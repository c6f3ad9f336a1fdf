"""Training of the small feature network behind the Fréchet distance of the embedded models.

Legend: B batch, C channels, H height, W width.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.methods.method import Loss, Method
from vision.flow.draws import Draws


class Classification(Method):
    """Cross-entropy with label smoothing and a mirror image for half of the samples.

    Args:
        network: called as ``network(pixels (B, C, H, W))``, returns (features, logits).
        label_smoothing: in [0, 1).
        mirror: mirror half of the pictures; off where left and right mean something.
    """

    def __init__(self, network: nn.Module, *, label_smoothing: float = 0.05, mirror: bool = True) -> None:
        super().__init__({"classifier": network}, {}, {"classifier": 1})
        self.label_smoothing = label_smoothing
        self.mirror = mirror

    def losses(self, batch: Mapping[str, Any], draws: Draws) -> dict[str, Callable[[], Loss]]:
        """Batch: ``latents`` (B, C, 1, H, W), pictures in [-1, 1]; ``label`` (B,), int64."""
        return {"classifier": lambda: self._loss(batch["latents"][:, :, 0], batch["label"], draws)}

    def _loss(self, pixels: Tensor, labels: Tensor, draws: Draws) -> Loss:
        if self.mirror:
            flipped = (draws.uniform("mirror", len(pixels)) < 0.5).to(pixels.device)
            pixels = torch.where(flipped[:, None, None, None], pixels.flip(-1), pixels)
        _, logits = self.networks["classifier"](pixels)
        logits = logits.float()
        loss = F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        return Loss(loss, {"accuracy": (logits.argmax(-1) == labels).float().mean().detach()})
