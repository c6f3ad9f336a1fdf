"""What makes prompt embeddings, whatever the model's text encoders.

Legend: N tokens of a prompt, L tokens after padding, D width.
"""

from abc import ABC, abstractmethod

from torch import Tensor


class PromptEncoder(ABC):
    """Turns one prompt into named tensors, the condition of one sample.

    Attributes:
        max_length: L, tokens of a prompt.
        padded: names of tensors that :meth:`encode` gives as (N, D), without the zeros after the prompt's
            end; they are padded to (L, D) where they are used. All others have one shape for all prompts.
        precision: the number format that it computes in.
    """

    max_length: int
    padded: frozenset[str] = frozenset()
    precision: str = "float32"

    @property
    @abstractmethod
    def identity(self) -> str:
        """Hash of the text encoders and tokenizers, by content."""

    @abstractmethod
    def encode(self, prompt: str) -> tuple[dict[str, Tensor], int]:
        """The prompt's tensors without a batch dimension, on the CPU, and how many of its tokens were cut."""

    def close(self) -> None:  # noqa: B027 - most encoders hold nothing
        """Gives back what :meth:`encode` loaded; the next call loads it again."""
