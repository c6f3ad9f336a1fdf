"""Makes the videos of infer.tryon, each with a record of what made it.

Legend: T frames, H height, W width in pixels.
"""

import hashlib
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from infer.batch import DTYPES, on_main
from infer.clip_record import is_made, write_record
from infer.model_hash import file_hash, pipeline_hash
from infer.tryon_options import TryOnOptions
from infer.tryon_videos import video_file
from vision import TryOnPipeline
from vision.media import enlargement, image_grid, is_transparent, to_image, write_image, write_video
from vision.media.bad_item import BadItemError
from vision.processes import chosen_device, process_state
from vision.tryon.actions import overlapping
from vision.tryon.parts import has_guider
from vision.tryon.readers import read_samples, read_vivid
from vision.tryon.sample import TryOnSample
from vision.tryon.sample_inputs import sample_inputs

_COLUMNS = 8
_FILES = ("video", "mask", "pose", "hand", "garment")


@dataclass(frozen=True)
class Done:
    """What a job did.

    Attributes:
        main: whether this is the process that reports.
        made: videos made now, by all processes.
        kept: videos that were there.
    """

    main: bool
    made: int
    kept: int


def dress_samples(options: TryOnOptions) -> Done:
    """Makes what the command line asks for, except what is there.

    Processes share the samples. A video counts as made when its record beside it names the same settings and
    inputs and the hash of the video. Videos and records appear whole or not at all, the video first.

    Raises:
        ValueError: samples or settings that do not fit the model; videos made with other settings.
    """
    state = process_state(cpu=options.device == "cpu")
    samples = on_main(state, lambda: _samples(options))
    pipeline = _loaded(options)
    settings = _settings(options, pipeline)
    if state.is_main_process:
        _warn_of_unread(samples, pipeline)

    def missing() -> list[tuple[int, dict[str, Any]]]:
        facts = [_fact(sample, settings) for sample in samples]
        return [
            (number, fact)
            for number, fact in enumerate(facts)
            if not is_made(_video(options, samples[number]), fact, options.overwrite)
        ]

    todo = on_main(state, missing)
    mine = todo[state.process_index :: state.num_processes]
    for number, fact in tqdm(mine, "dressing", unit="video", disable=not state.is_main_process, delay=2):
        try:
            _make(samples[number], fact, options, pipeline)
        except BadItemError:  # which names its sample
            raise
        except ValueError as error:
            raise ValueError(f"{samples[number].record.id}: {error}") from error
    state.wait_for_everyone()
    return Done(state.is_main_process, len(todo), len(samples) - len(todo))


def _samples(options: TryOnOptions) -> list[TryOnSample]:
    if options.vivid is None:
        samples = read_samples(options.index, options.split)[: options.limit]
    else:
        samples = read_vivid(options.index, options.vivid, options.inverted)[: options.limit]
    names = Counter(_video(options, sample).name for sample in samples)
    if twice := [name for name, count in names.items() if count > 1]:
        ids = sorted({sample.record.id for sample in samples if _video(options, sample).name == twice[0]})
        raise ValueError(
            f"several samples would be written as {twice[0]}, by their ids {', '.join(ids)}; give each an id "
            "of its own"
        )
    if not options.unpaired:
        return samples
    for sample in samples:
        if sample.record.unpaired_garment is None:
            raise ValueError(f"{sample.record.id} names no unpaired_garment; leave --unpaired out")
    return [
        replace(sample, record=replace(sample.record, garment=sample.record.unpaired_garment))
        for sample in samples
    ]


def _loaded(options: TryOnOptions) -> TryOnPipeline:
    place = chosen_device(options.device)
    kind = DTYPES[options.dtype or ("bfloat16" if place.type == "cuda" else "float32")]
    transformers.utils.logging.disable_progress_bar()
    diffusers.utils.logging.disable_progress_bar()
    pipeline = TryOnPipeline.from_pretrained(options.model, dtype=kind).to(place)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _settings(options: TryOnOptions, pipeline: TryOnPipeline) -> dict[str, Any]:
    """What, besides its sample, a video depends on."""
    named = ("size", "repaint", "conditioning_scale", "unpaired", "alone", "seed")
    own = {
        "guidance_scale": "default_guidance_scale",
        "negative_prompt": "default_negative_prompt",
        "window_frames": "window_frames",
        "window_overlap": "window_overlap",
    }
    given = {name: getattr(options, name) for name in (*named, *own)}
    config = pipeline.config
    steps = config["default_sigmas"] or config["default_num_inference_steps"]
    return {
        **given,
        **{name: config[field] for name, field in own.items() if given[name] is None},
        "size": None if options.size is None else list(options.size),
        "steps": steps if options.steps is None else options.steps,
        "model_hash": pipeline_hash(pipeline),
        "dtype": str(pipeline.transformer.dtype).removeprefix("torch."),
    }


def _fact(sample: TryOnSample, settings: dict[str, Any]) -> dict[str, Any]:
    record = sample.record
    paths = {name: sample.path(name) for name in _FILES}
    try:
        hashes = {name: None if path is None else file_hash(path) for name, path in paths.items()}
    except OSError as error:
        raise ValueError(f"{record.id}: {error.filename}: {error.strerror}") from error
    return {
        **settings,
        **hashes,
        "frames": None if sample.frames is None else list(sample.frames),
        "inverted": sample.inverted,
        "fps": record.fps,
        "prompt": record.caption,
        "actions": [list(action) for action in record.actions],
    }


def _warn_of_unread(samples: list[TryOnSample], pipeline: TryOnPipeline) -> None:
    """One warning each for the whole job of what the model cannot hear or see as it is."""
    with_actions = sum(bool(sample.record.actions) for sample in samples)
    if not has_guider(pipeline.transformer):
        warnings.warn(
            "this model was made without a guider, so hands and actions of the samples are left out",
            stacklevel=2,
        )
    elif with_actions and not pipeline.config["trained_with_actions"]:
        warnings.warn(
            f"this model was trained without captions of actions; those of {with_actions} samples are left "
            "out",
            stacklevel=2,
        )
    known = pipeline.config["frame_rate"]
    if others := [sample.record for sample in samples if sample.record.fps != known]:
        warnings.warn(
            f"this model was trained at {known:g} frames a second; {len(others)} samples have others, as "
            f"{others[0].id} with {others[0].fps:g}: what moves there looks slower or faster to it",
            stacklevel=2,
        )


def _warn_of_changes(sample: TryOnSample) -> None:
    """Says what of a sample that has been read is taken otherwise than it is."""
    record, garment = sample.record, sample.path("garment")
    assert garment is not None
    if is_transparent(garment):
        warnings.warn(f"{record.id}: {garment} is transparent in parts; it is laid on white", stacklevel=2)
    if overlapping(record.actions):
        warnings.warn(
            f"{record.id}: actions overlap; they are split, and their captions joined by 'and'", stacklevel=2
        )


def _make(sample: TryOnSample, fact: dict[str, Any], options: TryOnOptions, pipeline: TryOnPipeline) -> None:
    inputs = sample_inputs(sample, sample.load(), options.size)
    _warn_of_changes(sample)
    guided = has_guider(pipeline.transformer)
    if not guided:
        inputs["hands"] = None
    if not guided or not pipeline.config["trained_with_actions"]:
        inputs["actions"] = None
    # On the CPU, so that the noise is the same on every device.
    generator = torch.Generator("cpu").manual_seed(_noise_seed(fact))
    frames = pipeline(
        **inputs,
        prompt=sample.record.caption,
        negative_prompt=options.negative_prompt,
        num_inference_steps=options.steps,
        guidance_scale=options.guidance_scale,
        conditioning_scale=options.conditioning_scale,
        repaint=options.repaint,
        window_frames=options.window_frames,
        window_overlap=options.window_overlap,
        generator=generator,
        output_type="pt",
    ).frames[0]
    made = (255 * frames).round().to("cpu", torch.uint8).transpose(0, 1)  # (3, T, H, W)
    shown = {"filmed": inputs["video"][:, : made.shape[1]], "made": made}
    video = _video(options, sample)
    write_image(_strips(shown), video.with_suffix(".png"))
    pixels = made if options.alone else torch.cat(list(shown.values()), dim=3)
    write_video(pixels, video, sample.record.fps)
    write_record(video, fact, pipeline.transformer.device, model=options.model)


def _strips(shown: dict[str, Tensor]) -> Image.Image:
    """Evenly spaced frames of each video, a row each."""
    count = shown["made"].shape[1]
    columns = np.linspace(0, count - 1, min(_COLUMNS, count)).round().astype(int)
    rows = [[to_image(video[:, column]) for column in columns] for video in shown.values()]
    labels = [f"frame {column}" for column in columns]
    return image_grid(rows, list(shown), labels, scale=enlargement(rows[0][0]))


def _video(options: TryOnOptions, sample: TryOnSample) -> Path:
    return video_file(options.out, sample.record)


def _noise_seed(fact: dict[str, Any]) -> int:
    """Seed of a video's noise in [0, 2^63): a hash of the job's seed, the filmed video and the garment."""
    key = repr((fact["seed"], "tryon", fact["video"], fact["garment"])).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 1
