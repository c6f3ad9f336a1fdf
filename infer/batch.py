"""Draws the pictures of a batch job over one or more processes."""

import platform
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import diffusers
import torch
import transformers
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from tqdm import tqdm

from infer.ledger import Ledger
from infer.loras import lora_settings, put_loras
from infer.model_call import (
    Pipeline,
    draw,
    load_model,
    prompt_arguments,
    prompt_limit,
    sampling_settings,
)
from infer.model_hash import pipeline_hash
from infer.options import Options
from infer.overview import write_overview
from infer.pictures import Picture, pictures_of
from vision import __version__
from vision.media import to_image
from vision.processes import chosen_device, process_state
from vision.text.encode import warn_of_cuts
from vision.text.prompt_file import read_prompts

Value = TypeVar("Value")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Outcome:
    """What a job did, for its last lines on the screen.

    Attributes:
        main: whether this is the process that reports.
        made: pictures drawn now, by all processes.
        kept: pictures that were there.
        overview: path of the grid.
    """

    main: bool
    made: int
    kept: int
    overview: Path


def draw_batch(options: Options) -> Outcome:
    """Draws what a prompt file asks for, except what the output folder already has.

    Noise depends on (seed, prompt, picture number) alone, so neither the batch size nor the number of
    processes changes it. Pixels may differ by one level between batch sizes, where a kernel rounds
    otherwise.

    Raises:
        ValueError: bad prompt file, model, LoRA or settings; another job's folder.
    """
    state = process_state(cpu=options.device == "cpu")
    prompts = on_main(state, lambda: read_prompts(options.prompts))
    pictures = pictures_of(prompts, options.images_per_prompt)
    pipeline = loaded(options, _device(options, state))
    settings = on_main(state, lambda: job_settings(options, pipeline))
    if state.is_main_process:
        _warn_of_cut_prompts(pipeline, prompts)
    ledger = Ledger(options.out)

    def begin() -> set[Picture]:
        ledger.open(settings)
        return ledger.made(pictures)

    overview = options.out / "overview.png"
    try:
        made = on_main(state, begin)
        todo = [picture for picture in pictures if picture not in made]
        _draw(pipeline, ledger, todo[state.process_index :: state.num_processes], settings, options, state)
        state.wait_for_everyone()
        if state.is_main_process:
            write_overview(overview, options.out, pictures)
            ledger.close(pictures)
    finally:
        ledger.unlock()
    return Outcome(state.is_main_process, len(todo), len(made), overview)


def loaded(options: Options, device: torch.device) -> Pipeline:
    """The model with its LoRAs, on its device."""
    dtype = DTYPES[options.dtype or ("bfloat16" if device.type == "cuda" else "float32")]
    transformers.utils.logging.disable_progress_bar()
    diffusers.utils.logging.disable_progress_bar()
    pipeline = load_model(options.model, dtype)
    put_loras(pipeline, options.lora, options.merge_lora)
    return pipeline.to(device)


def job_settings(options: Options, pipeline: Pipeline) -> dict[str, Any]:
    """What, besides prompt and number, a picture of this job depends on; goes into each record."""
    sampling = sampling_settings(
        pipeline,
        steps=options.steps,
        sigmas=options.sigmas,
        guidance_scale=options.guidance_scale,
        height=options.height,
        width=options.width,
        num_frames=options.num_frames,
    )
    return {
        "seed": options.seed,
        "model": options.model,
        "model_hash": pipeline_hash(pipeline),
        **lora_settings(options.lora, options.merge_lora),
        **sampling,
        "frame_rate": options.frame_rate if is_video(sampling) else None,
        "negative_prompt": options.negative_prompt,
        "dtype": str(pipeline.transformer.dtype).removeprefix("torch."),
    }


def is_video(settings: Mapping[str, Any]) -> bool:
    """Whether what is drawn moves; a video of one frame is a picture."""
    return settings["num_frames"] not in (None, 1)


def on_main(state: PartialState, call: Callable[[], Value]) -> Value:
    """Calls in the main process. Each process gets the result; on an error the others end with status 2."""
    outcome: list[Any] = [None, None]
    if state.is_main_process:
        try:
            outcome[0] = call()
        except (ValueError, OSError) as error:
            outcome[1] = error
    broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1] if state.is_main_process else SystemExit(2)
    return outcome[0]


def _device(options: Options, state: PartialState) -> torch.device:
    best = state.device
    assert best is not None
    if options.device is None or torch.device(options.device) == torch.device(best.type):
        return best
    if state.num_processes > 1:
        raise ValueError(
            f"--device {options.device} names one device for {state.num_processes} processes; leave it out, "
            "or give cpu"
        )
    return chosen_device(options.device)


def _warn_of_cut_prompts(pipeline: Pipeline, prompts: list[str]) -> None:
    """One warning for the whole job, instead of one a batch."""
    tokenizer, length = prompt_limit(pipeline)
    tokens = {prompt: len(tokenizer(prompt, verbose=False)["input_ids"]) for prompt in prompts}
    warn_of_cuts({prompt: max(0, count - length) for prompt, count in tokens.items()}, length)


def _draw(
    pipeline: Pipeline,
    ledger: Ledger,
    pictures: list[Picture],
    settings: dict[str, Any],
    options: Options,
    state: PartialState,
) -> None:
    software = {
        "atelier": __version__,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "device": pipeline.transformer.device.type,
    }
    share = f" (process 1 of {state.num_processes})" if state.num_processes > 1 else ""
    bar = tqdm(total=len(pictures), unit="picture", desc=f"drawing{share}", disable=not state.is_main_process)
    with bar, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* tokens and were cut")  # said before
        for start in range(0, len(pictures), options.batch_size):
            batch = pictures[start : start + options.batch_size]
            seeds = [picture.noise_seed(options.seed) for picture in batch]
            prompts = prompt_arguments(
                pipeline, [picture.prompt for picture in batch], options.negative_prompt
            )
            # On the CPU, so that the noise is the same on every device.
            generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
            drawn = draw(pipeline, prompts, settings, generators)  # (B, F, C, H, W)
            for picture, seed, pixels in zip(batch, seeds, drawn, strict=True):
                record = {"noise_seed": seed, **settings, "software": software}
                values = (pixels * 255).round().to(torch.uint8)
                video = values.transpose(0, 1) if is_video(settings) else None
                ledger.add(picture, to_image(values[0]), record, state.process_index, video)
            bar.update(len(batch))
