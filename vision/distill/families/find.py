"""Which family a teacher is of."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HFValidationError

from vision.distill.families.family import Family
from vision.distill.families.longcat_image import LongCatImage
from vision.distill.families.sd3 import SD3
from vision.distill.families.stock_family import StockFamily
from vision.distill.families.text_to_image import TextToImage
from vision.distill.families.wan import Wan
from vision.pipeline_folder import local_folder, pipeline_index

#: Every family that can be distilled, by the class that model_index.json names.
FAMILIES: Mapping[str, type[Family]] = {
    family.pipeline: family for family in (TextToImage, SD3, LongCatImage, Wan)
}


def find_family(source: str | Path) -> Family:
    """The family of a pipeline, with its folder.

    Args:
        source: a pipeline's folder, or a hub id, whose files diffusers then downloads.

    Raises:
        ValueError: no pipeline, one that cannot be downloaded, or one of a family that is not known.
    """
    folder = Path(source)
    if not folder.is_dir():
        folder = _downloaded(str(source))
    return _family(pipeline_index(folder), folder)(folder)


def stock_family(pipeline: str | None) -> type[StockFamily] | None:
    """The family of one of diffusers' own pipelines, by its class; None for another."""
    family = FAMILIES.get(pipeline or "")
    return family if family is not None and issubclass(family, StockFamily) else None


def _family(index: Mapping[str, Any], place: str | Path) -> type[Family]:
    name = str(index.get("_class_name"))
    if name not in FAMILIES:
        *others, last = FAMILIES
        raise ValueError(
            f"{place} holds a {name}, expected {', '.join(others)} or {last}: distillation has no denoiser "
            "for another family"
        )
    return FAMILIES[name]


def _downloaded(source: str) -> Path:
    if source.count("/") != 1 or source.startswith(("/", ".", "~")) or Path(source).exists():
        return local_folder(source, {})  # says what is wrong
    try:
        index = json.loads(Path(hf_hub_download(source, "model_index.json")).read_text(encoding="utf-8"))
        if stock_family(_family(index, source).pipeline) is None:
            return local_folder(source, {})
        return Path(DiffusionPipeline.download(source, use_safetensors=True))
    except (OSError, HFValidationError) as error:
        raise ValueError(
            f"{source} is neither a folder here nor a pipeline that could be downloaded ({error}); check the "
            "name, the connection and, where its licence asks for it, your access (huggingface-cli login)"
        ) from error
