"""Adapters on a dehazing pipeline: loaded, chosen, added to the weights."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from peft.tuners.lora.layer import LoraLayer
from torch import nn

from vision.lora import load_gated, load_lora, set_adapters
from vision.lora.adapters import lora_file, lora_metadata
from vision.lora.gated_files import CANDIDATES_KEY
from vision.lora.gated_layers import remove_layers


class PipelineAdapters:
    """LoRAs on the network of a pipeline, by the names of diffusers' methods; for convolutions too."""

    lora_network: nn.Module

    def load_lora_weights(
        self,
        pretrained_model_name_or_path_or_dict: str | Path,
        adapter_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Loads an adapter and makes it the active one.

        Args:
            pretrained_model_name_or_path_or_dict: a gated adapter's own file, or one (or the folder of one)
                as diffusers names it.
            adapter_name: name for :meth:`set_adapters`; by default one is made up.
            **kwargs: ``weight_name``, the file in the folder.

        Raises:
            ValueError: a file that is not whole, is a pickle, or was made for another network.
        """
        source = Path(pretrained_model_name_or_path_or_dict) / (kwargs.pop("weight_name", None) or "")
        if kwargs:
            raise ValueError(f"load_lora_weights of a dehazing pipeline takes no {', '.join(sorted(kwargs))}")
        file, network = lora_file(source), self.lora_network
        metadata = lora_metadata(file)
        if adapter_name is None:
            adapter_name = f"adapter_{len(self.get_list_adapters())}"
        if adapter_name in self.get_list_adapters():
            raise ValueError(f"there is an adapter {adapter_name!r} already; give another adapter_name")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Already found a `peft_config`")
            if CANDIDATES_KEY in metadata:
                load_gated(network, file, adapter_name)
            else:
                load_lora(network, file, adapter_name)
        set_adapters(network, adapter_name)

    def set_adapters(
        self, adapter_names: str | Sequence[str], adapter_weights: float | Sequence[float] = 1.0
    ) -> None:
        """Chooses adapters and how much each counts; none for the base. ValueError for an unknown name."""
        if self.get_list_adapters() or adapter_names:
            set_adapters(self.lora_network, adapter_names, adapter_weights)

    def get_list_adapters(self) -> list[str]:
        """Names of the adapters on the network."""
        return sorted(getattr(self.lora_network, "peft_config", {}))

    def get_active_adapters(self) -> list[str]:
        """Names of those that act."""
        names = {
            name for _, layer in self._layers() for name in layer.active_adapters if name in layer.lora_A
        }
        return [] if self._silent() else sorted(names)

    def fuse_lora(self, adapter_names: Sequence[str] | None = None) -> None:
        """Adds adapters to the weights and takes all off, so that they cost nothing any more.

        Args:
            adapter_names: which; None for the active ones.

        Raises:
            ValueError: there is none, or a convolution of several groups has one, which cannot be merged.
        """
        names = self.get_active_adapters() if adapter_names is None else list(adapter_names)
        if unknown := [name for name in names or [""] if name not in self.get_list_adapters()]:
            raise ValueError(
                f"no adapter {unknown[0]!r} is there to be merged (found "
                f"{', '.join(self.get_list_adapters()) or 'none'}); load it first"
            )
        layers = list(self._layers())
        for name, layer in layers:
            if getattr(layer.get_base_layer(), "groups", 1) > 1:
                raise ValueError(
                    f"the LoRA of {name}, a grouped convolution, cannot be merged; run it unmerged"
                )
        for _, layer in layers:
            layer.merge(adapter_names=[name for name in names if name in layer.lora_A])
            layer.merged_adapters.clear()
        self.unload_lora_weights()

    def unload_lora_weights(self) -> None:
        """Takes all adapters off; the network is the base again, or what it was fused to."""
        for adapter in self.get_list_adapters():
            names = [name for name, layer in self._layers() if adapter in layer.lora_A]
            remove_layers(self.lora_network, names, adapter)

    def _layers(self) -> Iterator[tuple[str, Any]]:
        for name, part in list(self.lora_network.named_modules()):
            if isinstance(part, LoraLayer):
                yield name, part

    def _silent(self) -> bool:
        return all(layer.disable_adapters for _, layer in self._layers())
