"""Files of prompts: one a line, or JSONL."""

import json
import warnings
from pathlib import Path


def read_prompts(path: Path | str) -> list[str]:
    """The prompts of a file, in its order; one that is there twice counts twice.

    Args:
        path: UTF-8 text with one prompt a line; or, with the ending ``.jsonl``, one JSON object a line with
            the text under "prompt" (other keys are left alone).

    Returns:
        At least one prompt, none empty, without white space at its ends. Empty lines and empty prompts
        are left out; a warning says how many.

    Raises:
        ValueError: the file cannot be read, is not UTF-8 (with the line), is not JSONL (with the line), or
            holds no prompt.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"the prompt file {path} cannot be read: {error.strerror}; check its path"
        ) from error
    lines = content.removeprefix(b"\xef\xbb\xbf").splitlines()
    prompts = []
    for number, line in enumerate(lines, start=1):
        try:
            text = line.decode().strip()
        except UnicodeDecodeError as error:
            raise ValueError(
                f"line {number} of the prompt file {path} is not UTF-8 (byte {error.start}: "
                f"{line[error.start]:#04x}); save the file as UTF-8"
            ) from error
        if text and path.suffix == ".jsonl":
            text = _prompt(text, f"line {number} of the prompt file {path}")
        if text:
            prompts.append(text)
    if not prompts:
        raise ValueError(f"the prompt file {path} holds no prompt in {len(lines)} lines; write one a line")
    if len(prompts) < len(lines):
        empty = len(lines) - len(prompts)
        warnings.warn(f"{path}: {empty} of {len(lines)} lines are empty and left out", stacklevel=2)
    return prompts


def _prompt(line: str, place: str) -> str:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place} is not JSON ({error.msg} at column {error.colno})") from error
    prompt = record.get("prompt") if isinstance(record, dict) else None
    if not isinstance(prompt, str):
        raise ValueError(f'{place} has no text under "prompt"; found {line[:80]}')
    return prompt.strip()
