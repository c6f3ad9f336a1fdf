"""What the pipelines of diffusers have in common.

Legend: B samples, C channels, F frames, H height, W width of the latents.
"""

import inspect
import json
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import diffusers
import torch
from torch import Tensor, nn

from vision.distill.families.family import Family, LatentShape, Sampler, Student, load_parameters
from vision.distill.families.parts import copy_parts
from vision.distill.families.scheduler import flow_shift
from vision.distill.families.stock_encoder import StockPromptEncoder
from vision.flow.shift import TimeShift
from vision.latents import decode
from vision.pipeline_folder import check_component, component_class, names_component
from vision.weights import check_weights, raise_for_keys, read_json


class StockFamily(Family):
    """A pipeline of diffusers' own.

    Attributes:
        transformer: class of its transformer.
        task: what the hub files it under.
        license: identifier of the released model's licence; a student is bound by it.
        default_size: height, width and frames where a recipe names none, in pixels.
        default_prompt_tokens, max_tokens: what its call takes without being told, and at most.
        padded: see :class:`vision.text.PromptEncoder`.

    Raises:
        ValueError: the folder's transformer is of another class.
    """

    transformer: ClassVar[str]
    task: ClassVar[str] = "text-to-image"
    license: ClassVar[str]
    default_size: ClassVar[tuple[int, int, int]]
    default_prompt_tokens: ClassVar[int]
    max_tokens: ClassVar[int]
    padded: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.index = read_json(folder / "model_index.json")
        for name in ("transformer", "vae", "scheduler"):
            if not names_component(self.index.get(name)):
                raise ValueError(f"{folder}/model_index.json names no {name}; save the pipeline again")
        found = self.index["transformer"][1]
        if found != self.transformer:
            raise ValueError(
                f"{folder} is a {self.pipeline} with a {found}, for which there is no denoiser; expected a "
                f"{self.transformer}"
            )
        self.config = read_json(folder / "transformer" / "config.json")
        self.vae_config = read_json(folder / "vae" / "config.json")

    # ------------------------------------------------------------ for the subclass

    @property
    def channels(self) -> int:
        """Channels of the latents."""
        return self.config["in_channels"]

    @property
    def factors(self) -> tuple[int, int]:
        """Frames and pixels to one of the latents."""
        return 1, 2 ** (len(self.vae_config["block_out_channels"]) - 1)

    @abstractmethod
    def encode(self, pipeline: Any, prompt: str, max_prompt_tokens: int) -> tuple[dict[str, Tensor], int]:
        """One prompt by the stock pipeline's encode_prompt: tensors of shape (1, ...), and tokens cut."""

    @classmethod
    @abstractmethod
    def call(
        cls, model: str, *, prompt: str, sigmas: Sequence[float], lora: str | None, **options: Any
    ) -> str:
        """Python code that draws with diffusers alone.

        Args:
            model: folder or hub id of the pipeline.
            prompt: what to draw.
            sigmas: the few-step grid.
            lora: folder of the adapter, where the student is one.
            **options: ``guidance_scale`` and, where they are not the pipeline's own, ``height``, ``width``,
                ``num_frames``, ``max_sequence_length``.
        """

    # ------------------------------------------------------------ sizes

    def latent_shape(self, height: int | None, width: int | None, num_frames: int | None) -> LatentShape:
        asked = (height, width, num_frames)
        own = self.default_size
        *sides, frames = (b if a is None else a for a, b in zip(asked, own, strict=True))
        time, space = self.factors
        if time == 1 and frames != 1:
            raise ValueError(f"num_frames is {frames}, but a {self.pipeline} draws pictures; leave it out")
        if (frames - 1) % time:
            below = frames - (frames - 1) % time
            raise ValueError(
                f"num_frames is {frames}, expected {time}n + 1, since the autoencoder takes the first frame "
                f"alone and then {time} at once; give {below} or {below + time}"
            )
        for name, side, patch in zip(("height", "width"), sides, self.patch_size[1:], strict=True):
            unit = space * patch
            if side % unit:
                raise ValueError(
                    f"{name} is {side}, expected a multiple of {unit} (patches of {patch} latents, each of "
                    f"{space} pixels); give {max(unit, side - side % unit)}"
                )
        return self.channels, 1 + (frames - 1) // time, sides[0] // space, sides[1] // space

    def max_prompt_tokens(self, asked: int | None) -> int:
        if asked is not None and not 1 <= asked <= self.max_tokens:
            raise ValueError(
                f"max_prompt_tokens is {asked}, but a {self.pipeline} takes from 1 to {self.max_tokens}"
            )
        return self.default_prompt_tokens if asked is None else asked

    def sequence_length(self, shape: LatentShape) -> int:
        frames, rows, columns = (n // patch for n, patch in zip(shape[1:], self.patch_size, strict=True))
        return frames * rows * columns

    def time_shift(self, shape: LatentShape) -> TimeShift:
        config = read_json(self.folder / "scheduler" / "scheduler_config.json")
        return flow_shift(self.index["scheduler"][1], config, self.sequence_length(shape))

    # ------------------------------------------------------------ networks

    @property
    def guidance_distilled(self) -> bool:
        return bool(self.config.get("guidance_embeds"))

    def network(self) -> nn.Module:
        kind: Any = component_class(*self.index["transformer"])
        check_weights(self.folder / "transformer", kind)
        return kind.from_pretrained(self.folder / "transformer", dtype=torch.float32, use_safetensors=True)

    def empty_network(self) -> nn.Module:
        kind: Any = component_class(*self.index["transformer"])
        with torch.device("meta"):
            return kind.from_config(self.config)

    # ------------------------------------------------------------ prompts

    def prompt_encoder(self, max_prompt_tokens: int) -> StockPromptEncoder:
        return StockPromptEncoder(self, max_prompt_tokens)

    @property
    def text_parts(self) -> list[str]:
        """Names of the text encoders and tokenizers that the folder has."""
        kept = ("text_encoder", "tokenizer")
        return [
            name for name, entry in self.index.items() if name.startswith(kept) and names_component(entry)
        ]

    def load_text_encoders(self, device: torch.device, dtype: torch.dtype) -> Any:
        """The pipeline with its text encoders and tokenizers alone, ready to encode.

        Raises:
            ValueError: a part is missing, its weights are cut short, or they are not all there.
        """
        parts = {name: self._text_part(name, device, dtype) for name in self.text_parts}
        return self._pipeline_class(**{**self._without_parts(), **parts})

    # ------------------------------------------------------------ pictures

    @property
    def default_sampling(self) -> tuple[int, float]:
        declared = inspect.signature(self._pipeline_class.__call__).parameters
        return declared["num_inference_steps"].default, declared["guidance_scale"].default

    def autoencoder(self) -> Any:
        return self._vae

    def drawing_pipeline(self, network: nn.Module, sampler: Sampler | None = None) -> Any:
        """The stock pipeline with ``network`` and a scheduler alone: it takes embeddings."""
        scheduler = self.scheduler() if sampler is None else sampler(self.scheduler())
        parts = {**self._without_parts(), "transformer": network, "scheduler": scheduler}
        pipeline = self._drawing_class(**parts)
        pipeline.vae_scale_factor = self.factors[1]
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def scheduler(self) -> Any:
        """The teacher's scheduler."""
        kind: Any = component_class(*self.index["scheduler"])
        return kind.from_pretrained(self.folder / "scheduler")

    def pixels(self, latents: Tensor) -> Tensor:
        self._vae.to(latents.device)
        try:
            return decode(self._vae, latents).cpu()
        finally:
            self._vae.to("cpu")

    # ------------------------------------------------------------ files

    def save(self, student: Student, folder: Path) -> str:
        network: Any = self.network()
        student.extend(network)
        load_parameters(network, student.weights).save_pretrained(folder / "transformer")  # pyright: ignore
        own = self.scheduler()
        scheduler = student.sampler(own)
        kept = [name for name in self.index if name != "transformer"]
        if scheduler is not own:
            kept.remove("scheduler")
        copy_parts(self.folder, folder, kept)
        if scheduler is not own:
            scheduler.save_pretrained(folder / "scheduler")
            index = {**self.index, "scheduler": ["diffusers", type(scheduler).__name__]}
            (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
        return f"loads with diffusers.{self.pipeline}.from_pretrained; README.md has the call"

    def _text_part(self, name: str, device: torch.device, dtype: torch.dtype) -> Any:
        place = self.folder / name
        check_component(place, *self.index[name])
        kind: Any = component_class(*self.index[name])
        if not issubclass(kind, nn.Module):
            return kind.from_pretrained(place)
        load: Any = kind
        encoder, report = load.from_pretrained(
            place, dtype=dtype, use_safetensors=True, output_loading_info=True
        )
        raise_for_keys(
            f"the weights in {place} are not those of its {kind.__name__}",
            {"missing": sorted(report["missing_keys"])},
            "put back the files that belong together",
        )
        return encoder.eval().requires_grad_(False).to(device)

    def _without_parts(self) -> dict[str, Any]:
        return {name: None for name, entry in self.index.items() if isinstance(entry, list)}

    @property
    def _pipeline_class(self) -> Any:
        return getattr(diffusers, self.pipeline)

    @property
    def _drawing_class(self) -> Any:
        return self._pipeline_class

    @cached_property
    def _vae(self) -> Any:
        kind: Any = component_class(*self.index["vae"])
        check_weights(self.folder / "vae", kind)
        return kind.from_pretrained(self.folder / "vae", dtype=torch.float32, use_safetensors=True)
