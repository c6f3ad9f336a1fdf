"""Prompt embeddings in one safetensors file, to train where no text encoder is.

Tensors are called ``<number>.<name>`` by the number of the prompt; the header says what made them.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vision.text.cache import CODE_VERSION
from vision.text.prompt_encoder import PromptEncoder
from vision.whole_file import written_aside

SUFFIX = ".safetensors"


def write_embeddings(
    path: Path | str, model: str, encoder: PromptEncoder, tensors: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Writes what ``encoder`` made of prompts; the file appears whole or not at all.

    Args:
        path: ends in ``.safetensors``.
        model: class of the pipeline that the embeddings are for.
        encoder: what made them.
        tensors: by prompt, then by name; everything passes through memory.
    """
    path = Path(path)
    check_suffix(path)
    header = {
        "format": "pt",
        "model": model,
        "encoder": encoder.identity,
        "precision": encoder.precision,
        "max_prompt_tokens": str(encoder.max_length),
        "code_version": str(CODE_VERSION),
        "prompts": json.dumps(list(tensors), ensure_ascii=False),
    }
    named = {
        f"{number}.{name}": value.contiguous()
        for number, values in enumerate(tensors.values())
        for name, value in values.items()
    }
    with written_aside(path) as aside:
        save_file(named, aside, header)


def check_suffix(path: Path) -> None:
    """Raises ValueError unless the name is one that a recipe knows as embeddings."""
    if path.suffix != SUFFIX:
        raise ValueError(f"embeddings are written to a file that ends in {SUFFIX}, found {path.name}")


class EmbeddingsFile:
    """Embeddings by prompt, read from the file when they are asked for.

    Args:
        path: what :func:`write_embeddings` wrote.

    Attributes:
        prompts: what was encoded, in the file's order.
        max_length: tokens to which the encoder pads and cuts.

    Raises:
        ValueError: there is no such file, it is cut short, or it is another kind of file.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            # Kept open: the header of a file of many prompts takes long to read.
            self._file = safe_open(self.path, framework="pt")
            header = self._file.metadata() or {}
            self._identity, self._model = header["encoder"], header["model"]
            self.max_length, self._code = int(header["max_prompt_tokens"]), int(header["code_version"])
            self.prompts: list[str] = json.loads(header["prompts"])
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise ValueError(
                f"{self.path} is not a file of prompt embeddings ({error!r}); write one with "
                "python -m infer.encode_prompts"
            ) from error
        self._numbers = {prompt: number for number, prompt in enumerate(self.prompts)}
        self._names = sorted({name.partition(".")[2] for name in self._file.keys()})  # noqa: SIM118

    def check(self, model: str, encoder: PromptEncoder) -> None:
        """Raises ValueError unless ``encoder``, of a pipeline of class ``model``, makes the same tensors."""
        remedy = "encode the prompts again: python -m infer.encode_prompts --model TEACHER"
        if self._identity != encoder.identity:
            raise ValueError(
                f"{self.path} is a prompt file for another encoder: a {self._model} whose text encoders and "
                f"tokenizers have the hash {self._identity}, expected {encoder.identity} ({model}); {remedy}"
            )
        for what, found, expected in (
            ("max_prompt_tokens", self.max_length, encoder.max_length),
            ("version of the code", self._code, CODE_VERSION),
        ):
            if found != expected:
                raise ValueError(f"{self.path} has {what} {found}, expected {expected}; {remedy}")

    def __reduce__(self) -> tuple[type["EmbeddingsFile"], tuple[Path]]:
        return EmbeddingsFile, (self.path,)  # a loader's worker opens the file itself

    def __getitem__(self, prompt: str) -> dict[str, Tensor]:
        """The prompt's tensors; ValueError where the file lacks it."""
        if prompt not in self._numbers:
            raise ValueError(
                f"{self.path} has no embedding of {prompt!r}; encode a prompt file that has it, or change "
                "preview.prompts"
            )
        number = self._numbers[prompt]
        return {name: self._file.get_tensor(f"{number}.{name}").clone() for name in self._names}
