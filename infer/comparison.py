"""Several models on the same prompts and noise.

Legend: B pictures of a batch, C channels, H height, W width.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from vision import TextToImagePipeline
from vision.media import enlargement, image_grid
from vision.metrics import FeatureNetwork, FeatureStatistics, frechet_distance
from vision.provenance import machine_facts
from vision.text.prompt_file import read_prompts
from vision.weights import check_weights


@dataclass(frozen=True)
class Arm:
    """One row of the comparison.

    Attributes:
        label: what the row is called.
        model: a pipeline's folder; guidance is the pipeline's own.
        steps: sampling steps.
    """

    label: str
    model: str
    steps: int


@dataclass(frozen=True)
class Score:
    """What was measured of one arm.

    Attributes:
        evaluations: calls of the network a picture; with guidance two a step.
        seconds: a picture, in batches, on this machine.
        frechet: distance to the reference statistics.
        accuracy: share of pictures that the classifier takes for their prompt's class.
    """

    label: str
    model: str
    steps: int
    guidance_scale: float
    evaluations: int
    samples: int
    seconds: float
    frechet: float
    accuracy: float


def compare(
    arms: Sequence[Arm],
    *,
    prompts: Path,
    metrics: Path,
    samples: int,
    batch_size: int,
    seed: int,
    dtype: str | None,
    out: Path,
) -> str:
    """Draws and measures all arms; writes comparison.png, table.md and results.json; returns the table.

    Sample i has prompt i modulo the number of prompts, and noise that depends on (seed, i) alone.

    Raises:
        ValueError: prompts that are not the classifier's classes, too few samples, or broken models.
    """
    classes = read_prompts(prompts)
    network, reference = load_metrics(metrics)
    if len(classes) != network.classifier.out_features:
        raise ValueError(
            f"{prompts} has {len(classes)} prompts and the classifier of {metrics} "
            f"{network.classifier.out_features} classes; give one prompt a class, in their order"
        )
    if min(samples, reference.count) <= reference.dimension:
        raise ValueError(
            f"there are {samples} samples a model and {reference.count} reference pictures; a distance of "
            f"{reference.dimension} features needs more than {reference.dimension} of each: raise --samples"
        )
    transformers.utils.logging.disable_progress_bar()
    diffusers.utils.logging.disable_progress_bar()
    pipelines = {arm.model: load(arm.model, dtype) for arm in arms}
    scores, rows = [], []
    total = sum(samples * evaluations(pipelines[arm.model], arm) for arm in arms)
    with tqdm(total=total, unit="eval", unit_scale=True) as progress:
        for arm in arms:
            progress.set_postfix_str(arm.label)
            score, row = _measure(
                arm, pipelines[arm.model], classes, network, reference, samples, batch_size, seed, progress
            )
            scores.append(score)
            rows.append(row)

    out.mkdir(parents=True, exist_ok=True)
    scale = enlargement(rows[0][0])
    image_grid(rows, [score.label for score in scores], classes, scale=scale).save(out / "comparison.png")
    first = pipelines[arms[0].model]
    setting = {
        "prompts": str(prompts),
        "metrics": str(metrics),
        "samples": samples,
        "batch_size": batch_size,
        "seed": seed,
        "dtype": str(first.transformer.dtype).removeprefix("torch."),
        **machine_facts(first.device),
    }
    return write_results(out, setting, scores)


def write_results(out: Path, setting: Mapping[str, Any], scores: Sequence[Score]) -> str:
    """Writes table.md and results.json; returns the table."""
    table = _table(scores, setting)
    (out / "table.md").write_text(table, encoding="utf-8")
    results = {"setting": dict(setting), "rows": [asdict(score) for score in scores]}
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return table


def load_metrics(folder: Path) -> tuple[FeatureNetwork, FeatureStatistics]:
    """The feature network and the reference statistics that train.features put into a folder."""
    statistics = folder / "statistics.safetensors"
    if not statistics.is_file():
        raise ValueError(
            f"{folder} holds no feature network with its statistics.safetensors; give the final folder of a "
            "run of train.features"
        )
    check_weights(folder, FeatureNetwork)
    network = FeatureNetwork.from_pretrained(folder)
    return network.eval(), FeatureStatistics.load(statistics)[0]


def load(model: str, dtype: str | None) -> TextToImagePipeline:
    """A pipeline in ``dtype``; by default bfloat16 where the machine has matrix products in it."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype is None:
        native = device == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
        dtype = "bfloat16" if native else "float32"
    kinds = {"transformer": getattr(torch, dtype), "default": torch.float32}
    pipeline = TextToImagePipeline.from_pretrained(model, dtype=kinds)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def evaluations(pipeline: TextToImagePipeline, arm: Arm) -> int:
    """Calls of the network for one picture."""
    return arm.steps * (1 if pipeline.config["default_guidance_scale"] == 1 else 2)


def _measure(
    arm: Arm,
    pipeline: TextToImagePipeline,
    classes: list[str],
    network: FeatureNetwork,
    reference: FeatureStatistics,
    samples: int,
    batch_size: int,
    seed: int,
    progress: tqdm,
) -> tuple[Score, list[Image.Image]]:
    scale = pipeline.config["default_guidance_scale"]
    embeds, negative = pipeline.encode_prompt(classes, "", scale != 1)
    statistics = FeatureStatistics(reference.dimension)
    right, seconds, row = 0, 0.0, []
    for start in range(0, samples, batch_size):
        numbers = torch.arange(start, min(start + batch_size, samples))
        label = numbers % len(classes)
        begin = time.perf_counter()
        images: Tensor = pipeline(
            prompt_embeds=embeds[label],
            negative_prompt_embeds=None if negative is None else negative[label],
            num_inference_steps=arm.steps,
            generator=[torch.Generator().manual_seed(seed * samples + int(i)) for i in numbers],
            output_type="pt",
        ).images  # (B, C, H, W) in [0, 1]
        seconds += time.perf_counter() - begin
        right += _classify(images.cpu().float(), label, network, statistics)
        if start == 0:
            row = pipeline.image_processor.numpy_to_pil(
                pipeline.image_processor.pt_to_numpy(images[: len(classes)])
            )
        progress.update(len(numbers) * evaluations(pipeline, arm))
    return (
        Score(
            **asdict(arm),
            guidance_scale=scale,
            evaluations=evaluations(pipeline, arm),
            samples=samples,
            seconds=seconds / samples,
            frechet=frechet_distance(statistics, reference),
            accuracy=right / samples,
        ),
        row,
    )


@torch.no_grad()
def _classify(images: Tensor, label: Tensor, network: FeatureNetwork, statistics: FeatureStatistics) -> int:
    features, logits = network(2 * images - 1)
    statistics.update(features)
    return int((logits.argmax(-1) == label).sum())


def _table(scores: Sequence[Score], setting: Mapping[str, Any]) -> str:
    lines = [
        "| | evaluations a picture | guidance | seconds a picture | Fréchet distance | accuracy |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {s.label} | {s.evaluations} | {s.guidance_scale:g} | {s.seconds:.4f} | {s.frechet:.3f} | "
        f"{s.accuracy:.3f} |"
        for s in scores
    ]
    said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in setting.items())
    return "\n".join([*lines, "", f"Every row with the same prompts and noise: {said}.", ""])
