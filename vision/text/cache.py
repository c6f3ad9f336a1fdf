"""Prompt embeddings on disk: each is computed once."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor

from vision.latents.identity import hash_json
from vision.latents.tensor_file import DamagedFileError, read_tensors, write_tensors
from vision.text.encode import warn_of_cuts
from vision.text.prompt_encoder import PromptEncoder

#: Raised whenever what an encoder computes, or how it is kept, changes: older files are left alone.
CODE_VERSION = 2


class PromptCache:
    """One safetensors file a prompt, named by a hash of all that its embedding depends on.

    That is the prompt, tokenizers and encoders (their content, not their names), their precision, the
    maximal length and the version of this code. Several processes may share a folder.

    Args:
        folder: made when the first file is written.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def encoded(
        self, encoder: PromptEncoder, prompts: Sequence[str], rank: int = 0, world_size: int = 1
    ) -> Iterator[tuple[str, Path, dict[str, Tensor]]]:
        """Embeddings of the different prompts among ``prompts``, from the cache or computed and put there.

        A file that is damaged, or belongs to another prompt, is computed anew with a warning. Prompts that
        are longer than the encoder takes are named in one warning at the end.

        Args:
            encoder: asked for what the cache lacks.
            prompts: "" is a prompt.
            rank, world_size: each process begins at its own place in the row and so finds most of the
                others' share done when it gets there.

        Yields:
            The prompt, its file, and its tensors on the CPU as :meth:`PromptEncoder.encode` gives them.
        """
        identity = encoder.identity
        unique = list(dict.fromkeys(prompts))
        start = rank * len(unique) // world_size
        cuts: dict[str, int] = {}
        for prompt in unique[start:] + unique[:start]:
            key = hash_json([prompt, identity, encoder.precision, encoder.max_length, CODE_VERSION])
            path = self.folder / key[:2] / f"{key}.safetensors"
            found = _read(path, key)
            if found is None:
                found = encoder.encode(prompt)
                tensors, cut = found
                write_tensors(path, tensors, {"key": key, "cut": str(cut), "prompt": prompt})
            if prompt:  # the empty one is asked for by guidance, not by the user
                cuts[prompt] = found[1]
            yield prompt, path, found[0]
        warn_of_cuts(cuts, encoder.max_length)


def _read(path: Path, key: str) -> tuple[dict[str, Tensor], int] | None:
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
    return tensors, int(metadata["cut"])
