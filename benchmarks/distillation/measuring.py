"""Draws and measures one model at several step counts, on the trained kind of grid and off it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from infer.comparison import Arm, load, load_metrics, measure
from infer.model_call import sampling_settings
from vision.media import image_grid
from vision.text import read_prompts

STEPS = (1, 2, 4, 8)
OFF_GRID_STEPS = (2, 4, 8)
#: Schedules of each step count, one a batch in turn.
OFF_GRID_SCHEDULES = 20
LOWEST, HIGHEST = 0.1, 0.95


def off_grid(steps: int) -> tuple[tuple[float, ...], ...]:
    """Random schedules: 1, then ``steps - 1`` falling draws of U(.1, .95); the same for every model."""
    generator = np.random.default_rng(steps)
    return tuple(
        (1.0, *sorted(generator.uniform(LOWEST, HIGHEST, steps - 1).tolist(), reverse=True))
        for _ in range(OFF_GRID_SCHEDULES)
    )


def even(steps: int) -> tuple[tuple[float, ...], ...]:
    """1, (n-1)/n, ..., 1/n."""
    return (tuple(1 - i / steps for i in range(steps)),)


def measure_model(
    model: Path, prompts: Path, metrics: Path, samples: int, seed: int, picture: Path
) -> list[Any]:
    """Scores of a few-step model, and the first pictures of its 4-step grid as a strip."""
    grids = [(f"{n} on", n, even(n)) for n in STEPS] + [(f"{n} off", n, off_grid(n)) for n in OFF_GRID_STEPS]
    arms = [Arm(label, str(model), steps, schedules) for label, steps, schedules in grids]
    return measure_arms(arms, prompts, metrics, samples, seed, {"4 on": picture})


def measure_arms(
    arms: list[Arm], prompts: Path, metrics: Path, samples: int, seed: int, pictures: dict[str, Path]
) -> list[Any]:
    """Scores of several grids of models, each loaded once; the named arms leave a strip of pictures."""
    torch.set_grad_enabled(False)
    classes = read_prompts(prompts)
    network, reference = load_metrics(metrics)
    pipelines = {arm.model: load(arm.model, None) for arm in arms}
    # As many batches as schedules, each with every class equally often.
    batch = max(len(classes), samples // OFF_GRID_SCHEDULES // len(classes) * len(classes))
    scores = []
    with tqdm(total=sum(arm.steps for arm in arms) * samples, unit="eval", unit_scale=True) as progress:
        for arm in arms:
            pipeline = pipelines[arm.model]
            sampling = sampling_settings(pipeline, steps=arm.steps)
            score, row = measure(
                arm, pipeline, sampling, classes, network, reference, samples, batch, seed, progress
            )
            scores.append(
                {
                    "grid": arm.label,
                    "evaluations": score.evaluations,
                    "seconds": score.seconds,
                    "frechet": score.frechet,
                    "accuracy": score.accuracy,
                    "diversity": score.diversity,
                }
            )
            if arm.label in pictures:
                image_grid([row], gap=0).save(pictures[arm.label])
    return scores
