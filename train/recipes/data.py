"""Pictures with captions."""

from typing import Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from train.recipes.recipe import Recipe


class DataRecipe(Recipe):
    """Where pictures and captions come from, and the size at which they are used."""

    source: Literal["idx", "image_folder", "jsonl", "datasets"]
    """idx: files of the MNIST family; image_folder: pictures with a caption beside each; jsonl: a list of
    pictures and captions; datasets: a data set of the datasets library."""

    path: str
    """File or folder of the pictures, or the name of the data set."""

    labels_path: str | None = None
    """idx: file of the labels."""

    class_names: list[str] | None = None
    """idx: what each label is called, with its article, for instance an ankle boot."""

    templates: list[str] = Field(default_factory=lambda: ["{}"], min_length=1)
    """Wordings of a caption, one drawn each time; {} stands for the caption or the class name."""

    height: int = Field(ge=1)
    """Height in pixels."""

    width: int = Field(ge=1)
    """Width in pixels."""

    buckets: bool = False
    """Keep each picture's aspect: batches of one size near height x width; otherwise the centre is cut."""

    max_bad_share: float = Field(default=0.01, ge=0, lt=1)
    """Share of unreadable pictures above which the run stops; each is reported by name."""

    @model_validator(mode="after")
    def _source_has_its_keys(self) -> "DataRecipe":
        named = {"labels_path": self.labels_path, "class_names": self.class_names}
        if self.source == "idx":
            missing = [key for key, value in named.items() if value is None]
            if missing:
                raise PydanticCustomError(
                    "idx_keys", "source idx needs {keys} too", {"keys": " and ".join(missing)}
                )
            if self.buckets:
                raise PydanticCustomError(
                    "idx_buckets", "pictures of an idx file have one size; set buckets: false"
                )
        else:
            given = [key for key, value in named.items() if value is not None]
            if given:
                raise PydanticCustomError(
                    "idx_keys", "{keys} fits source idx alone", {"keys": " and ".join(given)}
                )
        bad = [template for template in self.templates if template.count("{}") != 1]
        if bad:
            raise PydanticCustomError(
                "template", "the template {found} does not have one {{}}", {"found": repr(bad[0])}
            )
        return self
