"""Previews: drawn as a user would draw, without a trace in the run."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from train.checkpoint import step_name
from train.random_states import random_states_kept
from train.trained_network import TrainedNetwork
from vision.media import enlargement, image_grid, write_image
from vision.processes import process_device, process_state


@dataclass(frozen=True)
class Pictures:
    """Pictures of one size.

    Attributes:
        images: row by row.
        columns: how many of them stand in a row of the grid.
        values: what was measured on them, by the name under which it is logged.
    """

    images: Sequence[Image.Image]
    columns: int = 8
    values: Mapping[str, float] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Writes them as one grid, whole or not at all."""
        rows = [self.images[i : i + self.columns] for i in range(0, len(self.images), self.columns)]
        write_image(image_grid(rows, scale=enlargement(self.images[0])), path)


@dataclass(frozen=True)
class Preview:
    """What is drawn while a run goes on. All processes draw, the main one writes.

    Attributes:
        draw: pictures with the trained networks as they are after so many iterations; None draws nothing.
        reference: pictures of the same prompts, noise and size with the method's frozen networks, to which
            those of ``draw`` are compared; None where a method has no such network.
        about: what the pictures are of, as JSON. A resumed run whose pictures are of something else draws
            the reference anew.
    """

    draw: Callable[[int, dict[str, nn.Module]], Pictures | None]
    reference: Callable[[dict[str, nn.Module]], Pictures | None] = lambda networks: None
    about: Mapping[str, Any] = field(default_factory=dict)


@torch.no_grad()
def draw_preview(
    preview: Preview, step: int, networks: dict[str, TrainedNetwork], folder: Path
) -> Pictures | None:
    """Draws on all processes; the main one writes ``step-<step>.png``.

    Inside, networks are in evaluation mode and hold their averaged weights; afterwards they, and the random
    states, are what they were, bit by bit.
    """
    with ExitStack() as stack:
        stack.enter_context(random_states_kept(process_device()))
        drawn = {name: stack.enter_context(trained.drawing()) for name, trained in networks.items()}
        pictures = preview.draw(step, drawn)
    if pictures is not None and process_state().is_main_process:
        pictures.save(folder / f"{step_name(step)}.png")
    return pictures


@torch.no_grad()
def draw_reference(preview: Preview, frozen: dict[str, nn.Module], path: Path) -> Pictures | None:
    """Draws ``preview.reference`` on all processes, also with sharded networks; the main one writes it."""
    with random_states_kept(process_device()):
        pictures = preview.reference(frozen)
    if pictures is not None and process_state().is_main_process:
        pictures.save(path)
    return pictures
