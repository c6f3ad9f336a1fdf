"""The network of a try-on: Wan with context blocks and a guider."""

from typing import Any, Literal

from pydantic import Field, model_validator

from train.recipes.model import ModelRecipe
from train.recipes.recipe import Recipe, problem


class TryOnModelRecipe(ModelRecipe):
    """Either weights or architecture, and the autoencoder. Hub files are named owner/name/folder."""

    weights: str | None = None
    """Transformer in diffusers' layout to start from, Wan VACE's or a try-on's: a folder, or for instance
    owner/name/transformer."""

    vae: str | None = None
    """Video autoencoder with four frames a latent frame: a folder, or for instance owner/name/vae. Needed."""

    configurations: str | None = None
    """Folder with transformer/config.json and vae/config.json alone, which --dry-run reads in place of
    weights and autoencoder."""

    vace_layers: list[int] | None = None
    """Blocks that get a context block, where the network has none yet; weights that have them go on with
    theirs, and then this is left out."""

    split_context: bool = True
    """New context blocks read the video outside the mask and the pose inside it as two latents, as VACE's do;
    false reads both as one."""

    @model_validator(mode="after")
    def _has_its_parts(self) -> "TryOnModelRecipe":
        if self.vae is None:
            raise problem("vae is missing; a try-on is trained on latents of a video autoencoder")
        if self.architecture is not None and not self.vace_layers:
            raise problem(
                "vace_layers is missing; garment and pose come in through context blocks, so say which "
                "blocks get one, for instance [0, 2]"
            )
        return self


class GuiderRecipe(Recipe):
    """The part that reads hands and timed actions (iTryOn's Interaction Guider)."""

    num_layers: int = Field(default=1, ge=1)
    """Its blocks; the paper draws one."""

    shared_projection: bool = False
    """One projection for all context blocks instead of one each."""

    direct: bool = False
    """Also adds a projection of its own to the tokens of the video."""

    @property
    def options(self) -> dict[str, Any]:
        """What differs from the guider's defaults, by the names of its arguments."""
        fields = type(self).model_fields
        return {name: value for name, value in self.model_dump().items() if value != fields[name].default}


class TimingRecipe(Recipe):
    """How captions of actions are tied to their time."""

    kind: Literal["arope", "tarope", "rerope", "mask", "concat_time", "plain"] = "arope"
    """arope is iTryOn's; tarope rotates gaps too, rerope runs through a segment, mask hides other captions,
    concat_time embeds begin and end, plain tells nothing."""

    stride: float = Field(default=4.0, ge=0)
    """arope, tarope: from one segment to the next."""

    length: float = Field(default=8.0, gt=0)
    """rerope: the same."""

    echoshot_padding: int = Field(default=0, ge=0)
    """arope, tarope: captions are filled up with visible padding to so many tokens; 0 leaves it unseen."""

    @model_validator(mode="after")
    def _padding_has_a_place(self) -> "TimingRecipe":
        if self.echoshot_padding and self.kind not in ("arope", "tarope"):
            raise problem(f"echoshot_padding goes with arope or tarope, and kind is {self.kind}")
        return self
