"""Measures a world part by part; a part that is there is not measured again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.kept import kept
from benchmarks.world.settings import SCALES, UNSEEN, Settings
from benchmarks.world.strips import write_strip
from infer.model_hash import pipeline_hash
from vision.latents.cache import autoencoder_identity
from vision.latents.identity import hash_json
from vision.world.evaluation.judge import judge_pairs, judge_sticks, make_pairs
from vision.world.evaluation.maker import Maker, copied_first_frame, through_autoencoder
from vision.world.evaluation.truth_files import truth_set
from vision.world.evaluation.world_maker import WorldMaker
from vision.world.gamepad import BUTTONS
from vision.world.pipeline import WorldPipeline

#: Raised whenever a measure changes: older results are left alone.
CODE_VERSION = 1
STRIP = "strip.png"


class Evaluation:
    """The measures of one world, in a folder named by a hash of all that they depend on.

    Args:
        model: folder of a :class:`vision.WorldPipeline`.
        work: the evaluations' folder.
        truth: folder of truth sets.
        settings: how much is measured.

    Attributes:
        pipeline: the world.

    Raises:
        ValueError: the folder is no world's, or the world takes pictures of any size.
    """

    def __init__(self, model: Path, work: Path, truth: Path, settings: Settings) -> None:
        self.pipeline = WorldPipeline.from_pretrained(model)
        self._work, self._truth, self._settings = work, truth, settings
        config: Any = self.pipeline.config
        if None in (config["default_height"], config["default_width"]):
            raise ValueError(
                f"{model} says no size of its pictures; set default_height and default_width in its "
                "model_index.json"
            )
        self._sizes = settings.truth(config["default_height"], config["default_width"])
        self._facts = {"code": CODE_VERSION, "truth": self._sizes.facts()}
        self.folder = self._place("world", pipeline_hash(self.pipeline))

    def world(self) -> dict[str, Any]:
        """Measures of the world: ``splits``, ``sweep``, ``drift`` and ``facts``."""
        pipeline, settings = self.pipeline, self._settings
        few = pipeline.config["default_sigmas"] is not None
        maker = WorldMaker(pipeline, settings.batch_size)
        found = {
            "facts": self._kept("facts", self._model_facts),
            "splits": self._splits(self.folder, maker),
            # The guidance of a few-step world is in its weights.
            "sweep": self._kept(f"sweep-{settings.sweep_starts}", self._sweep)
            if settings.sweep_starts and not few
            else {},
            "drift": {},
        }
        if settings.drift_chunks and pipeline.transformer.causality is not None:
            from benchmarks.world.drifting import measured_drift

            size = self._sizes.height, self._sizes.width
            name = f"drift-{settings.drift_chunks}-{settings.drift_worlds}"
            found["drift"] = self._kept(name, lambda: measured_drift(pipeline, settings, size, self._truth))
        return found

    def references(self) -> dict[str, Any]:
        """``splits`` of the ceiling (the engine's frames through the autoencoder) and of the floor."""
        vae = self.pipeline.vae
        makers = {
            "autoencoder": (through_autoencoder(vae, self._settings.batch_size), autoencoder_identity(vae)),
            "first frame": (copied_first_frame, "copy"),
        }
        return {
            name: {"splits": self._splits(self._place("reference", name, key), maker)}
            for name, (maker, key) in makers.items()
        }

    def _place(self, *key: str) -> Path:
        return self._work / f"{key[0]}-{hash_json([key, self._facts])[:16]}"

    def _splits(self, folder: Path, maker: Maker) -> dict[str, Any]:
        return {
            split: self._kept(split, lambda split=split: self._judged(folder, split, maker), folder)
            for split in self._settings.splits
        }

    def _judged(self, folder: Path, split: str, maker: Maker) -> dict[str, Any]:
        truth = truth_set(self._truth, split, self._sizes)
        made = make_pairs(maker, truth)
        if split == UNSEEN:
            write_strip(made, truth, folder / STRIP)
        return {"presses": judge_pairs(made, truth), "sticks": judge_sticks(maker, truth)}

    def _sweep(self) -> dict[str, Any]:
        truth = truth_set(self._truth, UNSEEN, self._sizes).first(self._settings.sweep_starts)
        makers = {scale: WorldMaker(self.pipeline, self._settings.batch_size, scale) for scale in SCALES}
        return {
            str(scale): judge_pairs(make_pairs(maker, truth, BUTTONS), truth)
            for scale, maker in makers.items()
        }

    def _model_facts(self) -> dict[str, Any]:
        config: Any = self.pipeline.config
        causality = self.pipeline.transformer.causality
        sigmas = config["default_sigmas"]
        return {
            "parameters": sum(p.numel() for p in self.pipeline.transformer.parameters()),
            "steps": config["default_num_inference_steps"] if sigmas is None else len(sigmas),
            "guidance": config["default_action_guidance_scale"],
            "chunk": None if causality is None else causality.chunk,
            "window": None if causality is None else causality.window,
        }

    def _kept(self, name: str, made: Callable[[], dict[str, Any]], folder: Path | None = None) -> Any:
        return kept((folder or self.folder) / f"{name}.json", made)
