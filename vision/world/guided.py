"""The velocity of a world under an action, with action guidance.

Legend: B batch, C channels, F latent frames of a pass, H height, W width, T rows of actions, M prompt tokens.
"""

from typing import Any

import torch
from torch import Tensor

from vision.transformer import Actions, KVCache
from vision.world.guidance import guide_actions


class GuidedWorld:
    """Asks a transformer what it says under an action, and without one where guidance needs both.

    Both branches are samples of one batch, so that one cache serves them.

    Args:
        transformer: a :class:`vision.transformer.VideoTransformer`.
        prompt_embeds: shape (1, M, text_dim) or (B, M, text_dim).
        batch_size: B.
        scale: of action guidance; at 1 the network is not asked without an action.
        null: everything happens under the null action.
    """

    def __init__(
        self, transformer: Any, prompt_embeds: Tensor, batch_size: int, scale: float = 1.0, null: bool = False
    ) -> None:
        self._transformer, self._scale = transformer, scale
        self._takes_actions = takes_actions(transformer)
        guided = self._takes_actions and not null and scale != 1
        self._branches = 2 if guided else 1
        device = transformer.device
        # One tensor for all passes, by which a cache knows the prompt again.
        embeds = prompt_embeds.to(device, transformer.dtype).expand(batch_size, -1, -1)
        self._prompt = embeds.repeat(self._branches, 1, 1)
        dropped = [True] * batch_size + [False] * batch_size if guided else [null] * batch_size
        self._dropped = torch.tensor(dropped, device=device)

    def velocity(
        self, latents: Tensor, timesteps: Tensor, actions: Actions, cache: KVCache | None = None
    ) -> Tensor:
        """The guided velocity.

        Args:
            latents: shape (B, C, F, H, W).
            timesteps: 1000 t of each frame, float32, shape (F,).
            actions: rows of all F frames, those before them left out with a cache; not read by a model
                without actions.
            cache: of a stream; the pass leaves what a commit keeps.

        Returns:
            float32, shape of ``latents``.
        """
        device, repeats = self._transformer.device, self._branches
        conditions: dict[str, Tensor] = {}
        if self._takes_actions:
            conditions = {
                "sticks": actions.sticks.to(device).repeat(repeats, 1, 1),
                "buttons": actions.buttons.to(device).repeat(repeats, 1, 1),
                "action_dropped": self._dropped,
            }
        batch = latents.to(self._transformer.dtype).repeat(repeats, 1, 1, 1, 1)
        said = self._transformer(
            hidden_states=batch,
            timestep=timesteps.float().expand(len(batch), -1),
            encoder_hidden_states=self._prompt,
            cache=cache,
            return_dict=False,
            **conditions,
        )[0].float()
        if repeats == 1:
            return said
        null, acted = said.chunk(2)
        return guide_actions(null, acted, self._scale)


def takes_actions(transformer: Any) -> bool:
    """Whether a transformer has a conditioning module for actions."""
    return "sticks" in getattr(transformer, "condition_names", ())


def require_actions(transformer: Any) -> None:
    """An error for a transformer that has no conditioning module for actions."""
    if not takes_actions(transformer):
        raise ValueError(
            "this world's transformer takes no actions: it has no conditioning module for them. Leave them "
            "out and give num_frames, or add one (add_conditioning('action')) and train it"
        )


def no_actions(batch_size: int, rows: int) -> Actions:
    """Rows for a pass under the null action, which does not read them."""
    return Actions(torch.zeros(batch_size, rows, 4), torch.zeros(batch_size, rows, 6))
