"""Measures a try-on part by part; a part that is there is not measured again."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from benchmarks.kept import kept
from benchmarks.tryon.strips import Strip
from infer.model_hash import pipeline_hash
from vision.latents.cache import autoencoder_identity
from vision.latents.identity import hash_json
from vision.metrics.efficientnet_lite import efficientnet_lite
from vision.metrics.pooled import Pooled
from vision.processes import process_device
from vision.tryon.evaluation.attention_mass import attention_mass
from vision.tryon.evaluation.judge import judged
from vision.tryon.evaluation.makers import REFERENCES, TryOnMaker, through_autoencoder
from vision.tryon.evaluation.request import Maker, Request
from vision.tryon.evaluation.truth_files import TruthSet
from vision.tryon.evaluation.truth_settings import TruthSettings
from vision.tryon.pipeline import TryOnPipeline

#: Raised whenever a measure changes: older results are left alone.
CODE_VERSION = 1
#: What the tables call the truth as the autoencoder leaves it.
AUTOENCODER = "truth, through the autoencoder"


def loaded(model: Path) -> TryOnPipeline:
    """The try-on of a folder, on the best device there is.

    Raises:
        ValueError: the folder is no try-on's.
    """
    pipeline: Any = TryOnPipeline.from_pretrained(model)
    return pipeline.to(process_device())


class Evaluation:
    """The measures of one try-on, in a folder named by a hash of all that they depend on.

    Args:
        pipeline: loaded from a folder, see :func:`loaded`.
        work: the evaluations' folder.
        truth: folder of truth sets.
        sets: what is measured on, by kind of clips.
        hands: whether the model is shown the hands.

    Attributes:
        pipeline: the try-on.
        sets: what is measured on.
    """

    def __init__(
        self,
        pipeline: TryOnPipeline,
        work: Path,
        truth: Path,
        sets: Mapping[str, TruthSettings],
        hands: bool = True,
    ) -> None:
        self.pipeline: Any = pipeline
        self._work, self._truth, self.sets = work, truth, dict(sets)
        self._maker = TryOnMaker(self.pipeline, hands)
        self._key = ("try-on", pipeline_hash(self.pipeline), hands)

    def tryon(self) -> dict[str, Any]:
        """Measures of the try-on: ``sets`` by kind of clips, see :meth:`_measured`, and ``facts``."""
        return {"facts": self._model_facts(), "sets": {name: self._measured(name) for name in self.sets}}

    def references(self) -> dict[str, Any]:
        """``sets`` of ceilings and floors, by the label of the tables."""
        vae = self.pipeline.vae
        makers: dict[str, tuple[Maker, str]] = {name: (maker, "") for name, maker in REFERENCES.items()}
        makers[AUTOENCODER] = (through_autoencoder(vae), autoencoder_identity(vae))
        return {
            label: {
                "sets": {
                    name: kept(self._place(name, "reference", label, key), self._judging(name, maker))
                    for name in self.sets
                }
            }
            for label, (maker, key) in makers.items()
        }

    def strip(self, name: str) -> Path:
        """The picture of the first clips of a kind."""
        return self._place(name, *self._key).with_suffix(".png")

    def _measured(self, name: str) -> dict[str, Any]:
        """What :meth:`vision.tryon.evaluation.judge.Judge.found` tells, and ``attention``."""
        strip = Strip()

        def measure() -> dict[str, Any]:
            found = self._judging(name, self._maker, strip)()
            strip.write(self.strip(name))
            return found | {"attention": self._attention(name)}

        return kept(self._place(name, *self._key), measure)

    def _judging(self, name: str, maker: Maker, strip: Strip | None = None) -> Any:
        clips = TruthSet(self._truth, self.sets[name])
        return lambda: judged(maker, clips, self._network, None if strip is None else strip.look)

    def _attention(self, name: str) -> dict[str, Any]:
        clips = TruthSet(self._truth, self.sets[name])
        found = [attention_mass(self._maker, Request(clip, "paired")) for clip in clips]
        return {
            field: Pooled.mean([np.nan if one is None else getattr(one, field) for one in found]).facts()
            for field in ("mass", "chance")
        }

    def _place(self, name: str, *key: Any) -> Path:
        facts = {"code": CODE_VERSION, "truth": self.sets[name].facts()}
        return self._work / f"{name}-{hash_json([key, facts])[:16]}.json"

    @cached_property
    def _network(self) -> nn.Module:
        return efficientnet_lite()

    def _model_facts(self) -> dict[str, Any]:
        config = self.pipeline.config
        sigmas = config["default_sigmas"]
        return {
            "parameters": sum(p.numel() for p in self.pipeline.transformer.parameters()),
            "steps": config["default_num_inference_steps"] if sigmas is None else len(sigmas),
            "guidance": config["default_guidance_scale"],
            "frames": config["window_frames"],
        }
