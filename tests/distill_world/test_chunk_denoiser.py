"""Chunks of clips as the samples of a distillation: streams, pasts and gradients."""

import pytest
import torch
from tiny_streams import GRID, SIGMAS, causal_pipeline, causal_world, clip_condition
from tiny_world import picture, pipeline_of, tiny_world  # pyright: ignore[reportMissingImports] - of tests/world

from train.methods.world_rollouts import WorldRollouts, joined, stream_out
from vision.distill.anchor import ANCHOR_SIGMA, AnchorAwareDenoiser
from vision.flow.draws import Draws
from vision.transformer import Actions
from vision.world.chunk_denoiser import ChunkDenoiser


def drawn(chunk: int, frames: int, generator: torch.Generator) -> torch.Tensor:
    """The noise that a stream of one clip draws, as samples (N, 4, c, 4, 4)."""
    noise = [torch.randn(1, 4, chunk, 4, 4, generator=generator) for _ in range(frames // chunk)]
    return torch.cat(noise[chunk == 1 :])


@pytest.mark.parametrize(
    ("chunk", "window", "told"), [(1, None, False), (1, 2, False), (1, 2, True), (3, 4, False), (3, 4, True)]
)
@torch.no_grad()
def test_a_rollout_is_the_stream_that_a_user_plays(chunk, window, told) -> None:
    """Six latent frames, so that with a window the memory slides; the past is the student's own."""
    pipeline, condition = causal_pipeline(chunk, window, default_sigmas=GRID), clip_condition(1, 6)
    if told:
        pipeline.transformer.add_previous_frame()
        torch.nn.init.normal_(pipeline.transformer.previous_patch_embedding.weight, std=0.2)
    actions = Actions(condition["sticks"], condition["buttons"])
    prompt = condition["encoder_hidden_states"]
    generator = torch.Generator().manual_seed(3)
    stream = pipeline.stream(picture(), actions, generator=generator, prompt_embeds=prompt)
    expected = torch.cat(list(stream), 2)

    denoiser, first = ChunkDenoiser(pipeline.transformer), expected[:, :, :1]
    noise = drawn(chunk, 6, torch.Generator().manual_seed(3))
    given = {name: value for name, value in condition.items() if name != "past"}
    rollout = stream_out(denoiser, noise, first, given, SIGMAS)
    past = joined(rollout.final, first)
    torch.testing.assert_close(past, expected, rtol=0, atol=1e-5)

    # What the losses ask at a point of the rollout, of all chunks at once, is what the stream was told there.
    for state, velocity, sigma in zip(rollout.states, rollout.velocities, SIGMAS, strict=False):
        t = torch.full((len(state),), sigma)
        found = denoiser.velocity(state, t, {**condition, "past": past})
        torch.testing.assert_close(found, velocity, rtol=0, atol=1e-5)


@pytest.mark.parametrize("chunk", [1, 3])
def test_the_losses_of_a_chunk_reach_no_other_chunk(chunk) -> None:
    denoiser, condition = ChunkDenoiser(causal_world(chunk)), clip_condition(2, 6)
    count = denoiser.chunks(6)
    x_t = torch.randn(2 * count, 4, chunk, 4, 4, requires_grad=True)
    t = torch.linspace(0.2, 0.9, 2 * count)
    sample = count + 1  # of the second clip
    denoiser.velocity(x_t, t, condition)[sample].square().sum().backward()
    assert x_t.grad is not None
    assert [bool(row.any()) for row in x_t.grad] == [number == sample for number in range(2 * count)]


def test_what_the_student_made_has_no_graph() -> None:
    denoiser, condition = ChunkDenoiser(causal_world(1)), clip_condition(2, 4)
    rollouts = WorldRollouts(denoiser.chunks(4), condition["encoder_hidden_states"][:1])
    batch = {"latents": condition["past"], "sticks": condition["sticks"], "buttons": condition["buttons"]}
    rollout, made = rollouts.walk(denoiser, torch.randn(6, 4, 1, 4, 4), batch, SIGMAS, 1, Draws(0, 0))
    assert not any(tensor.requires_grad for tensor in (*rollout.states, *rollout.velocities, *made.values()))
    torch.testing.assert_close(made["past"], joined(rollout.final, batch["latents"][:, :, :1]))
    assert not torch.equal(made["past"], batch["latents"])
    recorded = WorldRollouts(denoiser.chunks(4), condition["encoder_hidden_states"][:1], recorded_past=1.0)
    rollout, made = recorded.walk(denoiser, torch.randn(6, 4, 1, 4, 4), batch, SIGMAS, 1, Draws(0, 0))
    assert len(rollout.velocities) == 1 and torch.equal(made["past"], batch["latents"])


def test_a_given_frame_is_held_and_in_no_loss() -> None:
    denoiser, condition = ChunkDenoiser(causal_world(3)), clip_condition(2, 6)
    x_t, t = torch.randn(4, 4, 3, 4, 4), torch.full((4,), 0.4)
    with torch.no_grad():
        before = denoiser.velocity(x_t, t, condition)
        x_0 = x_t - 0.4 * before
        torch.testing.assert_close(x_0[::2, :, 0], condition["past"][:, :, 0])
        x_t[::2, :, 0] += 7
        after = denoiser.velocity(x_t, t, condition)
    torch.testing.assert_close(after[::2, :, 1:], before[::2, :, 1:], rtol=0, atol=0)
    torch.testing.assert_close(after[1::2], before[1::2], rtol=0, atol=0)


def test_an_anchor_is_told_to_its_chunk_and_not_to_the_past() -> None:
    plain, condition = ChunkDenoiser(causal_world(1)), clip_condition(2, 4)
    aware = AnchorAwareDenoiser(ChunkDenoiser(causal_world(1)))
    torch.nn.init.normal_(aware.network.anchor_embedding.linear.weight)  # pyright: ignore
    x_t, t = torch.randn(6, 4, 1, 4, 4), torch.linspace(0.2, 0.9, 6)
    with torch.no_grad():
        torch.testing.assert_close(aware.velocity(x_t, t, condition), plain.velocity(x_t, t, condition))
        told = [
            aware.velocity(x_t, t, {**condition, ANCHOR_SIGMA: sigma})
            for sigma in (torch.full((6,), 0.5), torch.tensor([0.5, 0.9, 0.5, 0.5, 0.5, 0.5]))
        ]
    differs = [not torch.equal(a, b) for a, b in zip(*told, strict=True)]
    assert differs == [False, True, False, False, False, False]


def test_worlds_that_have_no_chunks() -> None:
    with pytest.raises(ValueError, match=r"all see each other.*train a causal one"):
        ChunkDenoiser(tiny_world())
    with pytest.raises(ValueError, match="takes no actions"):
        ChunkDenoiser(causal_world(1, conditioning={}))
    with pytest.raises(ValueError, match="clips have 5 latent frames, this world makes 3 at a time"):
        ChunkDenoiser(causal_world(3)).chunks(5)
    assert ChunkDenoiser(pipeline_of(causal_world(1)).transformer).chunks(5) == 4
