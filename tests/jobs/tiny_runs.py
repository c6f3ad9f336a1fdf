"""Recipes of runs that take a second: pictures of 8 by 8, three classes, a transformer of two blocks."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from train.data.idx import write_idx
from train.recipes.yaml_text import write_yaml

SIZE = 8
CLASSES = ["a left half", "a right half", "an upper half"]
ARCHITECTURE = {
    "patch_size": [1, 4, 4],
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 1,
    "out_channels": 1,
    "text_dim": 384,
    "freq_dim": 16,
    "ffn_dim": 32,
    "num_layers": 2,
}


class Workspace:
    """A folder with pictures and prompts, and recipes that name them.

    Attributes:
        folder: where all files and runs are.
        prompts: file with a prompt for each class.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prompts = folder / "prompts.txt"
        self.prompts.write_text("".join(f"a picture of {name}\n" for name in CLASSES))
        for name, count, seed in (("train", 48, 0), ("test", 150, 1)):
            pixels, labels = pictures(count, seed)
            write_idx(folder / f"{name}-images.gz", pixels)
            write_idx(folder / f"{name}-labels", labels)

    def data(self, split: str) -> dict[str, Any]:
        """The section ``data`` of a recipe."""
        return {
            "source": "idx",
            "path": str(self.folder / f"{split}-images.gz"),
            "labels_path": str(self.folder / f"{split}-labels"),
            "class_names": CLASSES,
            "height": SIZE,
            "width": SIZE,
        }

    def train(self, output: str) -> dict[str, Any]:
        """The section ``train`` of a recipe."""
        return {
            "output": str(self.folder / output),
            "seed": 3,
            "steps": 4,
            "batch_size": 8,
            "lr": 2e-3,
            "warmup_steps": 1,
            "save_every": 2,
            "log_every": 1,
            "tracker": "none",
        }

    def base(self, output: str) -> dict[str, Any]:
        """A recipe of train.base, from scratch."""
        return {
            "recipe": "base",
            "train": {**self.train(output), "preview_every": 2},
            "model": {"architecture": deepcopy(ARCHITECTURE)},
            "data": {**self.data("train"), "templates": ["a picture of {}", "{}"]},
            "text": {"max_prompt_tokens": 8},
            "preview": {
                "prompts": ["a picture of a left half", "an upper half"],
                "steps": 3,
                "guidance_scale": 2.0,
                "columns": 2,
            },
            "cache": str(self.folder / "cache"),
        }

    def cdm(self, output: str, teacher: Path) -> dict[str, Any]:
        """A recipe of train.cdm."""
        return {
            "recipe": "cdm",
            "train": {**self.train(output), "lr": 1e-3, "preview_every": 4},
            "teacher": str(teacher),
            "prompts": str(self.prompts),
            "cdm": {"max_rollout_steps": 3, "guidance_scale": 2.0},
            "preview": {"prompts": ["a left half"]},
            "cache": str(self.folder / "cache"),
        }

    def distill(self, kind: str, output: str, teacher: Path) -> dict[str, Any]:
        """A recipe of train.distill."""
        recipe = {**self.cdm(output, teacher), "recipe": kind}
        del recipe["cdm"]
        if kind in ("consistency", "meanflow"):
            del recipe["prompts"]
            recipe["data"] = self.data("train")
        recipe[kind] = {"guidance_scale": 2.0}
        return recipe

    def features(self, output: str) -> dict[str, Any]:
        """A recipe of train.features."""
        return {
            "recipe": "classifier",
            "train": {**self.train(output), "steps": 12, "save_every": 12, "mixed_precision": "no"},
            "data": self.data("train"),
            "held_out": self.data("test"),
            "mirror": False,
        }

    def run(self, main: Callable[[Sequence[str]], int], recipe: dict[str, Any], *words: str) -> Path:
        """Runs an entry point, which must succeed; returns the run's folder."""
        assert main([str(self.write(recipe)), *words]) == 0
        return Path(recipe["train"]["output"])

    def resumed(
        self, main: Callable[[Sequence[str]], int], recipe_of: Callable[[str], dict[str, Any]]
    ) -> Path:
        """A run of four iterations that was stopped after two of them and went on.

        Args:
            main: the entry point.
            recipe_of: the recipe of a run by the name of its output.
        """
        half = recipe_of("halves")
        half["train"]["steps"] = 2
        self.run(main, half)
        return self.run(main, recipe_of("halves"), "--resume", "latest")

    def status(self, main: Callable[[Sequence[str]], int], recipe: dict[str, Any]) -> Any:
        """Exit status of an entry point on a recipe, which may be none."""
        try:
            return main([str(self.write(recipe))])
        except SystemExit as stop:
            return stop.code

    def write(self, recipe: dict[str, Any]) -> Path:
        """Writes a recipe to a file of its own."""
        path = self.folder / f"recipe-{len(list(self.folder.glob('recipe-*')))}.yaml"
        path.write_text(write_yaml(recipe))
        return path


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy pictures, bright in the half that their label names: uint8 (count, SIZE, SIZE) and (count,)."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.uint8) % len(CLASSES)
    bright = np.zeros((len(CLASSES), SIZE, SIZE))
    bright[0, :, : SIZE // 2] = bright[1, :, SIZE // 2 :] = bright[2, : SIZE // 2] = 1
    pixels = 40 + 160 * bright[labels] + random.integers(0, 40, (count, SIZE, SIZE))
    return pixels.astype(np.uint8), labels


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def assert_same_end(run: Path, other: Path, weights: str) -> None:
    """Two runs of four iterations made the same model and ended in the same state, bit for bit.

    Args:
        run, other: their folders.
        weights: file of the model below ``final``.
    """
    assert (other / "final" / weights).read_bytes() == (run / "final" / weights).read_bytes()
    last = "checkpoints/step-00000004"
    ours, theirs = files(run / last), files(other / last)
    assert ours.keys() == theirs.keys()
    names = [name for name in ours if name.endswith(".safetensors")]
    assert names and all(ours[name] == theirs[name] for name in names)
