"""Loading and saving of a pipeline, with the checks that diffusers leaves out."""

from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.lora_pipeline import WanLoraLoaderMixin
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from torch import Tensor, nn
from typing_extensions import Self

from vision.distill.pipeline_folder import check_pipeline_folder, local_folder, names_component
from vision.lora.adapters import LORA_FILE, check_lora_keys
from vision.text import load_text_encoder
from vision.weights import header_shapes


class PipelineFiles(DiffusionPipeline, WanLoraLoaderMixin):
    """A diffusers pipeline whose files are checked before they are loaded, and that reads no pickle."""

    text_encoder: Any
    tokenizer: Any
    _sourced_text_encoder: Any

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Self:
        """Loads a pipeline as any of diffusers' is loaded; components and options may be passed instead.

        Call it on this class: ``DiffusionPipeline.from_pretrained`` finds only classes that diffusers
        itself defines.

        Args:
            pretrained_model_name_or_path: folder or hub id, of this pipeline or of diffusers' WanPipeline.
            **kwargs: those of diffusers: ``dtype``, ``device_map``, ``variant``, ``revision``, any component
                by its name, any option of the pipeline by its name.

        Raises:
            ValueError: the folder is no pipeline's or lacks a part; files that are truncated or edited;
                weights with missing or unexpected keys, which are named.
        """
        if kwargs.setdefault("use_safetensors", True) is not True:
            raise ValueError(
                "use_safetensors=False would read pickles, which is never done; convert the weights"
            )
        folder = local_folder(pretrained_model_name_or_path, kwargs)
        index = check_pipeline_folder(folder, kwargs.keys(), kwargs.get("variant"))
        if "text_encoder" in kwargs:
            # The caller's encoder is no longer the one of the source, and is saved with the pipeline.
            kwargs.setdefault("text_encoder_source", None)
        else:
            kwargs |= _load_text_encoder(folder, index, kwargs)
        return super().from_pretrained(str(folder), **kwargs)

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Saves every part in diffusers' layout; the text encoder stays out where it has a source."""
        replaced = {}
        if self.config["text_encoder_source"] is not None:
            if self.text_encoder is self._sourced_text_encoder:
                replaced = {"text_encoder": (None, None), "tokenizer": (None, None)}
            else:  # swapped by the user since
                replaced = {"text_encoder_source": None}
        kept = {name: self.config[name] for name in replaced}
        self.register_to_config(**replaced)
        try:
            super().save_pretrained(str(save_directory), **kwargs)
        finally:
            self.register_to_config(**kept)

    @classmethod
    def lora_state_dict(cls, pretrained_model_name_or_path_or_dict: Any, **kwargs: Any) -> Any:
        """The keys and weights of a LoRA: folder, file, hub id or dict. Pickles are refused."""
        if kwargs.setdefault("use_safetensors", True) is not True:
            raise ValueError(
                "use_safetensors=False would read a pickle, which is never done; convert the LoRA"
            )
        source = pretrained_model_name_or_path_or_dict
        if not isinstance(source, dict):
            path = Path(source)
            if path.is_dir():
                path = path / (kwargs.get("subfolder") or "") / (kwargs.get("weight_name") or LORA_FILE)
            if path.is_absolute() or path.parent.is_dir():
                header_shapes(path)
                # diffusers asks the hub which files a folder holds unless it is told the name.
                source = str(path.parent)
                kwargs |= {"weight_name": path.name, "subfolder": None}
        return super().lora_state_dict(source, **kwargs)

    @classmethod
    def load_lora_into_transformer(
        cls, state_dict: dict[str, Tensor], transformer: nn.Module, *args: Any, **kwargs: Any
    ) -> None:
        """Loads a LoRA; ValueError, naming the first few keys, where one belongs to no layer."""
        check_lora_keys(transformer, {key: value.shape for key, value in state_dict.items()}, "the LoRA")
        super().load_lora_into_transformer(state_dict, transformer, *args, **kwargs)


def _load_text_encoder(folder: Path, index: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """The text encoder and its tokenizer as arguments of ``from_pretrained``, where there are any."""
    source = options.get("text_encoder_source", index.get("text_encoder_source"))
    if names_component(index.get("text_encoder")):
        if options.get("quantization_config") is not None or options.get("variant") is not None:
            return {}  # diffusers knows which of these concern the encoder
        source = folder
    if source is None:
        return {}
    dtype = options.get("dtype", options.get("torch_dtype"))
    if isinstance(dtype, dict):
        dtype = dtype.get("text_encoder", dtype.get("default"))
    tokenizer, text_encoder = load_text_encoder(source)
    parts = {"tokenizer": tokenizer, "text_encoder": text_encoder.to(dtype or torch.float32)}
    return {name: part for name, part in parts.items() if name not in options}
