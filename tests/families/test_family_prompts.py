"""Prompts of each family in a file: made once, taken where no text encoder is."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tiny_families import MAKE, PROMPTS, sizes

from infer import encode_prompts
from train import cdm
from train.recipes.yaml_text import write_yaml
from vision.distill.families import SD3, find_family
from vision.text import EmbeddingsFile

Encoded = Callable[[str], Path]


@pytest.fixture(scope="module")
def encoded(teachers: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The prompts of each family in a file that the command line made."""
    folder = tmp_path_factory.mktemp("encoded")
    (folder / "prompts.txt").write_text("\n".join([*PROMPTS, PROMPTS[0]]))
    made = {name: folder / f"{name}.safetensors" for name in MAKE}
    for name, out in made.items():
        words = ["--model", str(teachers[name]), "--prompts", str(folder / "prompts.txt"), "--out", str(out)]
        assert encode_prompts.main(words) == 0
    return made


def recipe(folder: Path, name: str, teacher: Path, prompts: Path) -> dict[str, Any]:
    train = {
        "output": str(folder / "run"),
        "steps": 1,
        "batch_size": 2,
        "lr": 1e-3,
        "save_every": 1,
        "mixed_precision": "no",
        "tracker": "none",
        "warmup_steps": 0,
    }
    return {
        "recipe": "cdm",
        "train": train,
        "teacher": str(teacher),
        "prompts": str(prompts),
        "cdm": {"max_rollout_steps": 2},
        "cache": str(folder / "cache"),
        **sizes(name),
    }


def run(made: dict[str, Any]) -> int:
    path = Path(made["train"]["output"]).with_suffix(".yaml")
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(write_yaml(made))
    return cdm.main([str(path)])


@pytest.mark.parametrize("name", MAKE)
def test_a_file_holds_what_the_encoders_say(name: str, teachers: dict[str, Path], encoded: dict[str, Path]):
    family = find_family(teachers[name])
    encoder = family.prompt_encoder(family.max_prompt_tokens(None))
    found = EmbeddingsFile(encoded[name])
    assert found.prompts == ["", *PROMPTS]
    found = pickle.loads(pickle.dumps(found))
    for prompt in ("", PROMPTS[1]):
        expected, cut = encoder.encode(prompt)
        assert cut == 0 and found[prompt].keys() == expected.keys()
        assert all(torch.equal(found[prompt][key], expected[key]) for key in expected)
    with safe_open(encoded[name], framework="pt") as file:
        facts = file.metadata()
    assert facts["model"] == family.pipeline and facts["encoder"] == encoder.identity
    assert facts["max_prompt_tokens"] == str(family.max_prompt_tokens(None))


@pytest.mark.parametrize("name", MAKE)
def test_with_a_file_nothing_is_encoded_and_the_run_is_the_same(
    name: str,
    teachers: dict[str, Path],
    encoded: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    text = tmp_path / "prompts.txt"
    text.write_text("\n".join(PROMPTS))
    assert run(recipe(tmp_path / "a", name, teachers[name], text)) == 0

    def fail(*_: Any) -> None:
        raise AssertionError("the text encoders were loaded")

    monkeypatch.setattr(type(find_family(teachers[name])), "load_text_encoders", fail)
    assert run(recipe(tmp_path / "b", name, teachers[name], encoded[name])) == 0
    weights = "run/checkpoints/step-00000001/networks/fake.safetensors"
    one, other = load_file(tmp_path / "a" / weights), load_file(tmp_path / "b" / weights)
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert not (tmp_path / "b" / "cache").exists()


def test_a_file_of_another_encoder_length_or_kind_is_refused(
    teachers: dict[str, Path], encoded: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    def message(name: str, teacher: Path, prompts: Path, **changes: Any) -> str:
        capsys.readouterr()
        assert run({**recipe(tmp_path, name, teacher, prompts), **changes}) == 2
        return capsys.readouterr().err

    found = message("sd3", teachers["sd3"], encoded["wan"])
    assert "is a prompt file for another encoder: a WanPipeline" in found and "infer.encode_prompts" in found

    other = tmp_path / "other"
    shutil.copytree(teachers["sd3"], other)
    weights = other / "text_encoder_3" / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "is a prompt file for another encoder" in message("sd3", other, encoded["sd3"])
    shutil.copytree(teachers["sd3"] / "transformer", other / "elsewhere")
    weights.write_bytes(content)
    assert run(recipe(tmp_path / "same", "sd3", other, encoded["sd3"])) == 0  # a copy is the same encoder

    found = message("sd3", teachers["sd3"], encoded["sd3"], max_prompt_tokens=100)
    assert "max_prompt_tokens 256, expected 100" in found
    found = message("sd3", teachers["sd3"], encoded["sd3"], preview={"prompts": ["a green door"]})
    assert "has no embedding of 'a green door'" in found and "preview.prompts" in found
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(encoded["sd3"].read_bytes()[:-9])
    assert "is not a file of prompt embeddings" in message("sd3", teachers["sd3"], damaged)
    damaged.write_bytes(weights.read_bytes())
    assert "is not a file of prompt embeddings" in message("sd3", teachers["sd3"], damaged)


def test_mistakes_on_the_command_line_are_told(
    teachers: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "prompts.txt").write_text("a red fox")
    for model, out, expected in (
        (teachers["wan"], "prompts.pt", "ends in .safetensors, found prompts.pt"),
        (tmp_path, "prompts.safetensors", "is not a pipeline's folder"),
    ):
        words = ["--model", str(model), "--prompts", str(tmp_path / "prompts.txt")]
        assert encode_prompts.main([*words, "--out", str(tmp_path / out)]) == 2
        assert expected in capsys.readouterr().err


def test_cut_prompts_are_named_once(teachers: dict[str, Path], tmp_path: Path):
    family = find_family(teachers["wan"])
    long = "a very long prompt " * 40
    tensors, cut = family.prompt_encoder(100).encode(long)
    assert tensors["encoder_hidden_states"].shape == (100, 32) and cut == len(long) + 1 - 100
    quoted = find_family(teachers["longcat_image"]).prompt_encoder(512).encode('a sign "' + "x" * 600 + '"')
    assert quoted[1] == len('a sign "') + 601 - 512


def test_a_pipeline_without_t5_is_encoded(teachers: dict[str, Path], tmp_path: Path):
    pipeline = MAKE["sd3"](text_encoder_3=None, tokenizer_3=None)
    pipeline.save_pretrained(tmp_path / "small")
    family = find_family(tmp_path / "small")
    assert isinstance(family, SD3)
    tensors, cut = family.prompt_encoder(64).encode("a red fox")
    assert tensors["prompt_embeds"].shape == (77 + 64, 32) and cut == 0
    assert (tensors["prompt_embeds"][77:] == 0).all() and tensors["prompt_embeds"][:77].abs().sum() > 0
