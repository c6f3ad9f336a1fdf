"""What distillation asks of a kind of model besides its velocity.

Legend: B samples, C channels, F frames, H height, W width of the latents; L prompt tokens.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vision.flow.denoiser import Condition, Denoiser
from vision.flow.shift import TimeShift
from vision.text import PromptEncoder

#: Makes a student's scheduler of the teacher's.
Sampler = Callable[[Any], Any]
LatentShape = tuple[int, int, int, int]


@dataclass(frozen=True)
class Drawing:
    """What is sampled.

    Attributes:
        noise: (B, C, F, H, W).
        condition: B samples.
        null_condition: of the empty prompt, B samples.
        sigmas: before the shift, falling from 1.
        guidance_scale: 1 goes without guidance.
        sampler: makes the scheduler of the teacher's; None takes that.
    """

    noise: Tensor
    condition: Condition
    null_condition: Condition
    sigmas: Sequence[float]
    guidance_scale: float
    sampler: Sampler | None = None


@dataclass(frozen=True)
class Student:
    """What a distillation made of a teacher.

    Attributes:
        weights: all parameters of its transformer, by name.
        defaults: its ``steps``, ``guidance_scale``, ``sigmas``, ``height``, ``width`` and
            ``max_prompt_tokens``; None for the teacher's.
        extend: adds to the teacher's transformer what the student has beside it.
        sampler: makes the student's scheduler of the teacher's, which it may return.
    """

    weights: Mapping[str, Tensor]
    defaults: Mapping[str, Any]
    extend: Callable[[nn.Module], None] = lambda network: None
    sampler: Sampler = lambda scheduler: scheduler


class Family(ABC):
    """One kind of pipeline, read from a teacher's folder.

    Nothing is loaded before it is asked for: what needs configurations alone (sizes, the shift, an empty
    network) works on a folder without weights.

    Attributes:
        pipeline: class that ``model_index.json`` names.
        folder: the teacher's folder.
    """

    pipeline: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    # ------------------------------------------------------------ sizes

    @abstractmethod
    def latent_shape(self, height: int | None, width: int | None, num_frames: int | None) -> LatentShape:
        """(C, F, H, W) of a picture or video; None takes the model's own size.

        Raises:
            ValueError: a size that the autoencoder and the patches do not divide.
        """

    @abstractmethod
    def max_prompt_tokens(self, asked: int | None) -> int:
        """Tokens of a prompt; None takes the pipeline's own. ValueError where it cannot be ``asked``."""

    @property
    @abstractmethod
    def patch_size(self) -> tuple[int, int, int]:
        """Frames, rows and columns of latents to a token."""

    @property
    @abstractmethod
    def default_sampling(self) -> tuple[int, float]:
        """Steps and guidance scale of a call of the pipeline that names none."""

    @abstractmethod
    def sequence_length(self, shape: LatentShape) -> int:
        """Tokens of latents of shape (C, F, H, W), which a dynamic shift follows."""

    def prompt_length(self, max_prompt_tokens: int) -> int:
        """Tokens of a prompt's embedding."""
        return max_prompt_tokens

    @abstractmethod
    def time_shift(self, shape: LatentShape) -> TimeShift:
        """The shift that the teacher's scheduler applies.

        Raises:
            ValueError: a scheduler that is not one of flow matching, or that bends the grid.
        """

    # ------------------------------------------------------------ networks

    @property
    @abstractmethod
    def guidance_distilled(self) -> bool:
        """Whether guidance is an input of the network, which then has no unconditional branch."""

    @abstractmethod
    def network(self) -> nn.Module:
        """The transformer with its weights, float32. ValueError where files do not fit each other."""

    @abstractmethod
    def empty_network(self) -> nn.Module:
        """The transformer without weights or memory, to count."""

    @abstractmethod
    def denoiser(self, network: nn.Module) -> Denoiser:
        """``network`` behind the call of a denoiser."""

    # ------------------------------------------------------------ prompts

    @abstractmethod
    def prompt_encoder(self, max_prompt_tokens: int) -> PromptEncoder:
        """What turns prompts into conditions; it loads the text encoders when it is first asked."""

    # ------------------------------------------------------------ pictures

    @abstractmethod
    def autoencoder(self) -> Any:
        """What makes latents of pictures, as :func:`vision.latents.encode` takes it; None for pixels."""

    @abstractmethod
    def draw(self, network: nn.Module, drawing: Drawing) -> Tensor:
        """Samples by the pipeline that a user calls, with ``network`` in place of the teacher's transformer.

        The network computes where it is.

        Returns:
            Latents, float32, shape of the noise.
        """

    @abstractmethod
    def pixels(self, latents: Tensor) -> Tensor:
        """Decodes latents (B, C, F, H, W); float32 in about [-1, 1], on the CPU."""

    # ------------------------------------------------------------ files

    @abstractmethod
    def save(self, student: Student, folder: Path) -> str:
        """Writes a student's pipeline into an empty folder. Returns where it loads, in a sentence."""


@torch.no_grad()
def load_parameters(network: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """Replaces all parameters of a network; buffers stay. ValueError unless the names are the same."""
    expected = {name for name, _ in network.named_parameters()}
    if weights.keys() != expected:
        odd = sorted(weights.keys() ^ expected)
        raise ValueError(
            f"the weights are not those of this {type(network).__name__}: {', '.join(odd[:3])} in one alone"
        )
    network.load_state_dict({**network.state_dict(), **weights})
    return network
