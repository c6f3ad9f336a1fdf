"""Learning rate as a function of the network's optimizer step, whatever the number of processes."""

import math

from train.recipes.train import TrainRecipe


def learning_rate(recipe: TrainRecipe, name: str, update: int, updates: int) -> float:
    """Learning rate of one optimizer step of a network.

    The warm-up rises linearly, ``update / warmup_steps``, so the first step's rate is not zero. Of the
    U updates of the run, those after the warm-up (or the last ``decay_fraction`` for the trapezoid)
    fall from the peak towards ``final_lr_fraction`` of it, which the step after the last would reach.

    Args:
        recipe: peak, warm-up and shape.
        name: the network.
        update: the optimizer step, 1 to ``updates``.
        updates: optimizer steps of this network in the whole run.
    """
    peak = recipe.lr_of.get(name, recipe.lr)
    warm_up = min(1.0, update / recipe.warmup_steps) if recipe.warmup_steps else 1.0
    return peak * warm_up * _decay(recipe, update, updates)


def _decay(recipe: TrainRecipe, update: int, updates: int) -> float:
    if recipe.lr_schedule == "constant":
        return 1.0
    if recipe.lr_schedule == "trapezoid":
        length = max(1, round(recipe.decay_fraction * updates))
    else:
        length = max(1, updates - recipe.warmup_steps)
    done = min(1.0, max(0, update - 1 - (updates - length)) / length)
    left = (1 + math.cos(math.pi * done)) / 2 if recipe.lr_schedule == "cosine" else 1 - done
    return recipe.final_lr_fraction + (1 - recipe.final_lr_fraction) * left
