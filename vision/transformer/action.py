"""SCOPE's action module as a condition of the blocks.

Legend: B batch, L tokens, D width of the model, F latent frames, S tokens of a frame.
"""

from typing import Any, ClassVar

from torch import Tensor

from vision.transformer.action_buttons import ButtonAttention
from vision.transformer.action_input import ACTION_INPUTS, WINDOW, ActionInput
from vision.transformer.action_sticks import StickAttention
from vision.transformer.conditioning import Conditioning, ConditionInput, Slot, register_conditioning
from vision.transformer.context import BlockContext

#: Name under which the module is registered.
ACTION = "action"


@register_conditioning(ACTION)
class ActionModule(Conditioning):
    """Sticks, then buttons, work on the time series of each pixel (SCOPE, arXiv 2605.23345).

    ``x += StickAttention(x, sticks)``, then ``x += ButtonAttention(x, buttons)``, as in the released code,
    between cross-attention and feed-forward. A stream that is left out skips its path; a stream of zeros
    does not. Without a causal model every row reaches every frame.

    Args:
        config: of the model.
        width: inner width W of both paths, a multiple of 16 and of the model's head width; None for the
            model's width, as released.
        parallel: both paths read the same tokens, as the paper draws it, instead of one after the other.
        null_key: a learned key of value zero beside those of the buttons. Buttons that do not change move
            every pixel alike without it.
        one_token_a_button: one key a latent frame and button, instead of one a latent frame.

    Raises:
        ValueError: a width that does not split.
    """

    slot: ClassVar[Slot] = "after_cross_attention"
    inputs: ClassVar[tuple[str, ...]] = ACTION_INPUTS
    shared: ClassVar[type[ConditionInput] | None] = ActionInput

    def __init__(
        self,
        config: Any,
        width: int | None = None,
        parallel: bool = False,
        null_key: bool = False,
        one_token_a_button: bool = False,
    ) -> None:
        super().__init__()
        head = config.attention_head_dim
        outer = config.num_attention_heads * head
        inner = outer if width is None else width
        if inner < 1 or inner % head or inner % WINDOW:
            raise ValueError(
                f"the action module is {inner} wide; expected a multiple of the heads' width {head} and of "
                f"the {WINDOW} rows of a window"
            )
        self.parallel = parallel
        self.sticks = StickAttention(outer, inner, inner // head, config.eps)
        self.buttons = ButtonAttention(outer, inner, inner // head, config.eps, null_key, one_token_a_button)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fresh weights: linear layers Xavier uniform, what each path adds zero."""
        self.sticks.reset_parameters()
        self.buttons.reset_parameters()

    def forward(self, hidden_states: Tensor, context: BlockContext) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        sticks, buttons = (context.conditions.get(f"{name}_rows") for name in ("stick", "button"))
        if sticks is None and buttons is None:
            return hidden_states
        x = hidden_states.unflatten(1, (context.grid[0], -1)).transpose(1, 2)  # (B, S, F, D)
        moved = x if sticks is None else x + self.sticks(x, sticks, context)
        if buttons is not None:
            moved = moved + self.buttons(x if self.parallel else moved, buttons, context)
        return moved.transpose(1, 2).flatten(1, 2)
