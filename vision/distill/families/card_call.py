"""The code in a model card that draws with diffusers alone."""

import json
from collections.abc import Mapping, Sequence
from typing import Any


def load_lines(pipeline: str, model: str, load_lora: str | None, also: Sequence[str] = ()) -> list[str]:
    """Imports, the pipeline called ``pipeline``, and its adapter, on a GPU.

    Args:
        pipeline: class in diffusers.
        model: folder or hub id.
        load_lora: code that loads the adapter, where there is one.
        also: further classes of diffusers to import.
    """
    lines = [
        "import torch",
        f"from diffusers import {', '.join(sorted([pipeline, *also]))}",
        "",
        f"pipeline = {pipeline}.from_pretrained({json.dumps(model)}, torch_dtype=torch.bfloat16)",
    ]
    return [*lines, *([] if load_lora is None else [load_lora]), 'pipeline.to("cuda")']


def arguments(prompt: str, options: Mapping[str, Any]) -> str:
    """The arguments of the call, one a line."""
    named = [f"    {name}={value!r}," for name, value in options.items()]
    return "\n".join([f"    {json.dumps(prompt, ensure_ascii=False)},", *named])


def picture_call(
    pipeline: str,
    model: str,
    load_lora: str | None,
    prompt: str,
    sigmas: Sequence[float],
    options: Mapping[str, Any],
) -> str:
    """Code that draws one picture by a pipeline whose call takes ``sigmas``."""
    given = {"num_inference_steps": len(sigmas), "sigmas": list(sigmas), **options}
    lines = load_lines(pipeline, model, load_lora)
    return "\n".join(
        [
            *lines,
            f"picture = pipeline(\n{arguments(prompt, given)}\n).images[0]",
            'picture.save("picture.png")',
        ]
    )
