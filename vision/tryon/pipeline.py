"""Interactive video try-on, as a diffusers pipeline.

Legend: C channels, F latent frames, h height, w width of the latents; T frames, H height, W width in pixels;
M prompt tokens.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
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
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from typing_extensions import Self

from vision.flow.sampling_grid import checked_grid, sampling_grid, set_grid
from vision.flow.sampling_step import require_finite, sampling_step
from vision.latents import decode, encode, spatial_factor
from vision.pipeline_device import NetworkDeviceMixin
from vision.pipeline_folder import check_pipeline_folder, safe_folder
from vision.sourced_text_encoder import text_parts, without_sourced_text
from vision.text import load_text_encoder
from vision.transformer import VideoTransformer
from vision.tryon.clip import ActionSource, TryOnClip, make_clip
from vision.tryon.control import control_latents
from vision.tryon.guided import GuidedTryOn
from vision.tryon.parts import check_parts, has_guider, splits_control
from vision.tryon.pipeline_text import TryOnTextMixin
from vision.tryon.pixels import Frames, MaskFrames
from vision.tryon.reference import without_reference
from vision.tryon.repaint import repaint as repaint_outside
from vision.tryon.segments import (
    Segment,
    action_segments,
    cut_into_segments,
    latent_frames,
    without_captions,
)
from vision.tryon.timing import Timing
from vision.tryon.windows import windows

OUTPUT_TYPES = ("pil", "pt", "np", "latent")


class TryOnPipeline(TryOnTextMixin, NetworkDeviceMixin, WanLoraLoaderMixin, DiffusionPipeline):
    """A person in a video who handles a garment wears another one (iTryOn, arXiv 2605.21431).

    The flow ODE is walked from noise to data. Context blocks read the person without the garment, the
    skeleton and the new garment; a guider reads the hands and what they do when.

    Args:
        transformer: :class:`vision.transformer.VideoTransformer` with context blocks (``vace_layers``) and,
            for hands and actions, the conditioning ``guider``.
        scheduler: a flow-matching scheduler; Wan's shift is 5.
        vae: video autoencoder with four frames a latent frame, such as ``AutoencoderKLWan``.
        text_encoder: encoder of transformers (UMT5, T5, BERT, ...). Loaded from ``text_encoder_source`` when
            absent; without one, calls bring embeddings.
        tokenizer: its tokenizer.
        default_num_inference_steps: where a call gives neither steps nor sigmas and there are no
            ``default_sigmas``.
        default_guidance_scale: where a call gives none; 1 is no guidance.
        default_negative_prompt: where a call gives none.
        default_sigmas: the grid that a few-step model was distilled for, before the scheduler's shift.
        max_prompt_tokens: length to which prompts are padded and cut; captions must not be longer.
        text_encoder_source: where the text encoder comes from ("package:...", a folder, a hub id). With it
            the encoder is not saved with the pipeline.
        timing: fields of :class:`vision.tryon.timing.Timing` that the model was trained with; None for
            A-RoPE.
        reference_padding: what the network sees of the video at the garment's place, "noised" or "zeros".
        window_frames: a longer video is made in windows of so many frames, 4n + 1.
        window_overlap: frames that a window knows from the one before, at least, 4n + 1.
        frame_rate: frames a second that the model was trained with.
        trained_with_actions: whether it has ever seen a caption of an action. If not, those of a call are
            left out with a warning.

    Raises:
        ValueError: parts that do not fit each other.
    """

    model_cpu_offload_seq = "text_encoder->transformer->vae"
    _optional_components = ["text_encoder", "tokenizer"]  # noqa: RUF012 - diffusers' convention
    _callback_tensor_inputs = ["latents"]  # noqa: RUF012

    transformer: Any
    scheduler: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any

    def __init__(
        self,
        transformer: VideoTransformer,
        scheduler: SchedulerMixin,
        vae: ModelMixin,
        text_encoder: PreTrainedModel | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        default_num_inference_steps: int = 50,
        default_guidance_scale: float = 5.0,
        default_negative_prompt: str = "",
        default_sigmas: list[float] | None = None,
        max_prompt_tokens: int = 512,
        text_encoder_source: str | None = None,
        timing: dict[str, Any] | None = None,
        reference_padding: str = "noised",
        window_frames: int = 81,
        window_overlap: int = 5,
        frame_rate: float = 16.0,
        trained_with_actions: bool = True,
    ) -> None:
        super().__init__()
        if text_encoder is None and text_encoder_source is not None:
            tokenizer, text_encoder = load_text_encoder(text_encoder_source)
        check_parts(transformer, vae, text_encoder, Timing(**(timing or {})), reference_padding)
        windows(window_frames, window_frames, window_overlap)
        self.register_modules(
            transformer=transformer,
            scheduler=scheduler,
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
        )
        self.register_to_config(
            default_num_inference_steps=default_num_inference_steps,
            default_guidance_scale=default_guidance_scale,
            default_negative_prompt=default_negative_prompt,
            default_sigmas=None if default_sigmas is None else checked_grid(default_sigmas),
            max_prompt_tokens=max_prompt_tokens,
            text_encoder_source=text_encoder_source,
            timing=timing,
            reference_padding=reference_padding,
            window_frames=window_frames,
            window_overlap=window_overlap,
            frame_rate=frame_rate,
            trained_with_actions=trained_with_actions,
        )
        # What save_pretrained may leave out: a user who swaps the encoder gets it saved.
        self._sourced_text_encoder = text_encoder if text_encoder_source is not None else None
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
        index = check_pipeline_folder(folder, (cls.__name__,), kwargs.keys(), kwargs.get("variant"))
        kwargs |= text_parts(folder, index, kwargs)
        return super().from_pretrained(str(folder), **kwargs)

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Saves every part in diffusers' layout; the text encoder stays out where it has a source."""
        with without_sourced_text(self, self._sourced_text_encoder):
            super().save_pretrained(str(save_directory), **kwargs)

    # ---------------------------------------------------------------- the call

    @torch.no_grad()
    def __call__(
        self,
        video: Frames,
        mask: MaskFrames,
        garment: Image.Image | Tensor,
        pose: Frames | None = None,
        hands: Frames | None = None,
        actions: ActionSource | None = None,
        prompt: str = "",
        negative_prompt: str | None = None,
        num_inference_steps: int | None = None,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float | None = None,
        conditioning_scale: float = 1.0,
        repaint: bool = False,
        window_frames: int | None = None,
        window_overlap: int | None = None,
        generator: torch.Generator | None = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        caption_embeds: Mapping[str, Tensor] | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[..., dict[str, Tensor] | None] | None = None,
    ) -> Any:
        """Dresses one video.

        Args:
            video: the person: pictures, or pixels (3, T, H, W), uint8 or floats in [-1, 1]. T = 4n + 1;
                further frames are cut off with a warning.
            mask: where the garment is made (white, 1): pictures, or values (1, T, H, W).
            garment: the new garment on white: a picture of any size, or pixels (3, H, W).
            pose: skeleton on black, as ``video``; None leaves the masked area grey.
            hands: shaded hands on black, as ``video``; None for black frames.
            actions: what the hands do: ``(first frame, last frame, caption)``, both frames included, as a
                list, JSON or a JSON file, or a function that finds them in the pixels (3, T, H, W) of the
                video. Frames without an action need no entry.
            prompt: describes the whole video.
            negative_prompt: of the other branch of guidance, which has no captions.
            num_inference_steps: steps on the linear grid 1, (n-1)/n, ..., 1/n before the scheduler's shift.
            sigmas: own grid, falling, in (0, 1], before the shift; the last step goes to 0.
            guidance_scale: s of ``v(-) + s (v(+) - v(-))``; at 1 the network is asked once a step.
            conditioning_scale: of the hints of the context blocks.
            repaint: shows the filmed video outside the mask, softened at its edge.
            window_frames: instead of the pipeline's own.
            window_overlap: likewise.
            generator: of the noise.
            latents: initial noise (1, C, 1 + F, h, w), the garment's place first, for a video of one window.
            prompt_embeds: shape (1, M, text_dim), instead of ``prompt``.
            negative_prompt_embeds: instead of ``negative_prompt``.
            caption_embeds: shape (N, text_dim) by caption, that of "" among them, instead of encoding.
            output_type: "pil" (a list of frames), "pt" (1, T, 3, H, W) in [0, 1], "np" (1, T, H, W, 3) in
                [0, 1], or "latent" (1, C, F, h, w) of a video of one window.
            return_dict: False for a tuple.
            callback_on_step_end: called as ``callback(pipeline, step, timestep, {"latents": ...})`` after
                each step; latents that it returns replace the pipeline's.

        Returns:
            diffusers' ``WanPipelineOutput`` with the field ``frames``, or a tuple of them.

        Raises:
            ValueError: arguments that do not fit each other or the model; a result that is not finite.
        """
        if output_type not in OUTPUT_TYPES:
            raise ValueError(f"output_type is {output_type!r}, expected one of {OUTPUT_TYPES}")
        self._check_guided(hands, actions)
        if actions is not None and not self.config["trained_with_actions"]:
            warnings.warn(
                "this model was trained without captions of actions; those of the call are left out",
                stacklevel=2,
            )
            actions = None
        factor = spatial_factor(self.vae)
        _, *patch = self.transformer.config.patch_size
        clip = make_clip(video, mask, garment, pose, hands, actions, (factor * patch[0], factor * patch[1]))
        action_segments(clip.actions, clip.num_frames)  # for its warnings, once for the whole video
        length = self.config["window_frames"] if window_frames is None else window_frames
        overlap = self.config["window_overlap"] if window_overlap is None else window_overlap
        parts = windows(clip.num_frames, length, overlap)
        if len(parts) > 1 and (latents is not None or output_type == "latent"):
            raise ValueError(
                f"the video takes {len(parts)} windows; latents are of one, so cut it or raise window_frames"
            )
        scale = self.config["default_guidance_scale"] if guidance_scale is None else guidance_scale
        prompts = self.encode_prompt(
            prompt, negative_prompt, scale != 1, prompt_embeds, negative_prompt_embeds
        )
        embeds = self.caption_embeds(clip, caption_embeds)
        grid = sampling_grid(
            num_inference_steps,
            sigmas,
            self.config["default_sigmas"],
            self.config["default_num_inference_steps"],
        )

        shown, x_t = clip.video[:, :, :0], torch.empty(0)
        with cast(Any, self).progress_bar(total=len(parts) * len(grid)) as progress:
            for start, stop in parts:
                part = clip.part(start, stop)
                known = shown.shape[2] - start
                if known:
                    part = part.knowing(shown[:, :, start:])
                guided = self.guided(part, prompts, embeds, scale, conditioning_scale)
                x_t = self.prepare_noise(part, generator, latents)
                x_t = self._walk(guided, x_t, grid, generator, callback_on_step_end, progress)
                if output_type == "latent":
                    break
                made = decode(self.vae, without_reference(x_t)).clamp(-1, 1).cpu()
                if repaint:
                    made = repaint_outside(made, part.video, part.mask)
                shown = torch.cat([shown, made[:, :, known:]], dim=2)

        frames: Any = without_reference(x_t)
        if output_type != "latent":
            frames = self.video_processor.postprocess_video(shown, output_type=output_type)
        self.maybe_free_model_hooks()
        return WanPipelineOutput(frames=frames) if return_dict else (frames,)

    # ---------------------------------------------------------------- its parts

    @torch.no_grad()
    def guided(
        self,
        clip: TryOnClip,
        prompts: tuple[Tensor, Tensor | None],
        caption_embeds: Mapping[str, Tensor],
        scale: float,
        conditioning_scale: float = 1.0,
    ) -> GuidedTryOn:
        """The velocity of a clip of one window.

        Args:
            clip: with its conditions.
            prompts: of :meth:`encode_prompt`.
            caption_embeds: by caption, that of "" among them; not read by a model without a guider.
            scale: of guidance.
            conditioning_scale: of the hints of the context blocks.
        """
        config = self.transformer.config
        control = control_latents(
            self.vae, clip.video, clip.mask, clip.pose, clip.garment, splits_control(config, self.vae)
        )
        shared = {
            "control_hidden_states": control,
            "control_hidden_states_scale": torch.full((len(config.vace_layers),), conditioning_scale),
        }
        with_guider = has_guider(self.transformer)
        if with_guider:
            shared["guide_latents"] = encode(self.vae, clip.hands)
        segments, _ = cut_into_segments(clip.actions, clip.num_frames)
        timing = Timing(**(self.config["timing"] or {}))

        def branch(prompt: Tensor, said: list[Segment]) -> dict[str, Tensor]:
            conditions = {**shared, "encoder_hidden_states": prompt}
            if with_guider:
                captions = [caption_embeds[caption].cpu() for _, _, caption in said]
                conditions |= timing.timed_text([said], [captions])
            return conditions

        prompt, negative = prompts
        return GuidedTryOn(
            self.transformer,
            branch(prompt, segments),
            None if negative is None else branch(negative, without_captions(segments)),
            scale,
            self.config["reference_padding"],
            self._execution_device,
        )

    def prepare_noise(
        self, clip: TryOnClip, generator: torch.Generator | None, latents: Tensor | None = None
    ) -> Tensor:
        """Noise for a clip with the garment's place, float32, shape (1, C, 1 + F, h, w)."""
        factor = spatial_factor(self.vae)
        height, width = (side // factor for side in clip.video.shape[3:])
        shape = (1, self.transformer.config.in_channels, 1 + latent_frames(clip.num_frames), height, width)
        device = self._execution_device
        if latents is None:
            return randn_tensor(shape, generator=generator, device=device, dtype=torch.float32)
        if latents.shape != shape:
            raise ValueError(f"latents have shape {tuple(latents.shape)}, expected {shape}")
        return latents.to(device, torch.float32)

    def _walk(
        self,
        guided: GuidedTryOn,
        x_t: Tensor,
        grid: Sequence[float],
        generator: torch.Generator | None,
        callback: Callable[..., dict[str, Tensor] | None] | None,
        progress: Any,
    ) -> Tensor:
        """From noise to data."""
        _, height, width = self.transformer.config.patch_size
        tokens = x_t.shape[2] * (x_t.shape[3] // height) * (x_t.shape[4] // width)
        for step, timestep in enumerate(set_grid(self.scheduler, grid, tokens, x_t.device)):
            velocity = guided.velocity(x_t, timestep)
            x_t = sampling_step(self.scheduler, velocity, timestep, x_t, generator)
            if callback is not None:
                x_t = (callback(self, step, timestep, {"latents": x_t}) or {}).get("latents", x_t)
            progress.update()
        require_finite(x_t)
        return x_t

    def _check_guided(self, hands: Frames | None, actions: Any) -> None:
        if has_guider(self.transformer):
            return
        for name, given in (("hands", hands), ("actions", actions)):
            if given is not None:
                raise ValueError(
                    f"{name} were given to a model that was made without a guider; leave them out, or add "
                    "one (add_conditioning('guider')) and train it"
                )
