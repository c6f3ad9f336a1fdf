"""A run's final model as a folder to give away: cast, checked, and with its card."""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from vision import DehazePipeline, TryOnPipeline, WorldPipeline, load_pipeline
from vision.cards.dehaze_card import ADAPTER_FILE, MEASURES_FILE
from vision.cards.model_card import write_model_card
from vision.cards.names import model_name
from vision.cards.run_facts import run_facts
from vision.distill.few_step import FewStep
from vision.latents import TinyVideoAutoencoder, fidelity
from vision.lora.adapters import LORA_FILE
from vision.metrics import FeatureNetwork
from vision.pipeline_folder import pipeline_index
from vision.weights import check_weights, header_shapes
from vision.whole_file import folder_written_aside

#: How the fields of a row of infer.compare read on a card.
_NAMES = {
    "guidance_scale": "guidance scale",
    "evaluations": "network evaluations a picture",
    "seconds": "seconds a picture",
    "frechet": "Fréchet distance",
    "accuracy": "accuracy on the prompts",
    "diversity": "diversity within a prompt",
}
#: Pipelines that are loaded by their own class; all others draw pictures or videos from prompts.
_OWN_CLASS = {kind.__name__: kind for kind in (DehazePipeline, TryOnPipeline, WorldPipeline)}
#: Of networks that carry their own quality: its file, and the class of the very weights that it belongs to.
_OWN_QUALITY = {"statistics.safetensors": FeatureNetwork, fidelity.FILE: TinyVideoAutoencoder}


def publish(
    *,
    run: Path,
    out: Path,
    results: Path | None,
    label: str | None,
    reference_label: str | None,
    dtype: str | None,
    title: str | None,
    data_source: str | None,
    license: str | None,
    overwrite: bool,
) -> Path:
    """Writes the model and its card; the arguments are those of the command line. Returns the card's path.

    ``out`` appears whole or not at all.

    Raises:
        ValueError: no finished run, a model that is not whole, results without the row, an ``out`` that is
            not empty, or a full disk.
    """
    model = run / "final"
    if not model.is_dir():
        raise ValueError(f"{model} does not exist: {run} holds no finished run; finish it by --resume latest")
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not overwrite:
        raise ValueError(f"{out} is not empty; choose another --out, or replace it with --overwrite")
    transformers.utils.logging.disable_progress_bar()
    diffusers.utils.logging.disable_progress_bar()
    try:
        with folder_written_aside(out) as folder:
            has_own_quality = _copy(model, folder, dtype)
            facts, task = run_facts(run, model, out)
            if not has_own_quality:
                facts["quality"] = _quality(results, label, reference_label, (model, out))
            if data_source is not None:
                facts["data"] = {**facts["data"], "source": data_source}
            facts |= {"title": title or facts["title"], "license": license or facts["license"]}
            write_model_card(folder, facts, task)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{out} could not be written: {error}; nothing of it was left behind") from error
    return out / "README.md"


def _copy(model: Path, folder: Path, dtype: str | None) -> bool:
    """Copies a model and casts it; whether it carries its quality and so stays as it was measured."""
    kind = getattr(torch, dtype or "bfloat16")
    if (model / "model_index.json").is_file():
        # Loaded as a user loads it, so that what needs float32 (norms, the time's embedding) stays in it.
        _loaded(model, kind).save_pretrained(folder)
        for config in folder.rglob("*.json"):
            _forget_source(config)
        _loaded(folder, kind)  # says what is wrong with it, if anything
        if (model / MEASURES_FILE).is_file():
            shutil.copyfile(model / MEASURES_FILE, folder / MEASURES_FILE)
            return True
    elif (model / ADAPTER_FILE).is_file():  # a dehazer's, a few kilobytes
        _copy_as_measured(model, folder, (ADAPTER_FILE, LORA_FILE, MEASURES_FILE), dtype)
        return True
    elif (model / LORA_FILE).is_file():
        _cast_file(model / LORA_FILE, folder / LORA_FILE, kind)
    elif own := [name for name in _OWN_QUALITY if (model / name).is_file()]:
        check_weights(model, _OWN_QUALITY[own[0]])
        _copy_as_measured(
            model, folder, (own[0], "config.json", "diffusion_pytorch_model.safetensors"), dtype
        )
        return True
    else:
        found = ", ".join(sorted(path.name for path in model.iterdir())[:6]) or "nothing"
        raise ValueError(f"{model} holds no pipeline, LoRA, feature network or autoencoder (found {found})")
    if (few_step := FewStep.load(model)) is not None:
        few_step.save(folder)
    return False


def _copy_as_measured(model: Path, folder: Path, names: Sequence[str], dtype: str | None) -> None:
    """Copies files, the first of which belongs to the others as they are."""
    if dtype not in (None, "float32"):
        raise ValueError(
            f"{model / names[0]} belongs to the very weights beside it, so these are not cast; leave "
            "--dtype out"
        )
    for name in names:
        shutil.copyfile(model / name, folder / name)


def _loaded(folder: Path, dtype: torch.dtype) -> Any:
    """The pipeline of a folder, as a user loads it."""
    own = _OWN_CLASS.get(str(pipeline_index(folder).get("_class_name")))
    return load_pipeline(folder, dtype=dtype) if own is None else own.from_pretrained(folder, dtype=dtype)


def _forget_source(path: Path) -> None:
    """Takes out of a config the folder on this machine that the model was loaded from."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _cast_file(source: Path, target: Path, dtype: torch.dtype) -> None:
    header_shapes(source)
    with safe_open(source, framework="pt") as file:
        tensors = {key: file.get_tensor(key).to(dtype) for key in file.keys()}  # noqa: SIM118 - not a mapping
        save_file(tensors, target, file.metadata())


def _quality(
    results: Path | None, label: str | None, reference_label: str | None, places: tuple[Path, Path]
) -> dict[str, dict[str, Any]]:
    """The rows of the results that concern the model, as columns of a table."""
    if results is None or label is None:
        raise ValueError(
            "a released model says how good it is: measure it with python -m infer.compare (a world with "
            "benchmarks.world, a try-on with benchmarks.tryon), and give its --results and --label"
        )
    try:
        rows = {row["label"]: row for row in json.loads(results.read_text(encoding="utf-8"))["rows"]}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{results} is not a results.json of infer.compare or benchmarks.world ({error!r})"
        ) from None
    columns: dict[str, dict[str, Any]] = {}
    for name in [label] if reference_label is None else [label, reference_label]:
        if name not in rows:
            raise ValueError(f"{results} has no row {name!r}; it has {', '.join(map(repr, rows))}")
        columns[name] = {**rows[name], "model": model_name(rows[name]["model"])}
    measured = Path(rows[label]["model"]).resolve()
    if measured not in {place.resolve() for place in places}:
        print(f"warning: {label!r} was measured of {measured}, not of {places[0]}", file=sys.stderr)
    # A row of the pipeline's own grid has no schedules.
    fields = [field for field, value in columns[label].items() if field != "label" and value != []]
    return {
        _NAMES.get(field, field): {name: column.get(field, "") for name, column in columns.items()}
        for field in fields
    }
