"""A first-person world that answers a gamepad, as a diffusers pipeline.

Legend: B clips, C channels, F latent frames, H height, W width, T frames of video and rows of actions,
M prompt tokens.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from diffusers.loaders.lora_pipeline import WanLoraLoaderMixin
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.pipelines.wan.pipeline_output import WanPipelineOutput
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils.torch_utils import randn_tensor
from diffusers.video_processor import VideoProcessor
from torch import Tensor
from typing_extensions import Self

from vision.flow.sampling_grid import checked_grid, sampling_grid, set_grid
from vision.flow.sampling_step import require_finite, sampling_step
from vision.latents import decode, encode, latent_channels, spatial_factor, temporal_factor
from vision.latents.tensor_file import read_tensors, write_tensors
from vision.pipeline_device import NetworkDeviceMixin
from vision.pipeline_folder import PROMPT_FILE, check_pipeline_folder, safe_folder
from vision.transformer import Actions, VideoTransformer
from vision.transformer.action_input import RATE
from vision.world.first_frame import FirstFrame, first_frame_pixels
from vision.world.guided import GuidedWorld, no_actions, require_actions

OUTPUT_TYPES = ("pil", "pt", "np", "latent")


class WorldPipeline(NetworkDeviceMixin, WanLoraLoaderMixin, DiffusionPipeline):
    """Shows what follows from a first frame and a gamepad (SCOPE, arXiv 2605.23345, sections 3 and 4).

    The flow ODE is walked from noise to data for all latent frames but the first, which is the encoded first
    frame at every step, at time 0.

    Args:
        transformer: :class:`vision.transformer.VideoTransformer`, usually with the conditioning ``action``.
        scheduler: ``FlowMatchEulerDiscreteScheduler`` with a static shift; SCOPE's is 5.
        vae: video autoencoder of diffusers with four frames a latent frame, such as ``AutoencoderKLWan``.
        default_height: height in pixels of the first frame; None takes any.
        default_width: width in pixels, likewise.
        default_num_inference_steps: where a call gives neither steps nor sigmas and there are no
            ``default_sigmas``.
        default_action_guidance_scale: where a call gives none; 1 is no guidance.
        default_sigmas: the grid that a few-step model was distilled for, before the scheduler's shift.
        frame_rate: frames a second of what it shows.

    Attributes:
        prompt_embeds: the prompt that the model was trained with, shape (1, M, text_dim); a fresh pipeline
            has one token of zeros. Saved and loaded with the pipeline.

    Raises:
        ValueError: parts that do not fit each other.
    """

    model_cpu_offload_seq = "transformer->vae"
    _callback_tensor_inputs = ["latents"]  # noqa: RUF012 - diffusers' convention

    transformer: Any
    scheduler: Any
    vae: Any
    prompt_embeds: Tensor

    def __init__(
        self,
        transformer: VideoTransformer,
        scheduler: SchedulerMixin,
        vae: ModelMixin,
        default_height: int | None = None,
        default_width: int | None = None,
        default_num_inference_steps: int = 30,
        default_action_guidance_scale: float = 1.0,
        default_sigmas: list[float] | None = None,
        frame_rate: float = 20.0,
    ) -> None:
        super().__init__()
        config: Any = transformer.config
        channels = latent_channels(vae)
        if channels is None or temporal_factor(vae) != RATE:
            raise ValueError(
                f"a world needs a video autoencoder with {RATE} frames a latent frame, found "
                f"{type(vae).__name__} with {temporal_factor(vae)}"
            )
        for name in ("in_channels", "out_channels"):
            if config[name] not in (None, channels):
                raise ValueError(
                    f"the transformer has {name}={config[name]}, but the latents of this "
                    f"{type(vae).__name__} have {channels} channels; pair it with the autoencoder that it "
                    "was trained with"
                )
        if config.patch_size[0] != 1:
            raise ValueError(
                f"the transformer's patches span {config.patch_size[0]} latent frames, expected 1, since the "
                "first frame has a time of its own; use another transformer"
            )
        self.register_modules(transformer=transformer, scheduler=scheduler, vae=vae)
        self.register_to_config(
            default_height=default_height,
            default_width=default_width,
            default_num_inference_steps=default_num_inference_steps,
            default_action_guidance_scale=default_action_guidance_scale,
            default_sigmas=None if default_sigmas is None else checked_grid(default_sigmas),
            frame_rate=frame_rate,
        )
        self.prompt_embeds = torch.zeros(1, 1, config.text_dim)
        self.video_processor = VideoProcessor(vae_scale_factor=spatial_factor(vae))

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
        check_pipeline_folder(folder, (cls.__name__,), kwargs.keys(), kwargs.get("variant"))
        pipeline = super().from_pretrained(str(folder), **kwargs)
        pipeline.prompt_embeds = read_tensors(folder / PROMPT_FILE)[0]["prompt_embeds"]
        return pipeline

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Saves every part in diffusers' layout, and :attr:`prompt_embeds`."""
        write_tensors(Path(save_directory) / PROMPT_FILE, {"prompt_embeds": self.prompt_embeds}, {})
        super().save_pretrained(str(save_directory), **kwargs)

    # ---------------------------------------------------------------- the call

    @torch.no_grad()
    def __call__(
        self,
        image: FirstFrame,
        actions: Actions | None = None,
        num_frames: int | None = None,
        num_inference_steps: int | None = None,
        sigmas: Sequence[float] | None = None,
        action_guidance_scale: float | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[..., dict[str, Tensor] | None] | None = None,
    ) -> Any:
        """Shows one clip for each first frame.

        Args:
            image: the first frames, "RGB" pictures or pixels (B, 3, H, W) in [-1, 1].
            actions: one row a frame of video, T = 4n + 1 of them; further rows are cut off with a warning.
                The last row is not read. None shows what happens under the null action.
            num_frames: T, where there are no actions.
            num_inference_steps: steps on the linear grid 1, (n-1)/n, ..., 1/n before the scheduler's shift.
            sigmas: own grid, falling, in (0, 1], before the shift; the last step goes to 0.
            action_guidance_scale: l of ``v(null) + l (v(a) - v(null))``; at 1 the network is asked once a
                step.
            generator: one for all clips, or a list with one a clip.
            latents: initial noise (B, C, F, h, w) instead of drawn noise; its first frame is not read.
            prompt_embeds: shape (1, M, text_dim) or (B, M, text_dim), instead of the model's own.
            output_type: "pil" (a list of frames a clip), "pt" (B, T, 3, H, W) in [0, 1], "np" (B, T, H, W, 3)
                in [0, 1], or "latent" (B, C, F, h, w).
            return_dict: False for a tuple.
            callback_on_step_end: called as ``callback(pipeline, step, timestep, {"latents": ...})`` after
                each step; latents that it returns replace the pipeline's, but for the first frame.

        Returns:
            diffusers' ``WanPipelineOutput`` with the field ``frames``, or a tuple of them.

        Raises:
            ValueError: arguments that do not fit each other or the model; a result that is not finite.
        """
        if output_type not in OUTPUT_TYPES:
            raise ValueError(f"output_type is {output_type!r}, expected one of {OUTPUT_TYPES}")
        first = self.encode_first_frame(image)
        actions, null = self._rows(actions, num_frames, len(first))
        frames = 1 + (actions.sticks.shape[1] - 1) // RATE
        noise = self.prepare_noise(first, frames, generator, latents)
        world = self.guided(len(first), action_guidance_scale, prompt_embeds, null)
        timesteps = self.prepare_timesteps(num_inference_steps, sigmas, first.expand(-1, -1, frames, -1, -1))

        x_t = torch.cat([first, noise[:, :, 1:]], dim=2)
        with cast(Any, self).progress_bar(total=len(timesteps)) as progress:
            for step, timestep in enumerate(timesteps):
                times = timestep.repeat(frames)
                times[0] = 0
                velocity = world.velocity(x_t, times, actions)
                x_t = sampling_step(self.scheduler, velocity, timestep, x_t, generator)
                x_t = torch.cat([first, x_t[:, :, 1:]], dim=2)
                if callback_on_step_end is not None:
                    given = callback_on_step_end(self, step, timestep, {"latents": x_t}) or {}
                    x_t = torch.cat([first, given.get("latents", x_t)[:, :, 1:]], dim=2)
                progress.update()

        require_finite(x_t)
        shown: Any = x_t if output_type == "latent" else self.show(x_t, output_type)
        self.maybe_free_model_hooks()
        return WanPipelineOutput(frames=shown) if return_dict else (shown,)

    def stream(self, image: FirstFrame, actions: Actions, **options: Any) -> Iterator[Tensor]:
        """Makes the same clip part by part, as a causal transformer can; see :class:`WorldStream`.

        Args:
            image: as in a call.
            actions: as in a call.
            options: of :class:`vision.world.stream.WorldStream`.

        Yields:
            the latents of each chunk of frames, in turn, shape (B, C, chunk, h, w); the last may be shorter.

        Raises:
            ValueError: as a call; the transformer is not causal.
        """
        from vision.world.stream import WorldStream

        stream = WorldStream(self, image, **options)
        actions, _ = self._rows(actions, None, stream.batch_size)
        rows = actions.sticks.shape[1]
        while stream.rows_used < rows:
            last = min(stream.rows_used + stream.rows_wanted[1], rows)
            yield stream.advance(actions.rows(stream.rows_used, last))

    def clip_latents(self, image: FirstFrame, actions: Actions, **options: Any) -> Tensor:
        """Latents of whole clips (B, C, F, h, w): by :meth:`stream` where the transformer is causal, else by
        a call.

        Args:
            image: as in a call.
            actions: as in a call.
            options: of both: steps, sigmas, guidance, generator, prompt.
        """
        if self.transformer.causality is None:
            return self(image, actions, output_type="latent", **options).frames
        return torch.cat(list(self.stream(image, actions, **options)), dim=2)

    # ---------------------------------------------------------------- its parts

    @torch.no_grad()
    def encode_first_frame(self, image: FirstFrame) -> Tensor:
        """The latent of the first frames, float32, shape (B, C, 1, h, w)."""
        config = self.config
        size = (config["default_height"], config["default_width"])
        _, *patch = self.transformer.config.patch_size
        factor = spatial_factor(self.vae)
        pixels = first_frame_pixels(
            image, None if None in size else size, (factor * patch[0], factor * patch[1])
        )
        return encode(self.vae, pixels).to(self._execution_device)

    def guided(
        self, batch_size: int, scale: float | None, prompt_embeds: Tensor | None, null: bool = False
    ) -> GuidedWorld:
        """The velocity of a call with these arguments."""
        if scale is None:
            scale = self.config["default_action_guidance_scale"]
        embeds = self.prompt_embeds if prompt_embeds is None else prompt_embeds
        width = self.transformer.config.text_dim
        if embeds.ndim != 3 or embeds.shape[0] not in (1, batch_size) or embeds.shape[2] != width:
            raise ValueError(
                f"prompt embeddings have shape {tuple(embeds.shape)}, expected (1 or {batch_size}, tokens, "
                f"{width}); use the text encoder that the transformer was trained with"
            )
        return GuidedWorld(self.transformer, embeds, batch_size, cast(float, scale), null)

    def prepare_noise(
        self,
        first: Tensor,
        frames: int,
        generator: torch.Generator | list[torch.Generator] | None,
        latents: Tensor | None = None,
    ) -> Tensor:
        """Noise for so many frames beside ``first`` (B, C, 1, h, w), float32, shape (B, C, F, h, w)."""
        batch, channels, _, height, width = first.shape
        shape = (batch, channels, frames, height, width)
        if isinstance(generator, list) and len(generator) != batch:
            raise ValueError(f"there are {len(generator)} generators for {batch} clips; give one each")
        if latents is None:
            return randn_tensor(shape, generator=generator, device=first.device, dtype=torch.float32)
        if latents.shape != shape:
            raise ValueError(f"latents have shape {tuple(latents.shape)}, expected {shape}")
        return latents.to(first.device, torch.float32)

    def prepare_timesteps(
        self,
        num_inference_steps: int | None,
        sigmas: Sequence[float] | None,
        latents: Tensor,
        scheduler: Any = None,
    ) -> Tensor:
        """Sets the scheduler's grid for these latents and returns its timesteps, 0 to 1000, float32.

        Args:
            num_inference_steps, sigmas: as in a call.
            latents: shape (B, C, F, h, w).
            scheduler: a copy of the pipeline's, for a caller of its own thread; None is the pipeline's.
        """
        config = self.config
        grid = sampling_grid(
            num_inference_steps, sigmas, config["default_sigmas"], config["default_num_inference_steps"]
        )
        _, height, width = self.transformer.config.patch_size
        tokens = latents.shape[2] * (latents.shape[3] // height) * (latents.shape[4] // width)
        return set_grid(scheduler or self.scheduler, grid, tokens, self._execution_device)

    @property
    def default_steps(self) -> int:
        """Steps of a call that names neither steps nor sigmas."""
        grid = self.config["default_sigmas"]
        return self.config["default_num_inference_steps"] if grid is None else len(grid)

    @torch.no_grad()
    def show(self, latents: Tensor, output_type: str = "pil") -> Any:
        """Frames of latents (B, C, F, h, w), as a call gives them."""
        return self.video_processor.postprocess_video(decode(self.vae, latents), output_type=output_type)

    def _rows(self, actions: Actions | None, num_frames: int | None, batch: int) -> tuple[Actions, bool]:
        """Rows for 4n + 1 frames, n >= 1, and whether they are those of the null action."""
        if (actions is None) == (num_frames is None):
            raise ValueError("give actions, one row a frame, or num_frames for a clip under the null action")
        if actions is not None:
            require_actions(self.transformer)
        found = num_frames if actions is None else actions.sticks.shape[1]
        assert found is not None
        kept = (found - 1) // RATE * RATE + 1
        if kept <= 1:
            raise ValueError(f"a clip has at least {RATE + 1} frames and rows of actions, found {found}")
        if kept < found:
            warnings.warn(
                f"the last {found - kept} of {found} frames are cut off, since latents hold {RATE}n + 1",
                stacklevel=3,
            )
        if actions is None:
            return no_actions(batch, kept), True
        if len(actions.sticks) != batch:
            raise ValueError(
                f"there are actions for {len(actions.sticks)} clips and {batch} first frames; "
                "give one of each"
            )
        return actions.rows(0, kept), False
