"""Actions as a change of the modulation, the same for all pixels of a frame.

Legend: B batch, F latent frames, D width of the model, G groups of tokens that share a timestep.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vision.transformer.action_input import ACTION_INPUTS, WINDOW, ActionInput, windows
from vision.transformer.actions import BUTTONS, STICKS
from vision.transformer.conditioning import Conditioning, ConditionInput, Slot, register_conditioning

#: Name under which the module is registered.
ACTION_ADALN = "action_adaln"


@register_conditioning(ACTION_ADALN)
class ActionModulation(Conditioning):
    """Adds an embedding of a latent frame's window of actions to the embedding of its time.

    It reads the same 16 rows as :class:`vision.transformer.action.ActionModule`, and reaches every pixel
    of a frame alike: the global injection that SCOPE is compared with.

    Args:
        config: of the model.
        width: inner width of the two-layer network; None for the model's. It has 161 width + (width + 1) D
            parameters.
    """

    slot: ClassVar[Slot] = "time_embedding"
    inputs: ClassVar[tuple[str, ...]] = ACTION_INPUTS
    shared: ClassVar[type[ConditionInput] | None] = ActionInput

    def __init__(self, config: Any, width: int | None = None) -> None:
        super().__init__()
        outer = config.num_attention_heads * config.attention_head_dim
        inner = outer if width is None else width
        self.linear_1 = nn.Linear(WINDOW * (len(STICKS) + len(BUTTONS)), inner)
        self.linear_2 = nn.Linear(inner, outer)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fresh weights: the embedding is zero."""
        nn.init.xavier_uniform_(self.linear_1.weight)
        for parameter in (self.linear_1.bias, self.linear_2.weight, self.linear_2.bias):
            nn.init.zeros_(parameter)

    def forward(self, embedding: Tensor, conditions: Mapping[str, Tensor]) -> Tensor:
        """(B, G, D) to (B, F, D), or (B, L, D) where each token has its own time.

        Raises:
            ValueError: one stream of the actions without the other.
        """
        rows = [conditions[name] for name in ("stick_rows", "button_rows") if name in conditions]
        if not rows:
            return embedding
        if len(rows) < 2:
            raise ValueError(f"{ACTION_ADALN} was given one stream of actions; it reads sticks and buttons")
        rotary = conditions["frame_rotary"]
        seen = torch.cat([windows(stream, rotary) for stream in rows], dim=-1)  # (B, F, 160)
        added = self.linear_2(F.silu(self.linear_1(seen.to(self.linear_1.weight.dtype))))
        if embedding.shape[1] > added.shape[1]:
            added = added.repeat_interleave(embedding.shape[1] // added.shape[1], dim=1)
        return embedding + added.to(embedding.dtype)
