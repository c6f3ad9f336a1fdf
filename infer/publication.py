"""A run's final model as a folder to give away: cast, checked, and with its card."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from vision import TextToImagePipeline
from vision.distill.model_card import write_model_card
from vision.distill.pipeline_folder import check_pipeline_folder
from vision.distill.run_card import model_name, run_facts
from vision.lora.adapters import LORA_FILE
from vision.metrics import FeatureNetwork
from vision.weights import check_weights, header_shapes
from vision.whole_file import folder_written_aside

#: How the fields of a row of infer.compare read on a card.
_NAMES = {
    "guidance_scale": "guidance scale",
    "evaluations": "network evaluations a picture",
    "seconds": "seconds a picture",
    "frechet": "Fréchet distance",
    "accuracy": "accuracy on the prompts",
}
_STATISTICS = "statistics.safetensors"


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
    license: str,
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
            is_feature_network = _copy(model, folder, dtype)
            facts, task = run_facts(run, model, out)
            if not is_feature_network:
                facts["quality"] = _quality(results, label, reference_label, (model, out))
            if data_source is not None:
                facts["data"] = {**facts["data"], "source": data_source}
            facts |= {"title": title or facts["title"], "license": license}
            write_model_card(folder, facts, task)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{out} could not be written: {error}; nothing of it was left behind") from error
    return out / "README.md"


def _copy(model: Path, folder: Path, dtype: str | None) -> bool:
    """Copies a model and casts it; whether it is a feature network, which stays as its statistics saw it."""
    kind = getattr(torch, dtype or "bfloat16")
    if (model / "model_index.json").is_file():
        # Loaded as a user loads it, so that what needs float32 (norms, the time's embedding) stays in it.
        TextToImagePipeline.from_pretrained(model, dtype=kind).save_pretrained(folder)
        for config in folder.rglob("*.json"):
            _forget_source(config)
        check_pipeline_folder(folder)
    elif (model / LORA_FILE).is_file():
        _cast_file(model / LORA_FILE, folder / LORA_FILE, kind)
    elif (model / _STATISTICS).is_file():
        if dtype not in (None, "float32"):
            raise ValueError(
                f"{model / _STATISTICS} belongs to the very weights beside it, so these "
                "are not cast; leave --dtype out"
            )
        check_weights(model, FeatureNetwork)
        for name in ("config.json", "diffusion_pytorch_model.safetensors", _STATISTICS):
            shutil.copyfile(model / name, folder / name)
        return True
    else:
        found = ", ".join(sorted(path.name for path in model.iterdir())[:6]) or "nothing"
        raise ValueError(f"{model} holds no pipeline, LoRA or feature network (found {found})")
    return False


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
            "a released model says how good it is: measure it with python -m infer.compare, and give its "
            "--results and --label"
        )
    try:
        rows = {row["label"]: row for row in json.loads(results.read_text(encoding="utf-8"))["rows"]}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{results} is not a results.json of infer.compare ({error!r})") from None
    columns: dict[str, dict[str, Any]] = {}
    for name in [label] if reference_label is None else [label, reference_label]:
        if name not in rows:
            raise ValueError(f"{results} has no row {name!r}; it has {', '.join(map(repr, rows))}")
        columns[name] = {**rows[name], "model": model_name(rows[name]["model"])}
    measured = Path(rows[label]["model"]).resolve()
    if measured not in {place.resolve() for place in places}:
        print(f"warning: {label!r} was measured of {measured}, not of {places[0]}", file=sys.stderr)
    fields = [field for field in columns[label] if field != "label"]
    return {
        _NAMES.get(field, field): {name: column.get(field, "") for name, column in columns.items()}
        for field in fields
    }
