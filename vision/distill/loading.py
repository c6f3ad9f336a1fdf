"""A pipeline from its folder, whichever class it is of."""

from pathlib import Path
from typing import Any

from vision.distill.few_step_pipeline import STOCK_PIPELINES, FewStepPipeline, few_step_class
from vision.distill.pipeline import TextToImagePipeline
from vision.pipeline_folder import local_folder, pipeline_index


def load_pipeline(source: str | Path, **kwargs: Any) -> TextToImagePipeline | FewStepPipeline:
    """Loads a pipeline such that a call with prompts alone draws as the model was made to be drawn with.

    A few-step model (``default_sigmas`` of our own pipeline, a file ``few_step.json`` beside a stock one)
    draws on its grid, at its guidance scale; ``num_inference_steps``, ``sigmas`` and ``guidance_scale`` of a
    call win. ``load_lora_weights`` takes over the grid that a LoRA's folder carries.

    Args:
        source: folder or hub id.
        **kwargs: those of ``from_pretrained``: ``dtype``, ``variant``, ``revision``, any component, ...

    Returns:
        A :class:`vision.distill.pipeline.TextToImagePipeline`, or an instance of diffusers' stock class.

    Raises:
        ValueError: no pipeline's folder, one of a class that is not known here, or broken files.
    """
    folder = local_folder(source, kwargs)
    name = pipeline_index(folder).get("_class_name")
    if name == TextToImagePipeline.__name__:
        return TextToImagePipeline.from_pretrained(folder, **kwargs)
    if name not in STOCK_PIPELINES:
        known = ", ".join((TextToImagePipeline.__name__, *STOCK_PIPELINES))
        raise ValueError(
            f"{folder} holds a {name}, expected one of {known}; load another family with diffusers"
        )
    return few_step_class(name).from_pretrained(folder, **kwargs)
