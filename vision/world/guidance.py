"""Guidance towards an action, and towards a prompt beside it.

Legend: ... any shape, the same for all velocities.
"""

import torch
from torch import Tensor


def guide_actions(null: Tensor, acted: Tensor, scale: float) -> Tensor:
    """``v(null) + scale (v(a) - v(null))`` (action guidance, SCOPE, arXiv 2605.23345).

    Args:
        null: velocity under the null action (...).
        acted: velocity under the action (...).
        scale: 0 gives ``null``, 1 ``acted``, both exactly; above 1 amplifies what the action does.
    """
    return torch.lerp(null, acted, scale)


def guide_prompt_and_actions(
    negative: Tensor, positive: Tensor, acted: Tensor, prompt_scale: float, action_scale: float
) -> Tensor:
    """``v(-, null) + s [v(+, null) - v(-, null)] + l [v(+, a) - v(+, null)]``.

    Prompt and action are guided one after the other, each by its own scale. The released code gives the
    action to both branches instead, so that the prompt is amplified and the action is not.

    Args:
        negative: velocity under the negative prompt and the null action (...).
        positive: velocity under the prompt and the null action (...).
        acted: velocity under the prompt and the action (...).
        prompt_scale: s; 1 leaves the negative prompt out.
        action_scale: l, as in :func:`guide_actions`.
    """
    return torch.lerp(negative, positive, prompt_scale) + action_scale * (acted - positive)
