"""A try-on transformer as a velocity network for training and distillation.

Legend: B clips, C channels, F latent frames with the garment's, H height, W width of the latents, M prompt
tokens, D width of the embeddings.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vision.flow.denoiser import Condition
from vision.transformer import GuideCache, VideoTransformerDenoiser
from vision.tryon.reference import pad_reference, without_reference

#: Begins the name of what takes the place of timed texts where their captions are left out.
NULL = "null_"
#: Booleans (B,): the prompt, the captions of actions are left out.
PROMPT_DROPPED, ACTIONS_DROPPED = "prompt_dropped", "actions_dropped"


class TryOnDenoiser(VideoTransformerDenoiser):
    """:class:`vision.transformer.VideoTransformer` with context blocks, conditioned on a clip.

    A condition holds ``encoder_hidden_states`` (B, M, D), what the transformer's modules read, timed texts
    twice: under their own names, and with empty captions under names that begin with :data:`NULL`, and
    which of both a clip sees (:data:`PROMPT_DROPPED`, :data:`ACTIONS_DROPPED`).

    The velocity at the garment's place carries no gradient: what a loss finds there teaches nothing.

    Args:
        network: the transformer.
        null_prompt: what takes the place of a prompt that is left out, (1, M, D).
        padding: of :func:`vision.tryon.reference.pad_reference`.
    """

    def __init__(self, network: nn.Module, null_prompt: Tensor, padding: str = "noised") -> None:
        super().__init__(network)
        self._null_prompt, self._padding = null_prompt, padding
        self._steady: tuple[Condition, dict[str, Any]] | None = None

    @contextmanager
    def steady(self, condition: Condition) -> Iterator[None]:
        """Inside, what the guider makes of this very condition is made once and kept for all steps.

        For passes without gradients, such as those of a rollout, between which the weights stay as they are.
        """
        self._steady = condition, {**self._chosen(condition), "guide_cache": GuideCache()}
        try:
            yield
        finally:
            self._steady = None

    def velocity(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Velocity at ``x_t`` (B, C, F, H, W) and times ``t`` (B,); float32."""
        steady, given = self._steady or (None, {})
        if condition is not steady:
            given = self._chosen(condition)
        found = super().velocity(pad_reference(x_t, self._padding), t, given)
        return torch.cat([found[:, :, :1].detach(), without_reference(found)], dim=2)

    def _chosen(self, condition: Condition) -> dict[str, Tensor]:
        """What the transformer is given."""
        nulls = {name: value for name, value in condition.items() if name.startswith(NULL)}
        flags = (PROMPT_DROPPED, ACTIONS_DROPPED)
        given = {n: value for n, value in condition.items() if n not in nulls and n not in flags}
        prompt = given["encoder_hidden_states"]
        given["encoder_hidden_states"] = _where(
            condition[PROMPT_DROPPED], self._null_prompt.to(prompt).expand_as(prompt), prompt
        )
        for name, null in nulls.items():
            own = name.removeprefix(NULL)
            given[own] = _where(condition[ACTIONS_DROPPED], null, given[own])
        return given


def _where(dropped: Tensor, null: Tensor, value: Tensor) -> Tensor:
    return torch.where(dropped.reshape(-1, *[1] * (value.ndim - 1)), null, value)
