"""A low-rank adapter that is trained in place of a network's own weights."""

from pydantic import Field

from train.recipes.recipe import Recipe


class LoRARecipe(Recipe):
    """LoRA on linear layers, as peft's LoraConfig means it."""

    rank: int = Field(default=64, ge=1)
    """Rank of the update of each layer."""

    alpha: float = Field(default=128.0, gt=0)
    """Scale of the update: it is multiplied by alpha / rank."""

    target_modules: list[str] | str = "attention+ffn"
    """Layers that get one: attention, feed-forward or attention+ffn (those of every block), a list of name
    endings, or a regular expression."""
