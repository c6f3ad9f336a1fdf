"""Prompt embeddings on disk: each is computed once."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from vision.latents.identity import hash_json
from vision.latents.tensor_file import DamagedFileError, read_tensors, write_tensors
from vision.text.encode import CODE_VERSION, check_max_length, encode_prompt, pad_tokens, warn_of_cuts
from vision.text.identity import text_encoder_identity


class PromptCache:
    """One safetensors file a prompt, named by a hash of all that its embedding depends on.

    That is the prompt, the tokenizer and the encoder (their content, not their names), ``max_length`` and
    the version of this code. Several processes may share a folder.

    Args:
        folder: made when the first file is written.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def encoded(
        self,
        tokenizer: Any,
        text_encoder: Any,
        prompts: Sequence[str],
        max_length: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> Iterator[tuple[str, Path, Tensor]]:
        """Embeddings of the different prompts among ``prompts``, from the cache or computed and put there.

        A file that is damaged, or belongs to another prompt, is computed anew with a warning. Prompts that
        are longer than ``max_length`` tokens are named in one warning at the end.

        Args:
            tokenizer, text_encoder, prompts, max_length: as for :func:`vision.text.encode_prompts`.
            rank, world_size: each process begins at its own place in the row and so finds most of the
                others' share done when it gets there.

        Yields:
            The prompt, its file, and its embedding without padding: float32 on the CPU, shape (N, D).
        """
        check_max_length(text_encoder, max_length)
        identity = text_encoder_identity(tokenizer, text_encoder)
        unique = list(dict.fromkeys(prompts))
        start = rank * len(unique) // world_size
        cuts: dict[str, int] = {}
        for prompt in unique[start:] + unique[:start]:
            key = hash_json([prompt, identity, max_length, CODE_VERSION])
            path = self.folder / key[:2] / f"{key}.safetensors"
            found = _read(path, key)
            if found is None:
                tokens, cut = encode_prompt(tokenizer, text_encoder, prompt, max_length)
                found = tokens.cpu(), cut
                metadata = {"key": key, "cut": str(cut), "prompt": prompt}
                write_tensors(path, {"tokens": found[0]}, metadata)
            cuts[prompt] = found[1]
            yield prompt, path, found[0]
        warn_of_cuts(cuts, max_length)

    def encode_prompts(
        self, tokenizer: Any, text_encoder: Any, prompts: Sequence[str], max_length: int
    ) -> Tensor:
        """:func:`vision.text.encode_prompts` through the cache: float32 on the CPU, shape (B, L, D)."""
        found = {p: tokens for p, _, tokens in self.encoded(tokenizer, text_encoder, prompts, max_length)}
        return pad_tokens([found[prompt] for prompt in prompts], max_length)


def _read(path: Path, key: str) -> tuple[Tensor, int] | None:
    try:
        tensors, metadata = read_tensors(path)
    except FileNotFoundError:
        return None
    except DamagedFileError as error:
        warnings.warn(f"{error}. Computing the prompt's embedding anew", stacklevel=3)
        return None
    if metadata.get("key") != key:
        warnings.warn(f"{path} holds another prompt's embedding. Computing it anew", stacklevel=3)
        return None
    return tensors["tokens"], int(metadata["cut"])
