"""Text to image with a velocity transformer, as a diffusers pipeline.

Legend: B pictures, C channels, F frames (1), H height, W width (of the latents where not said), L prompt
tokens, D their width.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from diffusers.image_processor import VaeImageProcessor
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vision.distill.pipeline_files import PipelineFiles
from vision.flow.sampling_grid import checked_grid, sampling_grid, set_grid
from vision.flow.sampling_step import require_finite, sampling_step
from vision.latents import decode, latent_channels, spatial_factor
from vision.pipeline_device import NetworkDeviceMixin
from vision.text import encode_prompts, load_text_encoder
from vision.transformer.interval import INTERVAL

OUTPUT_TYPES = ("pil", "pt", "np", "latent")


class TextToImagePipeline(NetworkDeviceMixin, PipelineFiles):
    """Draws pictures from prompts by the flow ODE ``dx/dt = v(x, t, prompt)`` from noise (t = 1) to data.

    Every part is diffusers' or transformers' own class or behaves as one, and can be swapped.

    Args:
        transformer: :class:`vision.transformer.VideoTransformer` or diffusers' ``WanTransformer3DModel``.
        scheduler: a flow-matching scheduler, usually ``FlowMatchEulerDiscreteScheduler`` (static or dynamic
            shift).
        text_encoder: encoder of transformers (BERT, CLIP, T5, UMT5). Loaded from ``text_encoder_source``
            when absent.
        tokenizer: its tokenizer.
        vae: autoencoder of diffusers (``AutoencoderKL``, ``AutoencoderTiny``, ``AutoencoderKLWan``); None
            for a transformer that works on pixels in [-1, 1].
        default_height: height in pixels where a call gives none.
        default_width: width in pixels where a call gives none.
        default_num_inference_steps: number of steps where a call gives neither steps nor sigmas and
            there are no ``default_sigmas``.
        default_guidance_scale: guidance scale where a call gives none; 1 is no guidance.
        default_sigmas: the grid that a few-step model was distilled for, before the scheduler's shift,
            falling from 1. It is used by a call that gives neither steps nor sigmas, or exactly as many
            steps as the grid has.
        max_prompt_tokens: length to which prompts are padded and cut.
        text_encoder_source: where the text encoder comes from ("package:...", a folder, a hub id). With
            it, ``save_pretrained`` leaves the encoder out and ``from_pretrained`` fetches it from there.

    Raises:
        ValueError: parts that do not fit each other.
    """

    model_cpu_offload_seq = "text_encoder->transformer->vae"
    _optional_components = ["text_encoder", "tokenizer", "vae"]  # noqa: RUF012 - diffusers' convention
    _callback_tensor_inputs = ["latents", "prompt_embeds", "negative_prompt_embeds"]  # noqa: RUF012

    transformer: Any
    scheduler: Any
    text_encoder: Any
    tokenizer: Any
    vae: Any

    def __init__(
        self,
        transformer: ModelMixin,
        scheduler: SchedulerMixin,
        text_encoder: PreTrainedModel | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        vae: ModelMixin | None = None,
        default_height: int | None = None,
        default_width: int | None = None,
        default_num_inference_steps: int = 50,
        default_guidance_scale: float = 1.0,
        default_sigmas: list[float] | None = None,
        max_prompt_tokens: int = 512,
        text_encoder_source: str | None = None,
    ) -> None:
        super().__init__()
        if text_encoder is None and text_encoder_source is not None:
            tokenizer, text_encoder = load_text_encoder(text_encoder_source)
        self.register_modules(
            transformer=transformer,
            scheduler=scheduler,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            vae=vae,
        )
        self.register_to_config(
            default_height=default_height,
            default_width=default_width,
            default_num_inference_steps=default_num_inference_steps,
            default_guidance_scale=default_guidance_scale,
            default_sigmas=None if default_sigmas is None else checked_grid(default_sigmas),
            max_prompt_tokens=max_prompt_tokens,
            text_encoder_source=text_encoder_source,
        )
        # What save_pretrained may leave out: a user who swaps the encoder gets it saved.
        self._sourced_text_encoder = text_encoder if text_encoder_source is not None else None
        self.image_processor = VaeImageProcessor(vae_scale_factor=spatial_factor(vae))
        channels = latent_channels(vae)
        if channels is not None and transformer.config.in_channels != channels:
            raise ValueError(
                f"the transformer takes {transformer.config.in_channels} channels, but the latents of this "
                f"{type(vae).__name__} have {channels}; pair it with the autoencoder that it was trained with"
            )
        if transformer.config.out_channels not in (None, transformer.config.in_channels):
            raise ValueError(
                f"the transformer takes {transformer.config.in_channels} channels and gives "
                f"{transformer.config.out_channels}; a velocity has as many as the latents"
            )
        width = getattr(getattr(text_encoder, "config", None), "hidden_size", None)
        if width not in (None, transformer.config.text_dim):
            raise ValueError(
                f"the transformer takes prompt embeddings of width {transformer.config.text_dim} (text_dim), "
                f"but those of this {type(text_encoder).__name__} have {width}; pair it with the text "
                "encoder that it was trained with"
            )

    # ---------------------------------------------------------------- the call

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        negative_prompt: str | Sequence[str] = "",
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float | None = None,
        num_images_per_prompt: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[..., dict[str, Tensor] | None] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> Any:
        """Draws ``num_images_per_prompt`` pictures of each prompt, those of one prompt beside each other.

        Args:
            prompt: one prompt or several; or give ``prompt_embeds``.
            negative_prompt: what guidance leads away from, one for all or one a prompt.
            height: height in pixels, a multiple of the autoencoder's factor times the patch.
            width: width in pixels, likewise.
            num_inference_steps: number of steps, on the linear grid 1, (n-1)/n, ..., 1/n before the
                scheduler's shift.
            sigmas: own grid, falling, in (0, 1], **before** the shift, as in diffusers; the last step goes
                to 0.
            guidance_scale: g of classifier-free guidance, ``v_uncond + g (v_cond - v_uncond)``; at 1 the
                unconditional network is not called.
            num_images_per_prompt: pictures a prompt.
            generator: one for all pictures, or a list with one a picture. With a list a picture's noise
                does not depend on the others in the batch.
            latents: initial noise, shape (B, C, 1, H, W), instead of drawn noise.
            prompt_embeds: embeddings of the prompts, shape (B / num_images_per_prompt, L, D).
            negative_prompt_embeds: embeddings of the negative prompts, same shape or batch 1.
            output_type: "pil" (mode "L" for one channel), "pt" (B, C, H, W) in [0, 1], "np" (B, H, W, C) in
                [0, 1], or "latent" (B, C, 1, H, W).
            return_dict: False for a tuple.
            callback_on_step_end: called as ``callback(pipeline, step, timestep, tensors)`` after each
                step; tensors that it returns replace the pipeline's.
            callback_on_step_end_tensor_inputs: which tensors it gets.

        Returns:
            diffusers' ``ImagePipelineOutput`` with the field ``images``, or a tuple of the images.

        Raises:
            ValueError: arguments that do not fit each other or the model; a result that is not finite.
        """
        unknown = set(callback_on_step_end_tensor_inputs) - set(self._callback_tensor_inputs)
        if unknown:
            raise ValueError(
                f"callback_on_step_end_tensor_inputs names {sorted(unknown)}, expected some of "
                f"{self._callback_tensor_inputs}"
            )
        if output_type not in OUTPUT_TYPES:
            raise ValueError(f"output_type is {output_type!r}, expected one of {OUTPUT_TYPES}")
        scale = self.default_guidance_scale if guidance_scale is None else guidance_scale
        device = self._execution_device

        embeds, negative_embeds = self.encode_prompt(
            prompt,
            negative_prompt,
            scale != 1,
            num_images_per_prompt,
            prompt_embeds,
            negative_prompt_embeds,
            device,
        )
        x_t = self.prepare_latents(embeds.shape[0], height, width, generator, latents, device)
        timesteps = self.prepare_timesteps(num_inference_steps, sigmas, x_t, device)

        with cast(Any, self).progress_bar(total=len(timesteps)) as progress:
            for step, timestep in enumerate(timesteps):
                velocity = self.velocity(x_t, timestep, embeds, negative_embeds, scale, self._interval(step))
                x_t = sampling_step(self.scheduler, velocity, timestep, x_t, generator)
                if callback_on_step_end is not None:
                    tensors: dict[str, Any] = dict(
                        zip(self._callback_tensor_inputs, (x_t, embeds, negative_embeds), strict=True)
                    )
                    given = {name: tensors[name] for name in callback_on_step_end_tensor_inputs}
                    tensors |= callback_on_step_end(self, step, timestep, given) or {}
                    x_t, embeds, negative_embeds = (tensors[name] for name in self._callback_tensor_inputs)
                progress.update()

        require_finite(x_t)
        images: Any = x_t
        if output_type != "latent":
            pixels = decode(self.vae, x_t)[:, :, 0]  # (B, C, H, W)
            images = self.image_processor.postprocess(pixels, output_type=output_type)
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def velocity(
        self,
        latents: Tensor,
        timestep: Tensor,
        prompt_embeds: Tensor,
        negative_prompt_embeds: Tensor | None,
        guidance_scale: float,
        interval: Tensor | None = None,
    ) -> Tensor:
        """Velocity with guidance, float32, shape of ``latents``; the timestep, 0 to 1000, stays float32.

        ``interval`` is t - r of a network that predicts the average velocity from r to t.
        """
        dtype = self.transformer.dtype
        hidden_states, embeds = latents.to(dtype), prompt_embeds.to(dtype)
        if negative_prompt_embeds is not None:
            hidden_states = torch.cat([hidden_states, hidden_states])  # (2B, C, 1, H, W)
            embeds = torch.cat([negative_prompt_embeds.to(dtype), embeds])
        velocity = self.transformer(
            hidden_states=hidden_states,
            timestep=timestep.float().expand(hidden_states.shape[0]),
            encoder_hidden_states=embeds,
            return_dict=False,
            **({} if interval is None else {INTERVAL: interval.float().expand(hidden_states.shape[0])}),
        )[0].float()
        if negative_prompt_embeds is None:
            return velocity
        unconditional, conditional = velocity.chunk(2)
        return unconditional + guidance_scale * (conditional - unconditional)

    def _interval(self, step: int) -> Tensor | None:
        """Length of a step in [0, 1], for a network that wants to know it."""
        if INTERVAL not in getattr(self.transformer, "condition_names", ()):
            return None
        sigmas = self.scheduler.sigmas
        return (sigmas[step] - sigmas[step + 1]).to(self._execution_device)

    # ---------------------------------------------------------------- its inputs

    @property
    def default_guidance_scale(self) -> float:
        """Guidance scale of a call that gives none; a few-step LoRA brings its own."""
        few_step = self.few_step
        return self.config["default_guidance_scale"] if few_step is None else few_step.guidance_scale

    def sampling_grid(self, num_inference_steps: int | None, sigmas: Sequence[float] | None) -> list[float]:
        """The sigmas, before the shift, of a call with these arguments."""
        few_step, steps = self.few_step, self.config["default_num_inference_steps"]
        own = None if few_step is None else few_step.sigmas
        return sampling_grid(num_inference_steps, sigmas, own, steps)

    def encode_prompt(
        self,
        prompt: str | Sequence[str] | None,
        negative_prompt: str | Sequence[str] = "",
        do_classifier_free_guidance: bool = False,
        num_images_per_prompt: int = 1,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        device: torch.device | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Embeddings of the prompts and, with guidance, of the negative prompts, each (B, L, D)."""
        device = device or self._execution_device
        if (prompt is None) == (prompt_embeds is None):
            raise ValueError("give either prompt or prompt_embeds")
        if prompt_embeds is None:
            prompts = [prompt] if isinstance(prompt, str) else list(cast(Sequence[str], prompt))
            if not prompts:
                raise ValueError("prompt is an empty list; give at least one prompt")
            prompt_embeds = self._encode(prompts)
        width = self.transformer.config.text_dim
        if prompt_embeds.ndim != 3 or prompt_embeds.shape[-1] != width:
            raise ValueError(
                f"prompt embeddings have shape {tuple(prompt_embeds.shape)}, but the transformer expects "
                f"(prompts, tokens, {width}); use the text encoder that it was trained with"
            )
        count = prompt_embeds.shape[0]
        prompt_embeds = prompt_embeds.to(device).repeat_interleave(num_images_per_prompt, dim=0)
        if not do_classifier_free_guidance:
            return prompt_embeds, None
        if negative_prompt_embeds is None:
            negatives = [negative_prompt] if isinstance(negative_prompt, str) else list(negative_prompt)
            negative_prompt_embeds = self._encode(negatives)
        if negative_prompt_embeds.shape[0] not in (1, count) or (
            negative_prompt_embeds.shape[1:] != prompt_embeds.shape[1:]
        ):
            raise ValueError(
                f"negative prompt embeddings have shape {tuple(negative_prompt_embeds.shape)}, expected "
                f"({count} or 1, {prompt_embeds.shape[1]}, {width}): one for all prompts or one for each"
            )
        negative_prompt_embeds = negative_prompt_embeds.to(device).expand(count, -1, -1)
        return prompt_embeds, negative_prompt_embeds.repeat_interleave(num_images_per_prompt, dim=0)

    def _encode(self, prompts: list[str]) -> Tensor:
        if self.text_encoder is None or self.tokenizer is None:
            raise ValueError(
                "this pipeline has no text encoder; give prompt_embeds (and, for guidance, "
                "negative_prompt_embeds), or load it with text_encoder and tokenizer"
            )
        return encode_prompts(self.tokenizer, self.text_encoder, prompts, self.config["max_prompt_tokens"])

    def prepare_latents(
        self,
        batch_size: int,
        height: int | None,
        width: int | None,
        generator: torch.Generator | list[torch.Generator] | None,
        latents: Tensor | None,
        device: torch.device,
    ) -> Tensor:
        """Initial noise, float32, shape (B, C, 1, H, W)."""
        config, patch = self.transformer.config, self.transformer.config.patch_size
        factor = spatial_factor(self.vae)
        if latents is not None:
            if latents.ndim != 5 or latents.shape[:3] != (batch_size, config.in_channels, 1):
                raise ValueError(
                    f"latents have shape {tuple(latents.shape)}, expected "
                    f"({batch_size}, {config.in_channels}, 1, height, width)"
                )
            return latents.to(device, torch.float32)
        height, width = height or self.config["default_height"], width or self.config["default_width"]
        if height is None or width is None:
            raise ValueError("give height and width: this pipeline has no default_height and default_width")
        if height % (factor * patch[1]) or width % (factor * patch[2]):
            raise ValueError(
                f"a picture of height {height} and width {width} does not divide into patches; height must "
                f"be a multiple of {factor * patch[1]}, width of {factor * patch[2]}"
            )
        if isinstance(generator, list) and len(generator) != batch_size:
            raise ValueError(
                f"there are {len(generator)} generators for {batch_size} pictures; give one each"
            )
        shape = (batch_size, config.in_channels, 1, height // factor, width // factor)
        return randn_tensor(shape, generator=generator, device=device, dtype=torch.float32)

    def prepare_timesteps(
        self,
        num_inference_steps: int | None,
        sigmas: Sequence[float] | None,
        latents: Tensor,
        device: torch.device,
    ) -> Tensor:
        """Sets the scheduler's grid for these latents and returns its timesteps, 0 to 1000, float32."""
        grid = self.sampling_grid(num_inference_steps, sigmas)
        _, patch_height, patch_width = self.transformer.config.patch_size
        tokens = (latents.shape[-2] // patch_height) * (latents.shape[-1] // patch_width)
        return set_grid(self.scheduler, grid, tokens, device)
