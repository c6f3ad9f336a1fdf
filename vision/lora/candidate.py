"""A place where a LoRA may go."""

from dataclasses import dataclass
from typing import Literal

#: How a convolution's update is factored, see :class:`vision.lora.gated_variant.GatedVariant`.
ConvForm = Literal["peft", "loralib"]


@dataclass(frozen=True)
class Candidate:
    """Layers that share one gate: they get a LoRA together or not at all.

    Attributes:
        name: unique among the candidates of a network.
        layers: full names of linear and convolution layers.
        rank: rank r of the update of each layer.
        conv_form: form of the update of convolutions: ``peft`` (a k x k convolution to r channels, then
            1 x 1) or ``loralib`` (a product of matrices, read as a kernel).
        cost: parameters that its LoRA has, without the gate.
    """

    name: str
    layers: tuple[str, ...]
    rank: int
    conv_form: ConvForm
    cost: int
