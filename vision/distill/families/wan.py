"""Wan 2.1, text to video: diffusers' WanPipeline.

Legend: B samples, C channels, F frames, H height, W width of the latents; L prompt tokens, D their width.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from torch import Tensor, nn

from vision.distill.families.card_call import arguments, load_lines
from vision.distill.families.family import Drawing, LatentShape
from vision.distill.families.stock_family import StockFamily
from vision.distill.few_step_pipeline import GridScheduler
from vision.flow.denoiser import Condition, Denoiser
from vision.flow.shift import TimeShift
from vision.weights import read_json


class WanDenoiser(Denoiser):
    """``WanTransformer3DModel``; conditions: ``encoder_hidden_states`` (B, L, D), zero after the prompt."""

    def velocity(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Velocity at ``x_t`` (B, C, F, H, W) and times ``t`` (B,) in [0, 1]; float32."""
        return self.network(
            hidden_states=x_t,
            timestep=1000 * t.float(),
            encoder_hidden_states=condition["encoder_hidden_states"],
            return_dict=False,
        )[0].float()

    def time_embedder(self) -> nn.Module:
        """The layers between the sinusoids and the embedding of the time, output (B, width)."""
        return self.network.condition_embedder.time_embedder  # pyright: ignore


class Wan(StockFamily):
    """Wan with one transformer and one time for all tokens.

    ``WanPipeline`` takes no sigmas, and its own scheduler (UniPC) is no Euler step: a few-step model is drawn
    by ``FlowMatchEulerDiscreteScheduler`` with the teacher's shift, told its grid beforehand.

    Raises:
        ValueError: the folder holds a Wan 2.2 pipeline.
    """

    pipeline = "WanPipeline"
    transformer = "WanTransformer3DModel"
    task = "text-to-video"
    license = "apache-2.0"
    default_size = (480, 832, 81)
    default_prompt_tokens = 512
    max_tokens = 512
    padded = frozenset({"encoder_hidden_states"})

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        two = (self.index.get("transformer_2") or [None])[0] is not None
        if two or self.index.get("expand_timesteps") or self.index.get("boundary_ratio") is not None:
            what = "two transformers" if two else "a time for each token"
            raise ValueError(
                f"{folder} holds a Wan 2.2 pipeline with {what}, which cannot be distilled "
                "here; give a Wan 2.1 text-to-video pipeline"
            )
        if self.config.get("image_dim") is not None or self.config["in_channels"] != self.vae_config["z_dim"]:
            raise ValueError(f"{folder} is conditioned on pictures; give a Wan 2.1 text-to-video pipeline")

    @property
    def patch_size(self) -> tuple[int, int, int]:
        frames, rows, columns = self.config["patch_size"]
        return frames, rows, columns

    @property
    def factors(self) -> tuple[int, int]:
        return self.vae_config.get("scale_factor_temporal", 4), self.vae_config.get("scale_factor_spatial", 8)

    def time_shift(self, shape: LatentShape) -> TimeShift:
        if read_json(self.folder / "scheduler" / "scheduler_config.json").get("use_dynamic_shifting"):
            raise ValueError(
                f"the scheduler of {self.folder} sets use_dynamic_shifting, but a {self.pipeline} tells it "
                "no length; expected a static shift (flow_shift or shift)"
            )
        return super().time_shift(shape)

    def denoiser(self, network: nn.Module) -> WanDenoiser:
        return WanDenoiser(network)

    def encode(self, pipeline: Any, prompt: str, max_prompt_tokens: int) -> tuple[dict[str, Tensor], int]:
        embeds, _ = pipeline.encode_prompt(
            [prompt],
            do_classifier_free_guidance=False,
            max_sequence_length=max_prompt_tokens,
            device=pipeline.text_encoder.device,
        )
        cut = len(pipeline.tokenizer(prompt, verbose=False)["input_ids"]) - max_prompt_tokens
        return {"encoder_hidden_states": embeds}, cut

    def draw(self, network: nn.Module, drawing: Drawing) -> Tensor:
        own = self.scheduler()
        if drawing.sampler is not None and drawing.sampler(own) is not own:
            raise ValueError(
                f"a {self.pipeline} gives its scheduler no random numbers, which this method's sampling "
                "draws; choose another method"
            )
        pipeline = self.drawing_pipeline(network)
        pipeline.scheduler = GridScheduler.on(drawing.sigmas, pipeline.scheduler)
        time, space = self.factors
        return pipeline(
            prompt_embeds=drawing.condition["encoder_hidden_states"],
            negative_prompt_embeds=drawing.null_condition["encoder_hidden_states"],
            latents=drawing.noise,
            height=drawing.noise.shape[-2] * space,
            width=drawing.noise.shape[-1] * space,
            num_frames=1 + (drawing.noise.shape[2] - 1) * time,
            num_inference_steps=len(drawing.sigmas),
            guidance_scale=drawing.guidance_scale,
            output_type="latent",
        ).frames.float()

    @classmethod
    def call(
        cls, model: str, *, prompt: str, sigmas: Sequence[float], lora: str | None, **options: Any
    ) -> str:
        load = None if lora is None else f"pipeline.load_lora_weights({lora!r})"
        given = {"num_inference_steps": len(sigmas), **options}
        lines = load_lines(cls.pipeline, model, load, [FlowMatchEulerDiscreteScheduler.__name__])
        return "\n".join(
            [
                *lines,
                "# WanPipeline takes no sigmas: its scheduler is told the few-step grid.",
                'shift = pipeline.scheduler.config.get("flow_shift", pipeline.scheduler.config.get("shift"))',
                "scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)",
                "set_timesteps = scheduler.set_timesteps",
                "scheduler.set_timesteps = lambda steps, device=None: set_timesteps(",
                f"    sigmas={list(sigmas)}, device=device",
                ")",
                "pipeline.scheduler = scheduler",
                f"video = pipeline(\n{arguments(prompt, given)}\n).frames[0]",
                "from diffusers.utils import export_to_video",
                'export_to_video(video, "video.mp4", fps=16)',
            ]
        )
