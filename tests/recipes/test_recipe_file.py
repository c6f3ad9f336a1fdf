"""Files of recipes: what YAML means here, what is refused, and the round trip."""

import typing
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from train.recipes.base import BaseRecipe
from train.recipes.cdm import CDMRecipe
from train.recipes.keys import Key, recipe_keys
from train.recipes.load import dump_recipe, load_recipe
from train.recipes.override import Override
from train.recipes.recipe_error import RecipeError
from train.recipes.run import ENTRY_POINTS, RunRecipe
from train.recipes.yaml_text import read_yaml, write_yaml

CDM = """\
recipe: cdm
train:
  output: runs/x
  steps: 100
  batch_size: 4
  lr: 1e-4
  save_every: 50
teacher: checkpoints/t
prompts: p.txt
"""
BASE = """\
recipe: base
train: {output: runs/x, steps: 100, batch_size: 4, lr: 1e-4, save_every: 50}
model:
  architecture:
    {num_attention_heads: 2, attention_head_dim: 16, in_channels: 1, out_channels: 1,
     text_dim: 384, ffn_dim: 64, num_layers: 2}
data: {source: image_folder, path: pictures, height: 32, width: 32}
"""


def load(text: str, recipe: type[RunRecipe], folder: Path):
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(recipe, path)


def message(text: str, recipe: type[RunRecipe], folder: Path) -> str:
    with pytest.raises(RecipeError) as error:
        load(text, recipe, folder)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("2E5", 2e5),
        (".5", 0.5),
        ("-3", -3),
        ("010", 10),
        ("1_000", 1000),
        ("no", "no"),
        ("On", "On"),
        ("true", True),
        ("~", None),
        ("null", None),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("0x10", "0x10"),
        ("1.2.3", "1.2.3"),
        ("'5'", "5"),
    ],
)
def test_scalars(text, value):
    found = read_yaml(f"key: {text}")[0]["key"]
    assert found == value and type(found) is type(value)


leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
texts = st.sampled_from(
    ["no", "1e-4", "010", "1_0", "~", "", "null", "=", "<<", "1:30", ".5", "0x1", "*a", "2026-01-01"]
)
values = st.recursive(
    leaves | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | texts, inner, max_size=3),
)


@given(st.dictionaries(st.text() | texts, values, max_size=4))
@settings(max_examples=80, deadline=None)
def test_what_is_written_reads_back_in_both_readings_of_yaml(value):
    text = write_yaml(value)
    assert read_yaml(text)[0] == value
    assert yaml.safe_load(text) == value


def _values_of(key: Key) -> st.SearchStrategy:
    def of(annotation) -> st.SearchStrategy:
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is typing.Annotated:
            return of(arguments[0])
        if origin is typing.Literal:
            return st.sampled_from(arguments)
        if origin is list:
            return st.lists(of(arguments[0]), max_size=3)
        if origin is tuple:
            return st.tuples(*map(of, arguments)).map(list)
        if origin is dict:
            return st.just({})
        if arguments:
            return st.one_of(*map(of, arguments))
        plain = {
            bool: st.booleans(),
            int: st.integers(0, 10**6),
            float: st.floats(0, 1e3) | st.floats(1e-9, 1.0),
            str: st.text() | texts,
        }
        return plain.get(annotation, st.none())

    return of(key.field.annotation)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_dumped_recipe_loads_as_itself(tmp_path_factory, data):
    text, recipe_class = data.draw(st.sampled_from([(CDM, CDMRecipe), (BASE, BaseRecipe)]))
    mapping, _ = read_yaml(text)
    keys = [key for key in recipe_keys(recipe_class) if key.section is None and key.path[0] != "lora"]
    for key in data.draw(st.lists(st.sampled_from(keys), max_size=4)):
        Override(key.path, data.draw(_values_of(key))).apply(mapping)
    try:
        recipe = recipe_class.model_validate(mapping)
    except ValidationError:
        assume(False)
    dumped = dump_recipe(recipe)
    assert load(dumped, recipe_class, tmp_path_factory.mktemp("round")) == recipe
    assert yaml.safe_load(dumped) == recipe.model_dump(mode="json")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("lr: 1e-4", None),
        ("lr: abc", "train.lr: found the text 'abc', expected number in (0, 1]"),
        ("lr: true", "train.lr: found true, expected number in (0, 1]"),
        ("lr: 5", "train.lr: found 5, expected number in (0, 1]"),
        ("lr: .nan", "train.lr: found nan, expected number in (0, 1]"),
        ("lr: [1]", "train.lr: found [1], expected number"),
        ("lr: {a: 1}", "train.lr: found a section with the keys a, expected number"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(line, expected, tmp_path):
    text = CDM.replace("lr: 1e-4", line)
    if expected is None:
        assert load(text, CDMRecipe, tmp_path).train.lr == 1e-4
    else:
        found = message(text, CDMRecipe, tmp_path)
        assert found.startswith(expected)
        assert found.endswith(f"({tmp_path / 'recipe.yaml'}, line 6)")


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("train.lrr", "train.lr"),
        ("train.guidance_scale", "preview.guidance_scale or cdm.guidance_scale"),
        ("trian", "train"),
        ("lr", "train.lr"),
        ("cdm.student_evry", "cdm.student_every"),
        ("techer", "teacher"),
        ("lora.r", "lora.rank"),
    ],
)
def test_an_unknown_key_names_the_nearest(key, meant, tmp_path):
    mapping, _ = read_yaml(CDM)
    Override(tuple(key.split(".")), 1).apply(mapping)
    found = message(write_yaml(mapping), CDMRecipe, tmp_path).splitlines()
    assert any(line.startswith(f"{key} is not a key of this recipe; did you mean {meant}?") for line in found)


def test_an_unknown_key_with_nothing_near_lists_the_section(tmp_path):
    found = message(CDM + "cdm: {zzz: 1}", CDMRecipe, tmp_path)
    assert "cdm.zzz is not a key of this recipe; cdm has fixed_grid, shift, time_min" in found


def test_every_problem_is_told_at_once(tmp_path):
    found = message(CDM.replace("steps: 100", "steps: 0").replace("teacher", "techer"), CDMRecipe, tmp_path)
    assert "train.steps: found 0" in found
    assert "teacher is missing; expected text: Folder or hub id of the pipeline" in found
    assert "techer is not a key" in found


def test_a_missing_section_and_a_value_in_its_place(tmp_path):
    assert "train is missing" in message("recipe: cdm\nteacher: t\nprompts: p", CDMRecipe, tmp_path)
    assert "train: found 5, expected a section" in message(
        "recipe: cdm\ntrain: 5\nteacher: t\nprompts: p", CDMRecipe, tmp_path
    )


def test_null_written_as_a_word_is_not_taken_for_a_name(tmp_path):
    found = message(BASE.replace("model:\n", "model:\n  vae: None\n"), BaseRecipe, tmp_path)
    assert "model.vae: found the text 'None'; write null for none" in found


def test_lists_and_mappings_name_the_item(tmp_path):
    found = message(
        CDM.replace("lr: 1e-4", "lr: 1e-4\n  lr_of: {fake: x}\n  betas: [0.9, 2]"), CDMRecipe, tmp_path
    )
    assert "train.lr_of[fake]: found the text 'x', expected mapping of names to number in (0, 1]" in found
    assert "train.betas[1]: found 2, expected list of 2, each number in [0, 1)" in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty"),
        ("# nothing but a comment", "is empty"),
        ("- a\n- b", "holds a list, expected keys"),
        ("just words", "holds one value, expected keys"),
        (CDM + "teacher: again\n", "line 10, column 1: the key teacher is given twice, first in line 8"),
        (CDM.replace("  steps: 100", "  steps: 100\n  steps: 5"), "the key train.steps is given twice"),
        ("recipe: [cdm", "line 1"),
        ("recipe: cdm\n5: 6", "line 2, column 1: a key must be text"),
        ("recipe: !!python/object:os.system x", "does not fit the tag"),
        ("recipe: &a [*a]", "recipes have no aliases"),
        ("recipe: cdm\n---\nrecipe: cdm", "line 2"),
        ("recipe: \x07", "is not YAML"),
        ("train: {}", "has no key `recipe`; a recipe of train.cdm begins with `recipe: cdm`"),
        ("recipe: cmd", f"says recipe: cmd, expected one of {', '.join(ENTRY_POINTS)}"),
    ],
)
def test_what_is_no_recipe(text, expected, tmp_path):
    found = message(text, CDMRecipe, tmp_path)
    assert expected in found
    assert str(tmp_path / "recipe.yaml") in found


def test_a_recipe_of_another_entry_point_says_which(tmp_path):
    found = message(BASE, CDMRecipe, tmp_path)
    assert "is a recipe of train.base (recipe: base), not of train.cdm" in found
    assert f"python -m train.base {tmp_path / 'recipe.yaml'}" in found


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "fashion.yaml").write_text(CDM)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for path, expected in [
        (tmp_path / "fashon.yaml", f"does not exist; did you mean {tmp_path / 'fashion.yaml'}?"),
        (tmp_path / "nowhere" / "x.yaml", "does not exist"),
        (tmp_path, "is a folder"),
        (tmp_path / "binary.yaml", "is not UTF-8"),
    ]:
        with pytest.raises(RecipeError, match=r"\.yaml|folder") as error:
            load_recipe(CDMRecipe, path)
        assert expected in str(error.value)
