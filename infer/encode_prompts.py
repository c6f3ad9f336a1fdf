"""Encodes prompts once, into a file that training takes where no text encoder is.

python -m infer.encode_prompts --model TEACHER --prompts prompts.txt --out prompts.safetensors
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m infer.encode_prompts",
        description="Writes the embeddings of every prompt of a file, and of the empty prompt, into one "
        "safetensors file, which a recipe of distillation may name as its prompts. All of them pass through "
        "memory: a prompt takes about 3 MB with Stable Diffusion 3 and LongCat-Image, far less with Wan.",
    )
    add = parser.add_argument
    add("--model", required=True, help="folder of a pipeline that can be distilled, or hub id")
    add("--prompts", required=True, type=Path, help='prompt file: one a line, or JSONL with "prompt"')
    add("--out", required=True, type=Path, help="the file, ending in .safetensors")
    add("--max-prompt-tokens", type=int, metavar="N", help="default the pipeline's own")
    options = parser.parse_args(argv)
    from infer.prompt_encoding import encode_to_file

    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
            count = encode_to_file(options.model, options.prompts, options.out, options.max_prompt_tokens)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}  {count} different prompts and the empty one")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
