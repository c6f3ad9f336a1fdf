"""Pictures with captions of a data set of the ``datasets`` library."""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from train.data.captioned_picture import CaptionedPicture, PictureListing

TEXT_COLUMNS = ("text", "caption", "prompt")


def read_hub_dataset(name: str, class_names: Sequence[str] | None = None) -> PictureListing:
    """Lists the pictures of a data set's split "train".

    The first column of pictures counts. The caption is the column "text", "caption" or "prompt"; without one,
    or with ``class_names``, it is the class of the column "label".

    Args:
        name: a name on the hub, a folder that ``load_dataset`` reads, or one that ``save_to_disk`` wrote.
        class_names: what to call the labels; without them, what the data set calls them.

    Raises:
        ValueError: ``datasets`` is not installed, there is no such data set, or it has no such columns.
    """
    if find_spec("datasets") is None:
        raise ValueError("source datasets needs the library datasets; run: pip install datasets")
    library: Any = import_module("datasets")
    try:
        if (Path(name) / "state.json").is_file():
            dataset = library.load_from_disk(name)
        else:
            dataset = library.load_dataset(name, split="train")
    except Exception as error:  # the library raises many kinds
        raise ValueError(f"the data set {name!r} cannot be loaded: {error}") from error
    features = dataset.features
    pictures = [column for column, kind in features.items() if isinstance(kind, library.Image)]
    texts = [column for column in TEXT_COLUMNS if column in features and class_names is None]
    if not pictures or not (texts or "label" in features):
        raise ValueError(
            f"the data set {name!r} has the columns {sorted(features)}; expected one of pictures, and one of "
            f"captions ({', '.join(TEXT_COLUMNS)}) or labels (label)"
        )
    column = pictures[0]
    # Undecoded: a damaged picture is found where it is decoded, by name.
    dataset = dataset.cast_column(column, library.Image(decode=False))
    captions = dataset[texts[0]] if texts else _classes(name, dataset, class_names)
    listing = PictureListing([], [])
    for number, caption in enumerate(captions):
        place = f"{name}[{number}]"
        if caption and caption.strip():
            content = _Content(dataset, number, column)
            listing.pictures.append(CaptionedPicture(place, caption.strip(), content))
        else:
            listing.bad.append(f"{place}: its caption is empty")
    return listing


def _classes(name: str, dataset: Any, class_names: Sequence[str] | None) -> list[str]:
    names: Any = class_names or getattr(dataset.features["label"], "names", None)
    labels = list(dataset["label"])
    if names is None or not all(0 <= label < len(names) for label in labels):
        raise ValueError(
            f"the data set {name!r} has labels up to {max(labels)}, and {len(names or [])} class names are "
            "known; give data.class_names"
        )
    return [names[label] for label in labels]


class _Content:
    def __init__(self, dataset: Any, number: int, column: str) -> None:
        self.dataset, self.number, self.column = dataset, number, column

    def __call__(self) -> bytes:
        value = self.dataset[self.number][self.column]
        return value["bytes"] if value["bytes"] is not None else Path(value["path"]).read_bytes()
