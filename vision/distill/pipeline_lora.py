"""LoRA on a pipeline: files that are checked before they are loaded, and the few-step grid they carry."""

from pathlib import Path
from typing import Any

from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from huggingface_hub import snapshot_download
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from vision.distill.few_step import FILE, FewStep
from vision.lora.adapters import LORA_FILE, check_lora_keys
from vision.pipeline_folder import DOWNLOAD_OPTIONS
from vision.weights import header_shapes


class PipelineLora(DiffusionPipeline):
    """Goes before a loader of diffusers' in the bases of a pipeline.

    A LoRA's ``few_step.json`` is the pipeline's default while the LoRA is at work: active and not disabled,
    or fused into the weights. Of several, the one loaded last counts.
    """

    _lora_loadable_modules: Any
    #: Grids by adapter, in the order of loading; set with the first.
    _lora_grids: dict[str, FewStep]

    @property
    def own_few_step(self) -> FewStep | None:
        """The grid that the weights themselves were distilled for."""
        raise NotImplementedError

    @own_few_step.setter
    def own_few_step(self, few_step: FewStep) -> None:
        raise NotImplementedError

    @property
    def few_step(self) -> FewStep | None:
        """How a call is sampled that says nothing else; None for a model of many steps."""
        at_work = self._adapters_at_work()
        grids = [grid for name, grid in self._grids().items() if name in at_work]
        return grids[-1] if grids else self.own_few_step

    def load_lora_weights(
        self, pretrained_model_name_or_path_or_dict: Any, adapter_name: str | None = None, **kwargs: Any
    ) -> None:
        """Loads a LoRA as any of diffusers' pipelines does, and takes over the few-step grid beside it.

        Args:
            pretrained_model_name_or_path_or_dict: folder, file, hub id, or the weights by key.
            adapter_name: name for ``set_adapters``; by default one is made up.
            **kwargs: those of diffusers: ``weight_name``, ``subfolder``, ``hotswap``, ...

        Raises:
            ValueError: the file is not whole, is for another network (the first few keys are named) or is a
                pickle; ``few_step.json`` is no grid.
        """
        source = pretrained_model_name_or_path_or_dict
        few_step = None if isinstance(source, dict) else _grid_beside(str(source), kwargs)
        before = self._adapters()
        loader: Any = super()
        loader.load_lora_weights(source, adapter_name=adapter_name, **kwargs)
        swapped = set() if adapter_name is None else {adapter_name}  # hotswap adds no name
        for name in self._adapters() - before or swapped:
            self._grids().pop(name, None)
            if few_step is not None:
                self._grids()[name] = few_step

    def unload_lora_weights(self) -> None:
        """Takes all LoRAs off. What was fused stays in the weights, and so does its grid."""
        fused = [
            grid for name, grid in self._grids().items() if name in self._adapters_at_work(fused_only=True)
        ]
        loader: Any = super()
        loader.unload_lora_weights()
        self._grids().clear()
        if fused:
            self.own_few_step = fused[-1]

    def delete_adapters(self, adapter_names: list[str] | str) -> None:
        """Takes some LoRAs off, by name."""
        loader: Any = super()
        loader.delete_adapters(adapter_names)
        for name in [adapter_names] if isinstance(adapter_names, str) else adapter_names:
            self._grids().pop(name, None)

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Saves every part in diffusers' layout.

        Raises:
            ValueError: LoRAs are on the networks, whose names would then be saved instead of the model's.
        """
        if self._adapters():
            raise ValueError(
                f"the pipeline carries the LoRAs {sorted(self._adapters())}; call unload_lora_weights() "
                "before saving, after fuse_lora() to keep what they do"
            )
        super().save_pretrained(str(save_directory), **kwargs)

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
            if _is_local(path):
                header_shapes(path)
                # diffusers asks the hub which files a folder holds unless it is told the name.
                source = str(path.parent)
                kwargs |= {"weight_name": path.name, "subfolder": None}
        loader: Any = super()
        return loader.lora_state_dict(source, **kwargs)

    @classmethod
    def load_lora_into_transformer(
        cls, state_dict: dict[str, Tensor], transformer: nn.Module, *args: Any, **kwargs: Any
    ) -> None:
        """Loads a LoRA; ValueError, naming the first few keys, where one belongs to no layer."""
        others = tuple(f"{name}." for name in cls._lora_loadable_modules if name.startswith("text_encoder"))
        shapes = {key: value.shape for key, value in state_dict.items() if not key.startswith(others)}
        if shapes or not state_dict:
            check_lora_keys(transformer, shapes, "the LoRA")
        loader: Any = super()
        loader.load_lora_into_transformer(state_dict, transformer, *args, **kwargs)

    def _grids(self) -> dict[str, FewStep]:
        return self.__dict__.setdefault("_lora_grids", {})

    def _networks(self) -> list[nn.Module]:
        networks = [getattr(self, name, None) for name in self._lora_loadable_modules]
        return [network for network in networks if network is not None]

    def _adapters(self) -> set[str]:
        return {name for network in self._networks() for name in getattr(network, "peft_config", {})}

    def _adapters_at_work(self, fused_only: bool = False) -> set[str]:
        names: set[str] = set()
        for network in self._networks():
            for layer in network.modules():
                if isinstance(layer, BaseTunerLayer):
                    if fused_only or not layer.disable_adapters:
                        names.update(layer.merged_adapters)
                    if not fused_only and not layer.disable_adapters:
                        names.update(layer.active_adapters)
        return names


def _is_local(path: Path) -> bool:
    return path.is_absolute() or path.parent.is_dir()


def _grid_beside(source: str, options: dict[str, Any]) -> FewStep | None:
    """The grid in the folder of a LoRA, here or on the hub."""
    path, subfolder = Path(source), options.get("subfolder") or ""
    if path.is_dir():
        return FewStep.load(path / subfolder)
    if _is_local(path):
        return FewStep.load(path.parent)
    download = {name: options[name] for name in DOWNLOAD_OPTIONS if name in options}
    wanted = str(Path(subfolder) / FILE)
    try:
        return FewStep.load(Path(snapshot_download(source, allow_patterns=[wanted], **download)) / subfolder)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{source} is neither a LoRA here nor a repository that could be downloaded ({error}); check the "
            "name and the connection"
        ) from error
