"""The run of a distillation: a teacher's pipeline becomes a few-step one, whatever its family."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from train.data.batches import Batches
from train.data.build import build_captioned, build_prompts, encode_prompt_file, encode_texts
from train.data.encoded_prompts import EncodedPrompts
from train.estimate import Estimate
from train.jobs.drawing import few_step_preview
from train.jobs.job import Job
from train.jobs.networks import distillation_estimates, distillation_networks
from train.methods.method import Method
from train.previews import Preview
from train.recipes.distillation import DistillationRecipe, PictureRecipe, PromptRecipe
from vision.distill.families import Family, find_family
from vision.distill.families.family import LatentShape, Student
from vision.distill.few_step import FewStep
from vision.flow.denoiser import Condition, Denoiser
from vision.flow.schedules import linear_schedule
from vision.flow.shift import TimeShift
from vision.lora.adapters import add_lora, save_lora

R = TypeVar("R", bound=DistillationRecipe)


@dataclass(frozen=True)
class Parts:
    """What a method of distillation is made of.

    Attributes:
        trained: the trained networks by the recipe's names, each initialised from the teacher.
        teacher: the frozen many-step network.
        null_condition: condition of the empty prompt for one sample, shapes (1, ...).
        latent_shape: (C, F, H, W).
        shift: the time shift of the teacher's scheduler.
    """

    trained: dict[str, Denoiser]
    teacher: Denoiser
    null_condition: Condition
    latent_shape: LatentShape
    shift: TimeShift

    def of_scores(self) -> dict[str, Any]:
        """The arguments of a :class:`train.methods.score_distillation.ScoreDistillation`."""
        return {
            **self.trained,
            "teacher": self.teacher,
            "null_condition": self.null_condition,
            "latent_shape": self.latent_shape,
            "shift": self.shift,
        }


class DistillationJob(Job[R]):
    """Distils ``recipe.teacher``; exports a pipeline with its grid, or an adapter.

    Attributes:
        samples_at_once: by network, how many inputs a sample of the batch one call of it holds at most; 1
            where a network is left out.
    """

    samples_at_once: ClassVar[dict[str, int]]

    @abstractmethod
    def method(self, parts: Parts) -> Method:
        """The method of the recipe."""

    @property
    def asks_without_prompt(self) -> bool:
        """Whether the method compares the teacher's answers with and without the prompt."""
        return True

    def extend(self, network: nn.Module) -> None:
        """Adds to the student, as yet the teacher's copy, what the method wants beside it; nothing here."""

    def sampler(self, scheduler: Any) -> Any:
        """The scheduler that the student is sampled with; the teacher's own here."""
        return scheduler

    def estimates(self, processes: int, device: str) -> dict[str, Estimate]:
        family = self._described
        shape = self._checked_shape(family)
        prompt = family.prompt_length(family.max_prompt_tokens(self.recipe.max_prompt_tokens))
        with torch.device("meta"):
            networks = self._networks(family.empty_network())
        return distillation_estimates(
            networks,
            (family.sequence_length(shape), prompt),
            self.samples_at_once,
            self.recipe.train,
            processes,
            device,
        )

    def prepare(self) -> tuple[Method, Batches, Preview | None]:
        recipe, family = self.recipe, self._family
        shape = self._checked_shape(family)
        shift = family.time_shift(shape)
        if recipe.memory != "full":
            self._networks(family.empty_network())  # says before hours of encoding if it matches nothing
        # The text encoders have come and gone before the networks are loaded.
        prompts, batches = self._prompts_and_batches(family)
        null = prompts.of([""])
        networks = self._networks(family.network())
        denoisers = {name: family.denoiser(network) for name, network in networks.items()}
        teacher = denoisers.pop("teacher")
        method = self.method(Parts(denoisers, teacher, null, shape, shift))
        preview = few_step_preview(
            family, prompts, null, shape, self._few_step, recipe.preview, recipe.networks[0], self.sampler
        )
        return method, batches, preview

    def export(self, weights: dict[str, Tensor], folder: Path) -> str:
        recipe, family, few_step = self.recipe, self._family, self._few_step
        if recipe.memory == "lora" and recipe.lora is not None:
            student: Any = family.empty_network()
            add_lora(student, recipe.lora.rank, recipe.lora.alpha, recipe.lora.target_modules)
            save_lora(folder, student, {"pipeline": family.pipeline}, weights=weights)
            few_step.save(folder)
            return "is an adapter; README.md has the call that loads it"
        defaults = {
            "steps": recipe.preview.steps,
            "sigmas": recipe.preview.sigmas,
            "guidance_scale": few_step.guidance_scale,
            "height": recipe.height,
            "width": recipe.width,
            "max_prompt_tokens": recipe.max_prompt_tokens,
        }
        loads = family.save(Student(weights, defaults, self.extend, self.sampler), folder)
        few_step.save(folder)
        return loads

    def _prompts_and_batches(self, family: Family) -> tuple[EncodedPrompts, Batches]:
        """Embeddings of what is asked for by name, and what the method is trained on."""
        recipe = self.recipe
        encoder = family.prompt_encoder(family.max_prompt_tokens(recipe.max_prompt_tokens))
        also = ["", *recipe.preview.prompts]
        try:
            if isinstance(recipe, PromptRecipe):
                prompts = encode_prompt_file(
                    recipe.prompts, model=family.pipeline, encoder=encoder, cache=recipe.cache, also=also
                )
                return prompts, build_prompts(prompts, recipe.train.seed)
            assert isinstance(recipe, PictureRecipe)
            # Where the network works on pixels, they have its channels.
            vae = family.autoencoder()
            batches = build_captioned(
                recipe.data,
                vae=vae,
                channels=family.latent_shape(None, None, None)[0] if vae is None else None,
                patch_size=family.patch_size[1],
                encoder=encoder,
                cache=recipe.cache,
                seed=recipe.train.seed,
            )
            return encode_texts(also, encoder, recipe.cache), batches
        finally:
            encoder.close()

    @property
    def _few_step(self) -> FewStep:
        preview = self.recipe.preview
        sigmas = preview.sigmas or linear_schedule(preview.steps)[:-1]
        return FewStep(list(sigmas), preview.guidance_scale)

    @cached_property
    def _family(self) -> Family:
        return find_family(self.recipe.teacher)

    @property
    def _described(self) -> Family:
        """The teacher's family for what its configurations say alone."""
        if self.recipe.architecture is None or Path(self.recipe.teacher).is_dir():
            return self._family
        return find_family(self.recipe.architecture)

    def _checked_shape(self, family: Family) -> LatentShape:
        """The latents of the recipe's size; ValueError where the teacher cannot be distilled by it."""
        recipe = self.recipe
        if self.asks_without_prompt and family.guidance_distilled:
            raise ValueError(
                f"{recipe.teacher} takes its guidance as an input (guidance_embeds) and has no unconditional "
                "branch to augment; leave the guidance loss out, for CDM with cdm.weight_guidance: 0"
            )
        return family.latent_shape(recipe.height, recipe.width, recipe.num_frames)

    def _networks(self, transformer: nn.Module) -> dict[str, nn.Module]:
        """The trained networks by the recipe's names, and the teacher, of the teacher's transformer."""
        recipe = self.recipe
        networks = distillation_networks(
            transformer, recipe.memory, recipe.lora, recipe.networks, recipe.train.seed
        )
        self.extend(networks[recipe.networks[0]])
        return networks
