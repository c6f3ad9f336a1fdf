"""The dehazing pipeline that a command line names, with its adapter."""

from collections.abc import Iterable
from typing import Any

import diffusers
import torch
from torch import Tensor

from infer.batch import DTYPES
from infer.dehaze_files import Source, first_picture
from infer.dehaze_options import DehazeOptions
from infer.model_hash import file_hash, pipeline_hash
from vision import DehazePipeline
from vision.dehaze.adapter_change import warn_of_little_change
from vision.dehaze.memory_layout import lay_channels_last
from vision.dehaze.own_network import OwnNetwork
from vision.lora.adapters import lora_file
from vision.media import UnreadableImageError, UnreadableVideoError
from vision.processes import chosen_device

_SAMPLES, _SAMPLE_SIDE = 4, 256


def load_dehazer(options: DehazeOptions) -> DehazePipeline:
    """The pipeline where it computes, without adapter."""
    place = chosen_device(options.device)
    kind = DTYPES[options.dtype or ("bfloat16" if place.type == "cuda" else "float32")]
    diffusers.utils.logging.disable_progress_bar()
    if options.weights is not None:
        network = OwnNetwork.from_factory(options.model, options.weights)
        torch.nn.Module.to(network, place, kind)  # diffusers' own asks what may be cast
        pipeline = DehazePipeline(network)
    else:
        pipeline = DehazePipeline.from_pretrained(options.model, dtype=kind).to(place)
    lay_channels_last(pipeline.network)
    return pipeline


def put_adapter(pipeline: DehazePipeline, options: DehazeOptions, sources: Iterable[Source]) -> None:
    """Loads the adapter and says so if it changes next to nothing of some of the pictures and videos."""
    if options.adapter is None:
        return
    samples = _samples(sources)
    before = [_cleared(pipeline, options, sample) for sample in samples]
    pipeline.load_lora_weights(options.adapter, adapter_name="haze")
    if options.merge:
        pipeline.fuse_lora()
    if not samples:
        return
    after = [_cleared(pipeline, options, sample) for sample in samples]
    warn_of_little_change(before, after, str(options.adapter))


def model_settings(pipeline: DehazePipeline, options: DehazeOptions) -> dict[str, Any]:
    """What, besides the files themselves, decides how they come out."""
    tiles, flow = pipeline.tiles(options.tile, options.overlap), pipeline.flow
    if options.weights is not None:
        model = f"{options.model} {file_hash(options.weights)}"
    else:
        model = pipeline_hash(pipeline)
    return {
        "model_hash": model,
        "adapter_hash": None if options.adapter is None else file_hash(lora_file(options.adapter)),
        "merged": options.merge,
        "tile": tiles.size,
        "overlap": tiles.overlap,
        "steps": None if flow is None else len(pipeline.sampling_grid(options.steps, None)),
        "seed": None if flow is None else options.seed,
        "smooth_airlight": options.smooth_airlight,
        "dtype": str(pipeline.network.dtype).removeprefix("torch."),
    }


def _samples(sources: Iterable[Source]) -> list[Tensor]:
    """The first few pictures and first frames that can be read, small, each (1, 3, H, W) in [0, 1]."""
    samples = []
    for source in sources:
        try:
            samples.append(first_picture(source.path).reduced(_SAMPLE_SIDE))
        except (UnreadableImageError, UnreadableVideoError):
            continue  # the job names it
        if len(samples) == _SAMPLES:
            break
    return samples


def _cleared(pipeline: DehazePipeline, options: DehazeOptions, pixels: Tensor) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(options.seed)
    call = pipeline(pixels, num_inference_steps=options.steps, generator=generator, output_type="pt")
    return call.images.float().cpu()
