"""Prompt embeddings of a teacher, in one file."""

from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from vision.distill.families import find_family
from vision.text import read_prompts, write_embeddings
from vision.text.embeddings_file import check_suffix
from vision.text.encode import warn_of_cuts


def encode_to_file(model: str, prompts: Path, out: Path, max_prompt_tokens: int | None) -> int:
    """Encodes a file of prompts, and the empty prompt.

    Args:
        model: folder of a pipeline, or hub id.
        prompts: see :func:`vision.text.read_prompts`.
        out: the safetensors file.
        max_prompt_tokens: None takes the pipeline's own.

    Returns:
        The number of different prompts.

    Raises:
        ValueError: a model, a prompt file or a name that cannot be used.
    """
    check_suffix(out)
    texts = list(dict.fromkeys(read_prompts(prompts)))
    family = find_family(model)
    encoder = family.prompt_encoder(family.max_prompt_tokens(max_prompt_tokens))
    tensors: dict[str, dict[str, Tensor]] = {}
    cuts: dict[str, int] = {}
    for prompt in tqdm(["", *texts], "prompt embeddings", delay=2, leave=False):
        tensors[prompt], cuts[prompt] = encoder.encode(prompt)
    del cuts[""]
    warn_of_cuts(cuts, encoder.max_length)
    write_embeddings(out, family.pipeline, encoder, tensors)
    encoder.close()
    return len(texts)
