"""The haze-to-clear loss that a recipe describes."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from train.data.bad_samples import report_bad
from train.methods.cleared_by_flow import ClearedByFlow
from train.methods.dehaze_objectives import cleared_at_once
from train.methods.unpaired import Unpaired
from train.recipes.dehaze_adapt import HazeToClearRecipe
from vision.dehaze import ExemplarDirection, HazeToClear, SyntheticPairDirection, TextDirection
from vision.dehaze.directions.direction import Direction
from vision.dehaze.flow_dehazer import FlowDehazer
from vision.dehaze.picture_files import find_pictures, read_each
from vision.dehaze.synthetic.domain import domain
from vision.dehaze.synthetic.hazing import invented_haze

#: Weight of the content guard for networks that could invent content.
GUARD = 10.0


def unpaired_objective(
    recipe: HazeToClearRecipe,
    flow: FlowDehazer | None,
    hazy: Iterable[Tensor],
    seed: int,
    max_bad_share: float,
) -> Unpaired:
    """The objective of hazy pictures alone.

    Args:
        recipe: its section.
        flow: of the network; None for one that clears in one call.
        hazy: pictures (3, H, W) in [0, 1], for a direction from exemplars.
        seed: of the haze that a synthetic direction adds.
        max_bad_share: of the clear pictures, see :func:`train.data.bad_samples.report_bad`.

    Raises:
        ValueError: CLIP, EfficientNet or the clear pictures are not there.
    """
    loss = HazeToClear(_direction(recipe, hazy, seed, max_bad_share), recipe.floor, recipe.legacy_double_norm)
    guard = recipe.guard
    if guard is None:
        guard = 0.0 if flow is None else GUARD
    clearing = cleared_at_once if flow is None else ClearedByFlow(flow)
    return Unpaired(clearing, loss, guard, recipe.guard_window)


def _direction(
    recipe: HazeToClearRecipe, hazy: Iterable[Tensor], seed: int, max_bad_share: float
) -> Direction:
    if recipe.direction == "text":
        return TextDirection.from_pretrained(recipe.clip, recipe.domain)
    from vision.dehaze.directions.efficientnet_encoder import EfficientNetEncoder

    assert recipe.clear is not None
    clear = _pictures(recipe.clear, max_bad_share)
    if recipe.direction == "exemplar":
        return ExemplarDirection(EfficientNetEncoder(), clear, hazy)
    generator = torch.Generator().manual_seed(seed)
    return SyntheticPairDirection(
        EfficientNetEncoder(), clear, partial(invented_haze, domain(recipe.haze), generator)
    )


def _pictures(folder: str, max_bad_share: float) -> list[Tensor]:
    bad: list[str] = []
    pictures = [pixels for _, pixels in read_each(find_pictures(Path(folder)), bad)]
    report_bad("clear pictures", bad, len(pictures), max_bad_share)
    return pictures
