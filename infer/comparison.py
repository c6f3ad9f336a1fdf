"""Several models on the same prompts and noise.

Legend: B pictures of a batch, C channels, H height, W width.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from infer.model_call import Pipeline, draw, load_model, prompt_arguments, sampling_settings
from vision import TextToImagePipeline
from vision.media import enlargement, image_grid, to_image
from vision.metrics import FeatureNetwork, FeatureStatistics, diversity, frechet_distance
from vision.provenance import machine_facts
from vision.text.prompt_file import read_prompts
from vision.weights import check_weights


@dataclass(frozen=True)
class Arm:
    """One row of the comparison.

    Attributes:
        label: what the row is called.
        model: a pipeline's folder or hub id; guidance is the pipeline's own.
        steps: sampling steps.
        schedules: grids of ``steps`` sigmas before the shift, used in turn by the batches; the pipeline's own
            grid where there are none.
    """

    label: str
    model: str
    steps: int
    schedules: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class Score:
    """What was measured of one arm.

    Attributes:
        evaluations: calls of the network a picture; with guidance two a step.
        seconds: a picture, in batches, on this machine.
        frechet: distance to the reference statistics.
        accuracy: share of pictures that the classifier takes for their prompt's class.
        diversity: mean distance, in the classifier's features, between two pictures of one prompt.
    """

    label: str
    model: str
    steps: int
    schedules: tuple[tuple[float, ...], ...]
    guidance_scale: float
    evaluations: int
    samples: int
    seconds: float
    frechet: float
    accuracy: float
    diversity: float


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
    height: int | None = None,
    width: int | None = None,
) -> str:
    """Draws and measures all arms; writes comparison.png, table.md and results.json; returns the table.

    Sample i has prompt i modulo the number of prompts, and noise that depends on (seed, i) alone. Models of
    videos draw one frame. The seconds of a stock pipeline hold the encoding of its prompts.

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
    settings = [
        sampling_settings(pipelines[arm.model], steps=arm.steps, height=height, width=width, num_frames=1)
        for arm in arms
    ]
    scores, rows = [], []
    total = sum(samples * evaluations(sampling) for sampling in settings)
    with tqdm(total=total, unit="eval", unit_scale=True) as progress:
        for arm, sampling in zip(arms, settings, strict=True):
            progress.set_postfix_str(arm.label)
            pipeline = pipelines[arm.model]
            score, row = measure(
                arm, pipeline, sampling, classes, network, reference, samples, batch_size, seed, progress
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


def load(model: str, dtype: str | None) -> Pipeline:
    """A pipeline in ``dtype``; by default bfloat16 where the machine has matrix products in it."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype is None:
        native = device == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
        dtype = "bfloat16" if native else "float32"
    return load_model(model, getattr(torch, dtype), torch.float32).to(device)


def evaluations(settings: Mapping[str, Any]) -> int:
    """Calls of the network for one picture."""
    return settings["steps"] * (1 if settings["guidance_scale"] == 1 else 2)


def measure(
    arm: Arm,
    pipeline: Pipeline,
    sampling: Mapping[str, Any],
    classes: list[str],
    network: FeatureNetwork,
    reference: FeatureStatistics,
    samples: int,
    batch_size: int,
    seed: int,
    progress: tqdm,
) -> tuple[Score, list[Image.Image]]:
    """Draws and measures one arm; see :func:`compare`.

    Args:
        sampling: of :func:`infer.model_call.sampling_settings`; the arm's schedules go before its grid.

    Returns:
        What was measured, and the first picture of each class.
    """
    prompts_of = _prompts(pipeline, classes, sampling["guidance_scale"] != 1)
    schedules = [{**sampling, "sigmas": list(grid)} for grid in arm.schedules] or [sampling]
    features, right, seconds, row = [], 0, 0.0, []
    for start in range(0, samples, batch_size):
        numbers = torch.arange(start, min(start + batch_size, samples))
        label = numbers % len(classes)
        generators = [torch.Generator().manual_seed(seed * samples + int(i)) for i in numbers]
        begin = time.perf_counter()
        settings = schedules[start // batch_size % len(schedules)]
        images = draw(pipeline, prompts_of(label), settings, generators)[:, 0]  # (B, C, H, W) in [0, 1]
        seconds += time.perf_counter() - begin
        if images.shape[1] != network.config["in_channels"]:
            raise ValueError(
                f"{arm.model} draws pictures of {images.shape[1]} channels, and the feature network takes "
                f"{network.config['in_channels']}; give --metrics made from such pictures"
            )
        with torch.no_grad():
            found, logits = network(2 * images - 1)
        features.append(found)
        right += int((logits.argmax(-1) == label).sum())
        if start == 0:
            row = [to_image((image * 255).round().to(torch.uint8)) for image in images[: len(classes)]]
        progress.update(len(numbers) * evaluations(sampling))
    statistics = FeatureStatistics(reference.dimension)
    statistics.update(torch.cat(features))
    return (
        Score(
            **asdict(arm),
            guidance_scale=sampling["guidance_scale"],
            evaluations=evaluations(sampling),
            samples=samples,
            seconds=seconds / samples,
            frechet=frechet_distance(statistics, reference),
            accuracy=right / samples,
            diversity=diversity(torch.cat(features), len(classes)),
        ),
        row,
    )


def _prompts(pipeline: Pipeline, classes: list[str], guided: bool) -> Callable[[Tensor], dict[str, Any]]:
    """The arguments for the prompts of some labels."""
    if not isinstance(pipeline, TextToImagePipeline):
        return lambda label: prompt_arguments(pipeline, [classes[i] for i in label.tolist()], "")
    embeds, negative = pipeline.encode_prompt(classes, "", guided)
    return lambda label: {
        "prompt_embeds": embeds[label],
        "negative_prompt_embeds": None if negative is None else negative[label],
    }


def _table(scores: Sequence[Score], setting: Mapping[str, Any]) -> str:
    lines = [
        "| | evaluations | guidance | seconds a picture | Fréchet distance | accuracy | diversity |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {s.label} | {s.evaluations} | {s.guidance_scale:g} | {s.seconds:.4f} | {s.frechet:.3f} | "
        f"{s.accuracy:.3f} | {s.diversity:.2f} |"
        for s in scores
    ]
    said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in setting.items())
    return "\n".join([*lines, "", f"Every row with the same prompts and noise: {said}.", ""])
