"""A gate on peft's LoRA, by peft's own place for changes of it.

Legend: I input channels, O output channels, k side of a kernel, r rank.
"""

from typing import Any

import torch
from peft.tuners.lora.layer import LoraVariant
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd


class GatedVariant(LoraVariant):
    """``W x + g s (B A) x`` with the gate ``g = sigmoid(alpha)`` and the scale ``s = lora_alpha / r``.

    BiLaLoRA (arXiv 2603.10872), equation 2. A convolution's update has one of two forms:

    - peft's: A a k x k convolution from I to r channels, B a 1 x 1 convolution from r to O.
    - loralib's, where A and B are linear layers: ``(B A)`` with A (r k, I k) and B (O k, r k), whose
      elements in order are those of a kernel (O, I, k, k).

    The layer carries the gate under ``lora_gate``, beside ``lora_A`` and ``lora_B``.
    """

    @staticmethod
    def forward(module: Any, active_adapter: str, x: Tensor, result: Tensor, **kwargs: Any) -> Tensor:
        """Adds the gated update to what the base layer gave."""
        a, b = module.lora_A[active_adapter], module.lora_B[active_adapter]
        x = module.lora_dropout[active_adapter](x)
        base = module.get_base_layer()
        if isinstance(base, _ConvNd) and isinstance(a, nn.Linear):
            update = base._conv_forward(x, _product(module, active_adapter), None)  # pyright: ignore
        else:
            update = b(a(x))
        return result + update * _factor(module, active_adapter)

    @staticmethod
    def merge_safe(module: Any, active_adapter: str, orig_weight: Tensor) -> Tensor:
        """The weight with the update."""
        return orig_weight + gated_update(module, active_adapter).to(orig_weight)

    @staticmethod
    def merge_unsafe(module: Any, active_adapter: str, orig_weight: Tensor) -> None:
        """Adds the update to the weight, in place."""
        orig_weight.data += gated_update(module, active_adapter).to(orig_weight)

    @staticmethod
    def unmerge(module: Any, active_adapter: str, orig_weight: Tensor) -> Tensor:
        """The weight without the update."""
        return orig_weight - gated_update(module, active_adapter).to(orig_weight)


@torch.no_grad()
def gated_update(module: Any, adapter: str) -> Tensor:
    """``g s B A`` in the shape of the layer's weight; a convolution of several groups has no room for it."""
    return _product(module, adapter) * _factor(module, adapter)


def _factor(module: Any, adapter: str) -> Tensor:
    return module.lora_gate[adapter]() * module.scaling[adapter]  # pyright: ignore


def _product(module: Any, adapter: str) -> Tensor:
    a, b = module.lora_A[adapter].weight, module.lora_B[adapter].weight
    return (b.flatten(1) @ a.flatten(1)).view(module.get_base_layer().weight.shape)
