"""The model card says what it must, and can be read back."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from vision.cards.model_card import REQUIRED, write_model_card

FACTS: dict[str, Any] = {
    "title": "A student",
    "summary": "Draws in four steps.",
    "call": "pipeline('a bag')",
    "data": "prompts only",
    "configuration": {"train": {"lr": 1e-5, "betas": (0.9, 0.999)}, "output": Path("outputs/x")},
    "seed": 0,
    "code_version": "0.1.0",
    "quality": {"Fréchet distance | 4 steps": 0.61234567, "steps": 4},
    "license": "apache-2.0",
    "training_time": ["12 minutes", "two cores"],
}


def test_every_fact_is_on_the_card(tmp_path: Path):
    text = write_model_card(tmp_path, FACTS).read_text(encoding="utf-8")
    _, header, body = text.split("---\n", 2)
    assert yaml.safe_load(header)["license"] == "apache-2.0"
    for part in (
        "# A student",
        "Seed 0, code 0.1.0",
        "| Fréchet distance \\| 4 steps | 0.6123 |",
        "- two cores",
    ):
        assert part in body
    recipe = yaml.safe_load(body.split("```yaml\n")[1].split("```")[0])
    assert recipe == {"train": {"lr": 1e-5, "betas": [0.9, 0.999]}, "output": "outputs/x"}
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


@pytest.mark.parametrize("name", REQUIRED)
def test_a_card_without_a_needed_fact_is_refused(tmp_path: Path, name: str):
    with pytest.raises(ValueError, match=f"lacks {name} "):
        write_model_card(tmp_path, {**FACTS, name: ""})
    assert not list(tmp_path.iterdir())
