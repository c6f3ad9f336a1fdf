"""Previews: drawn as a user would draw, without a trace in the run."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from train.checkpoint import step_name
from train.random_states import random_states_kept
from train.trained_network import TrainedNetwork
from vision.processes import process_device, process_state

#: Draws a picture with the networks as they are after so many iterations; None draws nothing.
Preview = Callable[[int, dict[str, nn.Module]], Image.Image | None]


@torch.no_grad()
def draw_preview(preview: Preview, step: int, networks: dict[str, TrainedNetwork], folder: Path) -> None:
    """Calls ``preview`` on all processes and writes what the main one returns as ``step-<step>.png``.

    Inside, networks are in evaluation mode and hold their averaged weights; afterwards they, and the random
    states, are what they were, bit by bit.
    """
    with ExitStack() as stack:
        stack.enter_context(random_states_kept(process_device()))
        drawn = {name: stack.enter_context(trained.drawing()) for name, trained in networks.items()}
        picture = preview(step, drawn)
    if picture is not None and process_state().is_main_process:
        picture.save(folder / f"{step_name(step)}.png")
