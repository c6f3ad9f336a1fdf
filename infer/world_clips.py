"""Makes the clips of infer.world, each with a record of what made it."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from infer.clip_record import is_made, write_record
from infer.model_hash import file_hash, pipeline_hash
from infer.world_model import fitted, load_world, read_first_frame
from infer.world_options import WorldOptions
from vision import WorldPipeline
from vision.media import (
    enlargement,
    image_grid,
    read_video,
    resize_and_crop,
    to_image,
    to_tensor,
    write_image,
    write_video,
)
from vision.transformer import Actions
from vision.world.crossfps import VIDEO_NAME
from vision.world.inputs_panel import with_inputs
from vision.world.telemetry import TELEMETRY_NAMES, read_telemetry

_COLUMNS = 12


@dataclass(frozen=True)
class _Clip:
    frame: Path
    actions: Path
    video: Path

    @property
    def strip(self) -> Path:
        return self.video.with_suffix(".png")


def make_clips(options: WorldOptions) -> tuple[int, int]:
    """Makes what the command line asks for, except the clips that are there; returns how many of each.

    A clip counts as made when its record beside it names the same settings and inputs and the hash of the
    video. Videos and records appear whole or not at all, the video first.

    Raises:
        ValueError: frames, tables or settings that do not fit the model or each other; clips that were made
            with other settings.
    """
    clips = _clips(options)
    pipeline = load_world(options.model, options.dtype, options.device)
    settings = _settings(options, pipeline)
    facts = [
        {**settings, "frame": file_hash(clip.frame), "actions": file_hash(clip.actions)} for clip in clips
    ]
    missing = [
        (clip, fact)
        for clip, fact in zip(clips, facts, strict=True)
        if not is_made(clip.video, fact, options.overwrite)
    ]
    for clip, fact in tqdm(missing, "making", unit="clip", disable=len(missing) < 2):
        _make(clip, fact, options, pipeline)
    return len(missing), len(clips) - len(missing)


def _make(clip: _Clip, fact: dict[str, Any], options: WorldOptions, pipeline: WorldPipeline) -> None:
    telemetry = read_telemetry(clip.actions, options.forward_sign)
    actions = Actions(torch.from_numpy(telemetry.sticks)[None], torch.from_numpy(telemetry.buttons)[None])
    if options.max_frames is not None:
        actions = actions.rows(0, options.max_frames)
    # On the CPU, so that the noise is the same on every device.
    generator = torch.Generator("cpu").manual_seed(_noise_seed(fact))
    latents = pipeline.clip_latents(
        fitted(read_first_frame(clip.frame), pipeline),
        actions,
        num_inference_steps=fact["steps"],
        action_guidance_scale=fact["action_guidance_scale"],
        generator=generator,
    )
    frames = (255 * pipeline.show(latents, "pt")[0]).round().to("cpu", torch.uint8)  # (T, 3, H, W)
    shown = {"made": frames.transpose(0, 1)}  # each (3, T, H, W)
    if options.beside:
        shown = {"recorded": _recorded(clip.frame, shown["made"]), **shown}
    pixels = torch.cat(list(shown.values()), dim=3)
    if options.overlay:
        pixels = with_inputs(pixels, actions.sticks[0], actions.buttons[0])
    write_image(_strips(shown), clip.strip)
    write_video(pixels, clip.video, pipeline.config["frame_rate"])
    write_record(
        clip.video,
        fact,
        pipeline.transformer.device,
        model=options.model,
        frame_file=clip.frame.name,
        actions_file=clip.actions.name,
    )


def _recorded(path: Path, like: Tensor) -> Tensor:
    """As many frames of a recorded video, cut and scaled as its first one was; after its end it is black."""
    _, count, height, width = like.shape
    video = read_video(path)[0][:, :count]
    shown = torch.zeros_like(like)
    for t, frame in enumerate(video.unbind(1)):
        shown[:, t] = to_tensor(resize_and_crop(to_image(frame), height, width))
    return shown


def _strips(shown: dict[str, Tensor]) -> Image.Image:
    """Evenly spaced frames of each video, a row each."""
    count = next(iter(shown.values())).shape[1]
    columns = np.linspace(0, count - 1, min(_COLUMNS, count)).round().astype(int)
    rows = [[to_image(video[:, column]) for column in columns] for video in shown.values()]
    labels = [f"frame {column}" for column in columns]
    return image_grid(rows, list(shown), labels, scale=enlargement(rows[0][0]))


def _clips(options: WorldOptions) -> list[_Clip]:
    count = max(len(options.frames), len(options.actions))
    frames = options.frames * (count // len(options.frames))
    actions = options.actions * (count // len(options.actions))
    for path in (*frames, *actions):
        if not path.is_file():
            raise ValueError(f"{path} does not exist; give the files of first frames and tables of actions")
    if options.out.suffix == ".mp4":
        return [_Clip(frames[0], actions[0], options.out)]
    # What differs names a clip.
    names = [_name(path) for path in (actions if len(options.actions) > 1 else frames)]
    if twice := [name for name, number in Counter(names).items() if number > 1]:
        raise ValueError(f"several clips would be called {twice[0]}.mp4; rename their files or folders")
    return [
        _Clip(frame, table, options.out / f"{name}.mp4")
        for frame, table, name in zip(frames, actions, names, strict=True)
    ]


def _name(path: Path) -> str:
    """The file's name, or its folder's where all clips of a data set have the same names of files."""
    shared = path.name in (*TELEMETRY_NAMES, VIDEO_NAME) and path.parent.name
    return path.parent.name if shared else path.stem


def _settings(options: WorldOptions, pipeline: WorldPipeline) -> dict[str, Any]:
    """What, besides its inputs, a clip depends on."""
    scale, steps = options.action_guidance_scale, options.steps
    return {
        "model_hash": pipeline_hash(pipeline),
        "seed": options.seed,
        "steps": pipeline.default_steps if steps is None else steps,
        "action_guidance_scale": pipeline.config["default_action_guidance_scale"] if scale is None else scale,
        "max_frames": options.max_frames,
        "forward_sign": options.forward_sign,
        "overlay": options.overlay,
        "beside": options.beside,
        "dtype": str(pipeline.transformer.dtype).removeprefix("torch."),
    }


def _noise_seed(fact: dict[str, Any]) -> int:
    """Seed of a clip's noise in [0, 2^63): a hash of the job's seed and of what goes in."""
    key = repr((fact["seed"], "clip", fact["frame"], fact["actions"])).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 1
