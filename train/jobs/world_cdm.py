"""The run of a world_cdm recipe: a causal world becomes one of few steps, on its own streams."""

import torch

from train.data.batches import Batches
from train.data.world_clips import build_world
from train.jobs.pipeline_cdm import PipelineCDMJob
from train.jobs.world_preview import world_preview
from train.methods.cdm import CDM
from train.methods.world_rollouts import WorldRollouts
from train.previews import Preview
from train.recipes.world_cdm import WorldCDMRecipe
from vision.distill.families.scheduler import flow_shift
from vision.latents import latent_channels, spatial_factor, temporal_factor
from vision.processes import process_device
from vision.world.chunk_denoiser import ChunkDenoiser
from vision.world.pipeline import WorldPipeline


class WorldCDMJob(PipelineCDMJob[WorldCDMRecipe]):
    """Distils ``recipe.teacher``; exports a pipeline of few steps a chunk, without guidance."""

    pipeline_class = WorldPipeline
    unguided = "default_action_guidance_scale"

    @property
    def sequence(self) -> tuple[int, int]:
        _, rows, columns = self.teacher.transformer.config.patch_size
        _, height, width = self._frame_shape
        # The noisy frames beside the clean ones.
        tokens = 2 * self._frames * (height // rows) * (width // columns)
        return tokens, self.teacher.prompt_embeds.shape[1]

    def prepare(self) -> tuple[CDM, Batches, Preview | None]:
        recipe, pipeline = self.recipe, self.teacher
        channels, height, width = self._frame_shape
        denoisers = {
            name: ChunkDenoiser(network) for name, network in self.networks(pipeline.transformer).items()
        }
        chunk = denoisers["teacher"].chunk
        _, rows, columns = pipeline.transformer.config.patch_size
        scheduler = pipeline.scheduler
        method = CDM(
            **denoisers,
            settings=recipe.cdm,
            null_condition={"action_dropped": torch.ones(1, dtype=torch.bool)},
            latent_shape=(channels, chunk, height, width),
            shift=flow_shift(
                type(scheduler).__name__, scheduler.config, chunk * (height // rows) * (width // columns)
            ),
            rollouts=WorldRollouts(
                denoisers["teacher"].chunks(self._frames), pipeline.prompt_embeds, recipe.recorded_past
            ),
        )
        pipeline.vae.to(process_device())
        batches = build_world(recipe.data, vae=pipeline.vae, cache=recipe.cache, seed=recipe.train.seed)
        preview = None
        if recipe.train.preview_every:
            preview = world_preview(
                pipeline, recipe.preview, recipe.data, recipe.networks[0], self.few_step, reference="teacher"
            )
        return method, batches, preview

    @property
    def _frames(self) -> int:
        """Latent frames of a clip."""
        return (self.recipe.data.frames - 1) // temporal_factor(self.teacher.vae) + 1

    @property
    def _frame_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the latents.

        Raises:
            ValueError: the teacher was made for another size.
        """
        data, config, vae = self.recipe.data, self.teacher.config, self.teacher.vae
        for name in ("height", "width"):
            found, own = getattr(data, name), config[f"default_{name}"]
            if own is not None and found != own:
                raise ValueError(
                    f"data.{name} is {found}, but {self.recipe.teacher} was made for {own}; change it"
                )
        channels, factor = latent_channels(vae), spatial_factor(vae)
        assert channels is not None
        return channels, data.height // factor, data.width // factor
