"""A network as large as another one with another module for actions."""

from typing import Any

import torch

from train.recipes.world import WorldRecipe
from vision.transformer import VideoTransformer

#: Share by which the numbers of parameters may differ.
TOLERANCE = 0.03
_STEP = 8


def parameters(recipe: WorldRecipe) -> int:
    """Parameters of the network of a recipe with an architecture, its module for actions included."""
    architecture = recipe.model.architecture
    if architecture is None:
        raise ValueError("arms are trained from scratch; give the base recipe a model.architecture")
    with torch.device("meta"):
        network = VideoTransformer(**architecture.model_dump())
        network.add_conditioning(recipe.actions.module, **recipe.actions.options)
    return sum(parameter.numel() for parameter in network.parameters())


def matched_width(recipe: WorldRecipe, other: WorldRecipe) -> dict[str, Any]:
    """Heads and feed-forward width by which the network of ``recipe`` becomes as large as that of ``other``.

    As many heads as fit, of the same size; then the feed-forward layers grow by eights.

    Returns:
        The changed keys.

    Raises:
        ValueError: no width comes within :data:`TOLERANCE`.
    """
    wanted = parameters(other)

    def sized(heads: int, width: int) -> tuple[dict[str, Any], int]:
        changes = {"num_attention_heads": heads, "ffn_dim": width}
        architecture = recipe.model.architecture
        assert architecture is not None
        model = recipe.model.model_copy(update={"architecture": architecture.model_copy(update=changes)})
        keys = {f"model.architecture.{name}": value for name, value in changes.items()}
        return keys, parameters(recipe.model_copy(update={"model": model}))

    architecture = recipe.model.architecture
    assert architecture is not None
    heads, width = architecture.num_attention_heads, architecture.ffn_dim
    while sized(heads + 1, width)[1] <= wanted:
        heads += 1
    # The feed-forward layers' size is linear in their width.
    least, more = sized(heads, width)[1], sized(heads, width + _STEP)[1]
    width += max(0, round((wanted - least) / (more - least))) * _STEP
    keys, found = sized(heads, width)
    if abs(found - wanted) > TOLERANCE * wanted:
        raise ValueError(
            f"the nearest network has {found:,} parameters, expected {wanted:,} within {TOLERANCE:.0%}; "
            "change the base recipe's width"
        )
    return keys
