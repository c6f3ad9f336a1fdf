"""The student's rollout in training is what the pipeline draws from the same noise."""

from typing import Any

import pytest
import torch
from tiny_tryon_model import pipeline_of, tiny_tryon  # pyright: ignore[reportMissingImports] - of tests/tryon
from tiny_tryon_runs import HEIGHT, WIDTH, TryOnWorkspace  # pyright: ignore[reportMissingImports] - of tests/tryon_train

from train.data.build_tryon import build_tryon
from train.data.item import Item
from train.methods.tryon_rollouts import TryOnRollouts
from train.recipes.tryon_data import TryOnDataRecipe
from vision.flow.draws import Draws
from vision.flow.schedules import shifted_schedule
from vision.tryon.denoiser import ACTIONS_DROPPED, PROMPT_DROPPED, TryOnDenoiser
from vision.tryon.readers import read_samples
from vision.tryon.reference import without_reference
from vision.tryon.sample_inputs import sample_inputs
from vision.tryon.timing import Timing

GRID = [1.0, 0.75, 0.5, 0.25]
FRAMES = 17


def batch_of(tryon_runs: TryOnWorkspace, pipeline: Any) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """All three clips as a batch, and the embedding of the empty prompt."""
    data = TryOnDataRecipe(path=str(tryon_runs.clips), height=HEIGHT, width=WIDTH, frames=FRAMES)
    batches, texts = build_tryon(
        data,
        vae=pipeline.vae,
        split_context=True,
        text=(pipeline.tokenizer, pipeline.text_encoder),
        max_prompt_tokens=pipeline.config["max_prompt_tokens"],
        timing=Timing(),
        cache=tryon_runs.folder / "cache",
        seed=0,
        also=[""],
    )
    clips: Any = batches.dataset
    return clips.batch([Item(n, n) for n in range(3)]), texts.of([""])["encoder_hidden_states"]


@pytest.mark.parametrize("padding", ["noised", "zeros"])
def test_the_rollout_is_what_the_pipeline_draws(tryon_runs: TryOnWorkspace, padding: str) -> None:
    pipeline = pipeline_of(max_prompt_tokens=16, reference_padding=padding)
    batch, null = batch_of(tryon_runs, pipeline)
    noise = torch.randn(batch["latents"].shape, generator=torch.Generator().manual_seed(1))
    sigmas = shifted_schedule(GRID, 5.0)
    student = TryOnDenoiser(pipeline.transformer, null, padding)
    rollout, condition = TryOnRollouts().walk(student, noise, batch, sigmas, 4, Draws(0, 0))
    assert not condition[PROMPT_DROPPED].any() and not condition[ACTIONS_DROPPED].any()
    for number, sample in enumerate(read_samples(tryon_runs.clips)):
        inputs = sample_inputs(sample, sample.load(), (HEIGHT, WIDTH), (0, FRAMES))
        drawn = pipeline(
            **inputs,
            prompt=sample.record.caption,
            sigmas=GRID,
            guidance_scale=1.0,
            latents=noise[number, None],
            output_type="latent",
        ).frames
        made = without_reference(rollout.final)[number, None]
        torch.testing.assert_close(made, drawn, rtol=0, atol=1e-4)
        assert made.std() > 0.1  # of a network that says something


def test_the_guider_works_once_a_rollout_and_changes_nothing(tryon_runs: TryOnWorkspace) -> None:
    pipeline = pipeline_of(tiny_tryon(), max_prompt_tokens=16)
    batch, null = batch_of(tryon_runs, pipeline)
    noise = torch.randn(batch["latents"].shape, generator=torch.Generator().manual_seed(1))
    student = TryOnDenoiser(pipeline.transformer, null)
    calls: list[int] = []
    pipeline.transformer.guides.guider.blocks[0].register_forward_pre_hook(lambda *_: calls.append(1))
    sigmas = shifted_schedule(GRID, 5.0)
    rollout, condition = TryOnRollouts().walk(student, noise, batch, sigmas, 4, Draws(0, 0))
    assert len(calls) == 1
    with torch.no_grad():
        anew = student.velocity(rollout.states[2], rollout.sigmas[2].expand(len(noise)), condition)
    assert len(calls) == 2  # beyond the rollout nothing is kept
    torch.testing.assert_close(anew, rollout.velocities[2], rtol=0, atol=1e-6)
