"""Recipes of try-on runs that take a second or two, and clips of the studio for them."""

from pathlib import Path
from typing import Any

from tiny_runs import Workspace  # pyright: ignore[reportMissingImports] - of tests/jobs
from tiny_tryon_model import (  # pyright: ignore[reportMissingImports] - of tests/tryon
    ARCHITECTURE,
    tiny_autoencoder,
    tiny_text_encoder,
    tiny_tokenizer,
)

from train import tryon
from vision.tryon.drawing.plan import StudioSettings, planned_clips
from vision.tryon.drawing.writer import StudioWriter, joined_records
from vision.tryon.index import INDEX_NAME

SETTINGS = StudioSettings(actions=(1, 2))
HEIGHT, WIDTH = 48, 40
VACE = ("vace_layers", "vace_in_channels")


class TryOnWorkspace(Workspace):
    """A folder with clips and parts, and recipes that name them.

    Attributes:
        clips: folder of the clips and their index.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.clips = folder / "studio"
        plans = list(planned_clips(3, SETTINGS))
        writer = StudioWriter(self.clips, SETTINGS)
        for plan in plans:
            writer.record(plan)
        writer.close()
        (self.clips / INDEX_NAME).write_text(joined_records(self.clips, plans), "utf-8")
        tiny_autoencoder().save_pretrained(folder / "vae")
        tiny_text_encoder().save_pretrained(folder / "text" / "text_encoder")
        tiny_tokenizer().save_pretrained(folder / "text" / "tokenizer")

    def recipe(self, output: str) -> dict[str, Any]:
        """A recipe of train.tryon, from scratch, cut and scaled from the clips."""
        architecture = {name: value for name, value in ARCHITECTURE.items() if name not in VACE}
        return {
            "recipe": "tryon",
            "train": {**self.train(output), "batch_size": 2, "preview_every": 4},
            "model": {"architecture": architecture, "vae": str(self.folder / "vae"), "vace_layers": [0, 1]},
            "data": {
                "path": str(self.clips),
                "height": HEIGHT,
                "width": WIDTH,
                "frames": 9,
                "flip": True,
            },
            "text": {"encoder": str(self.folder / "text"), "max_prompt_tokens": 16},
            "flow": {"prompt_dropout": 0.3, "action_dropout": 0.3},
            "preview": {"clips": 2, "steps": 2, "columns": 3, "guidance_scale": 2.0},
            "cache": str(self.folder / "cache"),
        }

    def trained(self, recipe: dict[str, Any], *words: str) -> Path:
        """The folder of a run that succeeds."""
        return self.run(tryon.main, recipe, *words)

    def weights(self, run: Path) -> dict[str, Any]:
        """The section ``model`` of a recipe that goes on from a run."""
        return {"weights": str(run / "final" / "transformer"), "vae": str(self.folder / "vae")}
