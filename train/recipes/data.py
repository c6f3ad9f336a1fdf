"""Pictures with captions."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from train.recipes.recipe import Recipe, problem


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
    """idx, and datasets with labels: what each label is called, with its article, for instance an ankle
    boot."""

    templates: list[str] = Field(default_factory=lambda: ["{}"])
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
                raise problem(f"source idx needs {' and '.join(missing)} too")
            if self.buckets:
                raise problem("pictures of an idx file have one size; set buckets: false")
        else:
            if self.source == "datasets":
                del named["class_names"]
            given = [key for key, value in named.items() if value is not None]
            if given:
                raise problem(f"{' and '.join(given)} fits source idx alone, and source is {self.source}")
        return self

    @field_validator("templates", mode="after")
    @classmethod
    def _templates_take_a_name(cls, templates: list[str]) -> list[str]:
        for template in templates or [""]:
            if template.count("{}") != 1:
                raise problem(f"found {template!r}; each template has one {{}} where the caption goes")
        return templates
