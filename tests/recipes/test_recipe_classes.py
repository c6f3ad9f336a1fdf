"""Recipe classes: strict types, ranges, and the checks that compare keys."""

import pytest
from pydantic import ValidationError

from train.recipes.autoencoder import AutoencoderRecipe
from train.recipes.base import BaseRecipe
from train.recipes.cdm import CDMRecipe, CDMSettings
from train.recipes.classifier import ClassifierRecipe
from train.recipes.data import DataRecipe
from train.recipes.dehaze_adapt import DehazeAdaptRecipe, DehazeFullRecipe
from train.recipes.dehaze_pretrain import DehazePretrainRecipe
from train.recipes.keys import recipe_keys
from train.recipes.model import ModelRecipe
from train.recipes.preview import PreviewRecipe
from train.recipes.run import ENTRY_POINTS
from train.recipes.train import TrainRecipe
from train.recipes.world import WorldRecipe
from train.recipes.world_cdm import WorldCDMRecipe

TRAIN = {"output": "runs/x", "steps": 100, "batch_size": 4, "lr": 1e-4, "save_every": 50}
CDM = {"recipe": "cdm", "train": TRAIN, "teacher": "checkpoints/t", "prompts": "p.txt"}


@pytest.mark.parametrize(
    "recipe",
    [
        BaseRecipe,
        CDMRecipe,
        ClassifierRecipe,
        AutoencoderRecipe,
        WorldRecipe,
        WorldCDMRecipe,
        DehazePretrainRecipe,
        DehazeAdaptRecipe,
        DehazeFullRecipe,
    ],
)
def test_every_key_says_what_it_is(recipe):
    undocumented = [key.name for key in recipe_keys(recipe) if not key.doc]
    assert not undocumented
    assert all(key.expected for key in recipe_keys(recipe))
    assert recipe.model_fields["recipe"].default in ENTRY_POINTS


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lr", "1e-4"),
        ("lr", True),
        ("lr", 0.0),
        ("lr", 1.5),
        ("lr", float("nan")),
        ("steps", 1.0),
        ("steps", True),
        ("steps", "5"),
        ("steps", 0),
        ("seed", -1),
        ("compile", 1),
        ("compile", "yes"),
        ("mixed_precision", False),
        ("mixed_precision", "fp16"),
        ("betas", [0.9]),
        ("betas", [0.9, 1.0]),
        ("betas", [True, 0.9]),
        ("lr_of", {"student": -1.0}),
        ("ema_decay", 1.0),
        ("clip_grad_norm", 0.0),
        ("output", ""),
        ("output", 5),
        ("stepz", 5),
    ],
)
def test_wrong_type_or_range_is_refused(key, value):
    TrainRecipe.model_validate(TRAIN)
    with pytest.raises(ValidationError) as error:
        TrainRecipe.model_validate({**TRAIN, key: value})
    assert {detail["loc"][0] for detail in error.value.errors()} == {key}


def test_integers_are_numbers_and_lists_are_tuples():
    recipe = TrainRecipe.model_validate({**TRAIN, "lr": 1, "betas": [0, 0.9]})
    assert recipe.lr == 1.0 and recipe.betas == (0.0, 0.9)


def test_recipes_cannot_be_changed():
    with pytest.raises(ValidationError):
        TrainRecipe.model_validate(TRAIN).lr = 1e-3  # pyright: ignore[reportAttributeAccessIssue]


def test_defaults_of_cdm_are_the_published_configuration():
    settings = CDMSettings()
    assert (settings.guidance_scale, settings.max_rollout_steps, settings.student_every) == (7.0, 28, 2)
    assert (settings.sigma_low, settings.sigma_high) == (0.25, 0.95)
    assert (settings.time_min, settings.time_max, settings.min_norm) == (0.02, 0.98, 0.1)
    assert (settings.weight_guidance, settings.weight_matching, settings.weight_off_trajectory) == (1, 1, 1)
    assert settings.guidance_time_law == "uniform_capped"
    assert {settings.matching_time_law, settings.off_trajectory_time_law, settings.fake_time_law} == {
        "uniform"
    }
    assert settings.fake_merge == 0.999
    assert not (settings.anchor_aware or settings.double_matching or settings.fake_on_off_trajectory)
    train = TrainRecipe.model_validate(TRAIN)
    assert (train.betas, train.weight_decay, train.eps) == ((0.9, 0.999), 1e-4, 1e-8)
    assert (train.clip_grad_norm, train.warmup_steps, train.ema_decay) == (1.0, 100, 0.999)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigma_low": 0.95}, "sigma_low is 0.95"),
        ({"time_min": 0.98, "time_max": 0.5}, "time_min is 0.98"),
        ({"fixed_grid": [0.75, 0.5]}, "fixed_grid"),
        ({"fixed_grid": [1.0, 0.5, 0.5]}, "fixed_grid"),
        ({"fixed_grid": [1.0, 0.0]}, "fixed_grid"),
        ({"fixed_grid": []}, "fixed_grid"),
        ({"weight_guidance": 0, "weight_matching": 0, "weight_off_trajectory": 0}, "no loss"),
    ],
)
def test_cdm_settings_that_contradict_each_other(changes, message):
    with pytest.raises(ValidationError, match=message):
        CDMSettings.model_validate(changes)


def test_names_of_networks_are_checked():
    good = {**TRAIN, "lr_of": {"fake": 5e-6}, "ema_of": ["student"]}
    assert CDMRecipe.model_validate({**CDM, "train": good}).train.lr_of == {"fake": 5e-6}
    for bad in ({"lr_of": {"fak": 5e-6}}, {"ema_of": ["teacher"]}):
        with pytest.raises(ValidationError, match="expected networks of this recipe: student, fake"):
            CDMRecipe.model_validate({**CDM, "train": {**TRAIN, **bad}})


def test_previews_need_prompts():
    train = {**TRAIN, "preview_every": 10}
    with pytest.raises(ValidationError, match=r"preview\.prompts is empty"):
        CDMRecipe.model_validate({**CDM, "train": train})
    CDMRecipe.model_validate({**CDM, "train": train, "preview": {"prompts": ["a hat"]}})


def test_preview_has_one_sigma_a_step():
    with pytest.raises(ValidationError, match="sigmas has 2 values and steps is 4"):
        PreviewRecipe(steps=4, sigmas=[1.0, 0.5])
    # A student's preview keeps its few steps when only the prompts are given.
    preview = CDMRecipe.model_validate({**CDM, "preview": {"prompts": ["a hat"]}}).preview
    assert preview.sigmas is not None and len(preview.sigmas) == preview.steps == 4


def test_a_model_starts_in_one_way():
    for found in ({}, {"weights": "x", "architecture": _architecture()}):
        with pytest.raises(ValidationError, match="weights and architecture; give one of the two"):
            ModelRecipe.model_validate(found)
    ModelRecipe.model_validate({"architecture": _architecture()})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels_path": None}, "needs labels_path too"),
        ({"source": "jsonl"}, "labels_path and class_names fits source idx alone"),
        ({"buckets": True}, "set buckets: false"),
        ({"templates": ["a photo"]}, "one {} where"),
        ({"templates": []}, "one {} where"),
        ({"max_bad_share": 1.0}, "less than 1"),
    ],
)
def test_data_that_contradicts_its_source(changes, message):
    data = {
        "source": "idx",
        "path": "images.gz",
        "labels_path": "labels.gz",
        "class_names": ["a hat", "a shoe"],
        "templates": ["a photo of {}"],
        "height": 28,
        "width": 28,
    }
    DataRecipe.model_validate(data)
    with pytest.raises(ValidationError, match=message):
        DataRecipe.model_validate({**data, **changes})


def test_a_classifier_trains_and_is_judged_on_labels_alike():
    data = {
        "source": "idx",
        "path": "a",
        "labels_path": "b",
        "class_names": ["x", "y"],
        "height": 8,
        "width": 8,
    }
    recipe = {"recipe": "classifier", "train": TRAIN, "data": data, "held_out": data}
    ClassifierRecipe.model_validate(recipe)
    for changes, message in [
        ({"class_names": ["y", "x"]}, "class_names differ"),
        ({"height": 9}, "expected one size"),
        ({"source": "jsonl", "labels_path": None, "class_names": None}, "a classifier needs labels"),
    ]:
        with pytest.raises(ValidationError, match=message):
            ClassifierRecipe.model_validate({**recipe, "held_out": {**data, **changes}})


def test_windows_of_an_autoencoder_are_whole_groups():
    recipe = {"recipe": "autoencoder", "train": TRAIN, "data": {"path": "a", "held_out": "b"}}
    assert AutoencoderRecipe.model_validate(recipe).autoencoding.window % 4 == 1
    for changes, message in [
        ({"autoencoding": {"window": 16}}, "window is 16, expected 4n"),
        ({"autoencoding": {"window": 85}}, "window is 85, expected at most data.frames = 81"),
        ({"data": {"path": "a", "held_out": "b", "frames": 100}}, "frames is 100, expected 4n"),
        ({"data": {"path": "a", "held_out": "a/test"}}, "lies in path, a, so training would see"),
        ({"weights": "x", "shape": {}}, "both weights and shape"),
        ({"shape": {"widths": []}}, "at least 1"),
    ]:
        with pytest.raises(ValidationError, match=message):
            AutoencoderRecipe.model_validate({**recipe, **changes})


def _architecture() -> dict[str, int]:
    return {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "in_channels": 1,
        "out_channels": 1,
        "text_dim": 384,
        "ffn_dim": 64,
        "num_layers": 2,
    }
