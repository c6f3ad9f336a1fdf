"""The velocity of a try-on under its conditions, with classifier-free guidance.

Legend: B clips, C channels, F latent frames with the garment's, H height, W width of the latents.
"""

from typing import Any

import torch
from torch import Tensor

from vision.transformer import GuideCache
from vision.tryon.reference import pad_reference


class GuidedTryOn:
    """``v(-) + scale (v(+) - v(-))``, where - has another prompt and no captions, and all else alike.

    What the guider makes is made once for each of the two, and used in every step.

    Args:
        transformer: a :class:`vision.transformer.VideoTransformer`.
        positive: what its forward takes beside the video and the time, by name.
        negative: the same for the other branch; None for no guidance.
        scale: 1 asks only the first.
        padding: of :func:`vision.tryon.reference.pad_reference`.
        device: where the transformer computes; None for where it is.
    """

    def __init__(
        self,
        transformer: Any,
        positive: dict[str, Tensor],
        negative: dict[str, Tensor] | None,
        scale: float,
        padding: str = "noised",
        device: torch.device | None = None,
    ) -> None:
        self._transformer, self._scale, self._padding = transformer, scale, padding
        branches = [positive] if negative is None or scale == 1 else [negative, positive]
        device = transformer.device if device is None else device
        # One tensor for all steps, by which the cache knows it again.
        self._branches = [
            ({name: value.to(device) for name, value in branch.items()}, GuideCache()) for branch in branches
        ]

    def velocity(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """The guided velocity.

        Args:
            latents: with the garment's place, shape (B, C, F, H, W).
            timestep: 1000 t, one number.

        Returns:
            float32, shape of ``latents``.
        """
        noisy = pad_reference(latents, self._padding).to(self._transformer.dtype)
        said = [
            self._transformer(
                hidden_states=noisy,
                timestep=timestep.float().expand(len(noisy)),
                guide_cache=cache,
                return_dict=False,
                **conditions,
            )[0].float()
            for conditions, cache in self._branches
        ]
        return said[0] if len(said) == 1 else torch.lerp(said[0], said[1], self._scale)
