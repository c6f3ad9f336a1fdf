"""Dehazing as a diffusers pipeline.

Legend: B pictures, H height, W width, h rows of a band.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.image_processor import VaeImageProcessor
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import DiffusionPipeline, ImagePipelineOutput
from PIL import Image
from torch import Tensor, nn
from typing_extensions import Self

from vision.dehaze.dea_net import DEANet
from vision.dehaze.flow_dehazer import FlowDehazer
from vision.dehaze.noise_field import NoiseField
from vision.dehaze.own_network import OwnNetwork
from vision.dehaze.pipeline_adapters import PipelineAdapters
from vision.dehaze.tiles import Rows, Tiles, blend
from vision.flow.sampling_grid import checked_grid, sampling_grid
from vision.pipeline_device import NetworkDeviceMixin
from vision.pipeline_folder import check_pipeline_folder, names_component, pipeline_index, safe_folder
from vision.transformer import VideoTransformer

OUTPUT_TYPES = ("pil", "pt", "np")
#: Classes that a pipeline's folder may name as its network.
NETWORKS = (DEANet, VideoTransformer)
# Side of the picture from which the colour of the haze is estimated.
_AIRLIGHT_SIDE = 512

Pictures = Image.Image | Sequence[Image.Image] | Tensor | np.ndarray


class DehazePipeline(NetworkDeviceMixin, PipelineAdapters, DiffusionPipeline):
    """Clears hazy pictures of any size.

    Large pictures are cleared in overlapping tiles, which are blended: :class:`~vision.dehaze.tiles.Tiles`.

    Args:
        network: a :class:`~vision.dehaze.dea_net.DEANet`; a :class:`~vision.transformer.VideoTransformer`,
            which is run as a :class:`~vision.dehaze.flow_dehazer.FlowDehazer`; or a user's own module in
            :class:`~vision.dehaze.own_network.OwnNetwork`, which cannot be saved with the pipeline.
        vae: autoencoder of a transformer that works on latents.
        noise_std: s of the flow's path, which the transformer was trained with.
        default_num_inference_steps: of the flow, where a call gives neither steps nor sigmas and there are
            no ``default_sigmas``.
        default_sigmas: times of the flow's steps, falling from 1.
        tile: side of a tile in pixels where a call gives none.
        overlap: pixels that neighbouring tiles share where a call gives none.

    Raises:
        ValueError: parts that do not fit each other.
    """

    model_cpu_offload_seq = "network->vae"
    _network_part = "network"
    _optional_components = ["vae"]  # noqa: RUF012 - diffusers' convention

    network: Any
    vae: Any

    def __init__(
        self,
        network: ModelMixin,
        vae: ModelMixin | None = None,
        noise_std: float = 0.25,
        default_num_inference_steps: int = 1,
        default_sigmas: list[float] | None = None,
        tile: int = 512,
        overlap: int = 64,
    ) -> None:
        super().__init__()
        if not isinstance(network, (*NETWORKS, OwnNetwork)):
            raise ValueError(
                f"a {type(network).__name__} cannot dehaze; expected a DEANet, a VideoTransformer, or your "
                "own module as OwnNetwork(module)"
            )
        self.register_modules(network=network, vae=vae)
        self.register_to_config(
            noise_std=noise_std,
            default_num_inference_steps=default_num_inference_steps,
            default_sigmas=None if default_sigmas is None else checked_grid(default_sigmas),
            tile=tile,
            overlap=overlap,
        )
        if vae is not None and self.flow is None:
            raise ValueError(f"a {type(network).__name__} works on pixels; leave the vae out")
        self.image_processor = VaeImageProcessor(vae_scale_factor=1, do_normalize=False)
        self.tiles()

    @property
    def flow(self) -> FlowDehazer | None:
        """The flow that a transformer is run as; None for other networks."""
        if not isinstance(self.network, VideoTransformer):
            return None
        return FlowDehazer(self.network, self.vae, self.config["noise_std"])

    @property
    def lora_network(self) -> nn.Module:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The module that adapters are made for."""
        return self.network.network if isinstance(self.network, OwnNetwork) else self.network

    # ---------------------------------------------------------------- files

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Self:
        """Loads a pipeline as any of diffusers' is loaded; parts and options may be passed instead.

        Args:
            pretrained_model_name_or_path: folder or hub id that :meth:`save_pretrained` wrote.
            **kwargs: those of diffusers: ``dtype``, ``variant``, ``revision``, any part by its name, ...

        Raises:
            ValueError: the folder is another pipeline's, or its weights are not those of its configurations.
        """
        folder = safe_folder(pretrained_model_name_or_path, kwargs)
        variant = kwargs.get("variant")
        known = [[kind.__module__, kind.__name__] for kind in NETWORKS]
        entry: Any = pipeline_index(folder).get("network")
        if "network" not in kwargs and names_component(entry) and entry not in known:
            raise ValueError(
                f"{folder}: its network is a {entry[1]} of {entry[0]}, expected "
                f"{' or '.join(name for _, name in known)}; give the folder of another model"
            )
        check_pipeline_folder(folder, (cls.__name__,), kwargs.keys(), variant, required=("network",))
        return super().from_pretrained(str(folder), **kwargs)

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Saves every part in diffusers' layout.

        Raises:
            ValueError: a user's own network, whose code the folder could not hold; adapters that are not
                fused.
        """
        if isinstance(self.network, OwnNetwork):
            raise ValueError(
                f"the network is your own {type(self.network.network).__name__}, whose code a folder cannot "
                "hold; save its state dict with safetensors and load it by OwnNetwork.from_factory"
            )
        if names := self.get_list_adapters():
            raise ValueError(
                f"the pipeline carries the adapters {', '.join(names)}; call fuse_lora() to save what they "
                "do, or unload_lora_weights()"
            )
        super().save_pretrained(str(save_directory), **kwargs)

    # ---------------------------------------------------------------- the call

    @torch.no_grad()
    def __call__(
        self,
        image: Pictures,
        num_inference_steps: int | None = None,
        sigmas: Sequence[float] | None = None,
        tile: int | None = None,
        overlap: int | None = None,
        airlight: Tensor | None = None,
        generator: torch.Generator | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> Any:
        """Clears pictures.

        Args:
            image: "RGB" pictures of one size, or pixels in [0, 1]: (B, 3, H, W), or (B, H, W, 3) of numpy.
            num_inference_steps: steps of a flow, on the grid 1, (n-1)/n, ..., 1/n.
            sigmas: own grid of a flow, falling, in (0, 1].
            tile: side of a tile; a picture of no more is not cut.
            overlap: pixels that neighbouring tiles share, a multiple of 4, at most half of the tile.
            airlight: colour of the haze (B, 3), for a network that takes one; by default it estimates it from
                the whole picture.
            generator: draws the noise of a flow; other networks draw none.
            output_type: "pil", "pt" (B, 3, H, W) in [0, 1], or "np" (B, H, W, 3) in [0, 1].
            return_dict: False for a tuple.

        Returns:
            diffusers' ``ImagePipelineOutput`` with the field ``images``, or a tuple of them.

        Raises:
            ValueError: arguments that do not fit each other or the network; a result that is not finite.
        """
        if output_type not in OUTPUT_TYPES:
            raise ValueError(f"output_type is {output_type!r}, expected one of {OUTPUT_TYPES}")
        pixels = image if isinstance(image, Tensor) else self.image_processor.preprocess(cast(Any, image))
        if pixels.ndim != 4 or pixels.shape[1] != 3 or not pixels.is_floating_point():
            raise ValueError(
                f"expected pixels (B, 3, H, W) in [0, 1], found {pixels.dtype} {tuple(pixels.shape)}; "
                "convert pictures to RGB"
            )
        bands = self.bands(
            lambda top, bottom: pixels[..., top:bottom, :],
            *pixels.shape[-2:],
            num_inference_steps=num_inference_steps,
            sigmas=sigmas,
            tile=tile,
            overlap=overlap,
            airlight=self.airlight(pixels) if airlight is None else airlight,
            generator=generator,
        )
        clear = torch.cat(list(bands), dim=2)
        images = self.image_processor.postprocess(
            clear, output_type=output_type, do_denormalize=[False] * len(clear)
        )
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)  # pyright: ignore

    @torch.no_grad()
    def bands(
        self,
        rows: Rows,
        height: int,
        width: int,
        *,
        num_inference_steps: int | None = None,
        sigmas: Sequence[float] | None = None,
        tile: int | None = None,
        overlap: int | None = None,
        airlight: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Iterator[Tensor]:
        """Clears a picture in bands, of which it holds no more than one row of tiles.

        Args:
            rows: the pixels of rows ``top`` to ``bottom``, in [0, 1], shape (B, 3, bottom - top, W).
            height: H.
            width: W.
            num_inference_steps, sigmas, tile, overlap, generator: as in a call.
            airlight: colour of the haze, for a network that takes one; None has each tile estimate its own.

        Yields:
            bands (B, 3, h, W) in [0, 1] from the top, float32.
        """
        tiles = self.tiles(tile, overlap)
        flow, device, dtype = self.flow, self._execution_device, self.network.dtype
        if flow is None and (num_inference_steps is not None or sigmas is not None):
            raise ValueError(f"a {type(self.network).__name__} has no steps; leave them out")
        if airlight is not None and not self.has_airlight:
            raise ValueError(f"{type(self.lora_network).__name__} takes no airlight; leave it out")
        if flow is not None:
            grid = self.sampling_grid(num_inference_steps, sigmas)
            seed = int(torch.randint(2**62, (1,), generator=generator, device=_place(generator)))
            field = NoiseField(seed, flow.channels)
        given = {} if airlight is None else {"airlight": airlight.to(device, dtype)}

        def clear(pixels: Tensor, top: int, left: int) -> Tensor:
            pixels = pixels.to(device, torch.float32)
            if flow is None:
                found = self.network(pixels.to(dtype), **given)
            else:
                size = flow.noise_size(*pixels.shape[-2:])
                noise = field.rectangle(top // flow.factor, left // flow.factor, *size)[None, :, None]
                found = flow.dehaze(pixels, noise.expand(len(pixels), -1, -1, -1, -1), grid)
            if not torch.isfinite(found).all():
                raise ValueError(
                    f"the {type(self.lora_network).__name__} gave values that are not finite; use bfloat16 "
                    "or float32 instead of float16, or other weights"
                )
            return found

        for band in blend(clear, rows, height, width, tiles):
            yield band.clamp(0, 1)

    # ---------------------------------------------------------------- its parts

    def tiles(self, tile: int | None = None, overlap: int | None = None) -> Tiles:
        """How pictures are cut, with the pipeline's own settings for what is None."""
        size, shared = self.config["tile"], self.config["overlap"]
        flow = self.flow
        if flow is not None:
            multiple = flow.size_multiple
        else:
            multiple = getattr(
                self.lora_network, "size_multiple", 4 if isinstance(self.network, DEANet) else 1
            )
        return Tiles(size if tile is None else tile, shared if overlap is None else overlap, multiple)

    def sampling_grid(self, num_inference_steps: int | None, sigmas: Sequence[float] | None) -> list[float]:
        """The times of a flow's steps in a call with these arguments."""
        config = self.config
        return sampling_grid(
            num_inference_steps, sigmas, config["default_sigmas"], config["default_num_inference_steps"]
        )

    @property
    def has_airlight(self) -> bool:
        """Whether the network estimates the colour of the haze by itself."""
        return isinstance(self.network, OwnNetwork) and self.network.has_airlight

    @torch.no_grad()
    def airlight(self, pixels: Tensor) -> Tensor | None:
        """Colour of the haze (B, 3) of whole pictures (B, 3, H, W); None where the network estimates none."""
        if not self.has_airlight:
            return None
        scale = _AIRLIGHT_SIDE / max(pixels.shape[-2:])
        if scale < 1:
            size = [max(1, round(side * scale)) for side in pixels.shape[-2:]]
            pixels = F.interpolate(pixels, size, mode="area")
        return self.network.airlight(pixels.to(self._execution_device, self.network.dtype)).float()


def _place(generator: torch.Generator | None) -> torch.device:
    return torch.device("cpu") if generator is None else generator.device
