"""Prompt files: what is read, and what is said of what is not."""

import json
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.text import read_prompts

texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1)
prompt_lists = st.lists(texts.map(str.strip).filter(bool), min_size=1, max_size=8)


@given(
    prompts=prompt_lists,
    end=st.sampled_from(["\n", "\r\n"]),
    mark=st.booleans(),
    kind=st.sampled_from(["txt", "jsonl"]),
)
@settings(max_examples=60, deadline=None)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, prompts: list[str], end: str, mark: bool, kind: str
) -> None:
    path = tmp_path_factory.mktemp("prompts") / f"prompts.{kind}"
    lines = prompts if kind == "txt" else [json.dumps({"prompt": p, "id": i}) for i, p in enumerate(prompts)]
    path.write_bytes(b"\xef\xbb\xbf" * mark + "".join(line + end for line in lines).encode())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_prompts(path) == prompts


def test_empty_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("a boot\n\n   \na bag\n")
    with pytest.warns(UserWarning, match="2 of 4 lines are empty"):
        assert read_prompts(path) == ["a boot", "a bag"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "holds no prompt in 0 lines"),
        ("a.txt", b"\n \n", "holds no prompt in 2 lines"),
        ("a.txt", b"a boot\nschuh gr\xf6sse\n", r"line 2 .* not UTF-8 \(byte 8: 0xf6\)"),
        ("a.jsonl", b'{"prompt": "a"}\n{"prompt": \n', "line 2 .* is not JSON"),
        ("a.jsonl", b'{"text": "a"}\n', 'line 1 .* no text under "prompt"'),
        ("a.jsonl", b'["a"]\n', 'line 1 .* no text under "prompt"'),
        ("a.jsonl", b'{"prompt": 3}\n', 'line 1 .* no text under "prompt"'),
    ],
)
def test_bad_files_are_errors(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_prompts(tmp_path / name)


def test_a_missing_file_and_a_folder_are_errors(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.txt"):
        with pytest.raises(ValueError, match="cannot be read"):
            read_prompts(path)
