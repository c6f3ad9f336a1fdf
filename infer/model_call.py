"""One call of a pipeline of any family: what it depends on, and its pictures or videos in one layout.

Legend: B pictures or videos, F frames, C channels, H height, W width.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from vision import TextToImagePipeline
from vision.distill.few_step_pipeline import FewStepPipeline
from vision.distill.loading import load_pipeline
from vision.pipeline_folder import local_folder, pipeline_index

Pipeline = TextToImagePipeline | FewStepPipeline


def load_model(source: str, dtype: torch.dtype, text_dtype: torch.dtype | None = None) -> Pipeline:
    """A pipeline of any family, without progress bars.

    Args:
        source: folder or hub id.
        dtype: of the transformer, and of what it shares its type with.
        text_dtype: of the other parts, for TextToImagePipeline, which converts between them.
    """
    folder = local_folder(source, {})
    kind = pipeline_index(folder).get("_class_name")
    options: dict[str, Any] = {"dtype": dtype}
    if kind == "TextToImagePipeline" and text_dtype is not None:
        options["dtype"] = {"transformer": dtype, "default": text_dtype}
    elif kind == "WanPipeline":  # its autoencoder loses detail in half precision
        options["dtype"] = {"vae": torch.float32, "default": dtype}
    elif kind == "LongCatImagePipeline":  # rewrites prompts, which here are drawn as they are
        options["text_processor"] = None
    pipeline = load_pipeline(folder, **options)
    pipeline.set_progress_bar_config(disable=True)  # pyright: ignore[reportAttributeAccessIssue]
    return pipeline


def sampling_settings(
    pipeline: Pipeline,
    *,
    steps: int | None = None,
    sigmas: Sequence[float] | None = None,
    guidance_scale: float | None = None,
    height: int | None = None,
    width: int | None = None,
    num_frames: int | None = None,
) -> dict[str, Any]:
    """What a call with these options does, by name; None stands for the model's own.

    ``sigmas`` stays None where the scheduler of a stock pipeline spaces the steps, ``num_frames`` where the
    pipeline draws pictures.

    Raises:
        ValueError: options that do not fit each other or the model.
    """
    if isinstance(pipeline, TextToImagePipeline):
        grid = pipeline.sampling_grid(steps, sigmas)
        call = {"num_inference_steps": len(grid), "sigmas": grid}
        scale = pipeline.default_guidance_scale if guidance_scale is None else guidance_scale
        size = pipeline.config["default_height"], pipeline.config["default_width"]
    else:
        call = pipeline.call_settings(steps, sigmas, guidance_scale)
        scale = call["guidance_scale"]
        size = _stock_size(pipeline)
    settings = {
        "steps": call["num_inference_steps"],
        "sigmas": call.get("sigmas"),
        "guidance_scale": scale,
        "height": height or size[0],
        "width": width or size[1],
        "num_frames": _frames(pipeline, num_frames),
    }
    if isinstance(pipeline, FewStepPipeline):
        _check_size(pipeline, settings)
    return settings


def prompt_arguments(pipeline: Pipeline, prompts: Sequence[str], negative_prompt: str) -> dict[str, Any]:
    """The prompts as every family takes them."""
    if isinstance(pipeline, TextToImagePipeline):
        return {"prompt": list(prompts), "negative_prompt": negative_prompt}
    return {"prompt": list(prompts), "negative_prompt": [negative_prompt] * len(prompts)}


def draw(
    pipeline: Pipeline,
    prompts: Mapping[str, Any],
    settings: Mapping[str, Any],
    generators: list[torch.Generator],
) -> Tensor:
    """Calls the pipeline.

    Args:
        pipeline: of any family.
        prompts: :func:`prompt_arguments`, or embeddings by the names that the pipeline gives them.
        settings: of :func:`sampling_settings`.
        generators: one a picture.

    Returns:
        Pixels in [0, 1], shape (B, F, C, H, W), F being 1 for pictures.

    Raises:
        ValueError: pixels that are not finite, or what the pipeline itself refuses.
    """
    names = ("guidance_scale", "height", "width")
    arguments = {name: settings[name] for name in names} | dict(prompts)
    if settings["sigmas"] is None:
        arguments["num_inference_steps"] = settings["steps"]
    else:
        arguments["sigmas"] = settings["sigmas"]
    if settings["num_frames"] is not None:
        arguments["num_frames"] = settings["num_frames"]
    if "enable_prompt_rewrite" in _parameters(pipeline):
        arguments["enable_prompt_rewrite"] = False
    drawn = pipeline(**arguments, generator=generators, output_type="pt")
    pixels = drawn.images[:, None] if settings["num_frames"] is None else drawn.frames
    if not torch.isfinite(pixels).all():
        raise ValueError("the model drew values that are not finite; use bfloat16 or float32, not float16")
    return pixels.float().cpu()


def prompt_limit(pipeline: Pipeline) -> tuple[Any, int]:
    """The tokenizer that reads most of a prompt, and how many tokens of it."""
    if isinstance(pipeline, TextToImagePipeline):
        return pipeline.tokenizer, pipeline.config["max_prompt_tokens"]
    parts: dict[str, Any] = pipeline.components
    if "tokenizer_3" in parts and parts.get("text_encoder_3") is None:  # SD3 without its T5
        return parts["tokenizer"], parts["tokenizer"].model_max_length
    tokenizer = parts.get("tokenizer_3") or parts["tokenizer"]
    declared = _parameters(pipeline).get("max_sequence_length")
    return tokenizer, vars(pipeline)["tokenizer_max_length"] if declared is None else declared.default


def _parameters(pipeline: Pipeline) -> Mapping[str, inspect.Parameter]:
    """Those that a stock class's call has."""
    if isinstance(pipeline, TextToImagePipeline):
        return {}
    return pipeline.call_parameters


def _stock_size(pipeline: FewStepPipeline) -> tuple[int, int]:
    declared = _parameters(pipeline)["height"].default
    if declared is not None:
        return declared, _parameters(pipeline)["width"].default
    own: Any = pipeline
    side = own.default_sample_size * own.vae_scale_factor
    return side, side


def _frames(pipeline: Pipeline, num_frames: int | None) -> int | None:
    declared = _parameters(pipeline).get("num_frames")
    if declared is None:
        if num_frames not in (None, 1):
            raise ValueError(f"{type(pipeline).__name__} draws pictures; leave --num-frames out")
        return None
    group = vars(pipeline)["vae_scale_factor_temporal"]
    frames = declared.default if num_frames is None else num_frames
    if frames % group != 1 % group:
        raise ValueError(
            f"found {frames} frames, expected {group}n + 1; give --num-frames {frames // group * group + 1}"
        )
    return frames


def _check_size(pipeline: FewStepPipeline, settings: Mapping[str, Any]) -> None:
    """diffusers rounds a size that does not divide into patches; then the records would not be true."""
    own: Any = pipeline
    if settings["num_frames"] is not None:
        # 16 is what WanPipeline itself asks for.
        factor = max(16, own.vae_scale_factor_spatial * own.transformer.config.patch_size[1])
    else:
        factor = 2 * own.vae_scale_factor
    for name in ("height", "width"):
        if settings[name] % factor:
            raise ValueError(f"{name} is {settings[name]}, expected a multiple of {factor}")
