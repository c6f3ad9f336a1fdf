"""The programs of docs/lora_search.md run, one after another, and its figures are right."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "lora_search.md").read_text(encoding="utf-8")


def test_the_programs_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    programs = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(programs) == 3
    names: dict = {}
    for program in programs:
        exec(compile(program, "lora_search.md", "exec"), names)
    printed = re.search(r"# (\[\(.*\)\])", PAGE)
    assert printed and ast.literal_eval(capsys.readouterr().out) == ast.literal_eval(printed[1])
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {
        "gates.png",
        "day.safetensors",
        "day-peft/adapter_config.json",
        "day-peft/adapter_model.safetensors",
        "day-diffusers/pytorch_lora_weights.safetensors",
    }
    assert len(names["lora"].candidates) == 1
