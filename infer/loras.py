"""The LoRAs that a command line asks for, on a pipeline."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from diffusers.utils import logging

from infer.model_call import Pipeline
from infer.model_hash import file_hash
from infer.options import Lora
from vision.lora.adapters import lora_file


def put_loras(pipeline: Pipeline, loras: Sequence[Lora], merge: bool) -> None:
    """Loads the LoRAs, each at its scale; with ``merge`` they become part of the weights."""
    if not loras:
        return
    adapters: Any = pipeline
    names = [f"lora{number}" for number in range(len(loras))]
    with _quiet():
        for name, lora in zip(names, loras, strict=True):
            pipeline.load_lora_weights(str(lora.source), adapter_name=name)
    adapters.set_adapters(names, [lora.scale for lora in loras])
    if merge:
        adapters.fuse_lora(adapter_names=names)
        pipeline.unload_lora_weights()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings about every other LoRA and text encoder; the keys are checked before."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Already found a `peft_config`")
            yield
    finally:
        logging.set_verbosity(verbosity)


def lora_settings(loras: Sequence[Lora], merge: bool) -> dict[str, Any]:
    """What the records of a job say of its LoRAs; None throughout where there are none."""
    return {
        "lora": [str(lora.source) for lora in loras] or None,
        "lora_hash": [file_hash(lora_file(lora.source)) for lora in loras] or None,
        "lora_scale": [lora.scale for lora in loras] or None,
        "lora_merged": merge if loras else None,
    }
