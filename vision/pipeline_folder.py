"""Where a pipeline's parts come from: its folder, checked before it is loaded."""

from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from diffusers.models.modeling_utils import ModelMixin
from huggingface_hub import snapshot_download

from vision.weights import check_weights, read_json, weight_shapes

#: What a component needs of its folder in a repository of the hub: no pickle, no code.
DOWNLOADED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
#: Beside the parts, where a model was trained with one prompt: the embedding of it.
PROMPT_FILE = "prompt.safetensors"
DOWNLOAD_OPTIONS = ("cache_dir", "force_download", "local_files_only", "token", "revision")


def local_folder(source: str | Path, options: dict[str, Any]) -> Path:
    """The folder ``source``, or what a repository of the hub of that name was downloaded to.

    Args:
        source: folder or hub id.
        options: keyword arguments of ``from_pretrained``; those that concern the download are taken out.
    """
    download = {name: options.pop(name) for name in DOWNLOAD_OPTIONS if name in options}
    folder = Path(source)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise ValueError(f"{source} is a file, expected the folder that save_pretrained wrote")
    if str(source).count("/") != 1 or str(source).startswith(("/", ".", "~")):
        raise ValueError(f"{source} does not exist; give a pipeline's folder or a hub id such as owner/name")
    try:
        folder = Path(snapshot_download(str(source), allow_patterns=["*.json"], **download))
        # Repositories hold the same weights again in other layouts, gigabytes of them.
        patterns = [*component_patterns(pipeline_index(folder)), PROMPT_FILE]
        return Path(snapshot_download(str(source), allow_patterns=patterns, **download))
    except OSError as error:
        raise ValueError(
            f"{source} is neither a folder here nor a repository that could be downloaded ({error}); "
            "check the name and the connection"
        ) from error


def safe_folder(source: str | Path, options: dict[str, Any]) -> Path:
    """:func:`local_folder`, for a ``from_pretrained`` whose options then say that no pickle is read.

    Raises:
        ValueError: the options ask for one.
    """
    if options.setdefault("use_safetensors", True) is not True:
        raise ValueError("use_safetensors=False would read pickles, which is never done; convert the weights")
    return local_folder(source, options)


def component_patterns(index: dict[str, Any]) -> list[str]:
    """Patterns of the files of the components that a model_index.json names."""
    return [
        f"{name}/{pattern}"
        for name, entry in index.items()
        if names_component(entry)
        for pattern in DOWNLOADED
    ]


def pipeline_index(folder: Path) -> dict[str, Any]:
    """The model_index.json of a pipeline's folder; ValueError where there is none."""
    if not (folder / "model_index.json").is_file():
        found = sorted(path.name for path in folder.iterdir())[:6]
        raise ValueError(
            f"{folder} is not a pipeline's folder: it has no model_index.json (found "
            f"{', '.join(found) or 'nothing'}); give the folder that save_pretrained wrote"
        )
    return read_json(folder / "model_index.json")


def check_pipeline_folder(
    folder: Path,
    pipelines: Collection[str],
    passed: Collection[str] = (),
    variant: str | None = None,
    required: Collection[str] = ("transformer", "scheduler"),
) -> dict[str, Any]:
    """Checks a pipeline's folder and returns its model_index.json.

    Args:
        folder: local folder as written by ``save_pretrained``.
        pipelines: classes of pipelines, one of which the folder must hold.
        passed: names of components that the caller brings along; the folder need not hold them.
        variant: name of the weights' variant, such as "fp16".
        required: components without which a pipeline is none.

    Raises:
        ValueError: no pipeline's folder, or another pipeline's; a component absent; truncated or
            edited files; weights of another architecture.
    """
    index = pipeline_index(folder)
    name = index.get("_class_name")
    if name not in pipelines:
        raise ValueError(
            f"{folder} holds a {name}, expected {' or '.join(sorted(pipelines))}; give another folder"
        )
    for component in required:
        if component not in passed and not names_component(index.get(component)):
            raise ValueError(
                f"{folder}/model_index.json names no {component}; save the pipeline again or pass one"
            )
    for component, entry in index.items():
        if not component.startswith("_") and component not in passed and names_component(entry):
            check_component(folder / component, *entry, variant=variant)
    return index


def component_class(library: str, name: str) -> type:
    """The class that model_index.json names."""
    try:
        return getattr(import_module(library), name)
    except (ImportError, AttributeError):
        raise ValueError(
            f"model_index.json names the class {name} of {library}, which is not installed here; "
            "install what defines it or pass the component to from_pretrained"
        ) from None


def check_component(folder: Path, library: str, name: str, variant: str | None = None) -> None:
    """Raises ValueError unless the folder is there and holds whole weights of the class."""
    kind = component_class(library, name)
    if not folder.is_dir():
        raise ValueError(
            f"{folder} is missing, but model_index.json names a {name} there; copy it or pass one"
        )
    if issubclass(kind, ModelMixin):
        check_weights(folder, kind, variant)
    elif issubclass(kind, torch.nn.Module):
        read_json(folder / "config.json")
        weight_shapes(folder, "model", variant)


def names_component(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 2 and all(isinstance(part, str) for part in entry)
