"""A world made part by part: what each part sees, that it is repeatable, and that its memory is bounded."""

import pytest
import torch
from tiny_world import picture, pipeline_of, rows, seeded, tiny_world
from torch import Tensor

from vision import WorldPipeline
from vision.world.guided import GuidedWorld
from vision.world.stream import WorldStream

FRAMES = 7


def causal(chunk: int, window: int | None = None) -> WorldPipeline:
    transformer = tiny_world(num_layers=2)
    transformer.set_causal(chunk, window)
    return pipeline_of(transformer)


def whole(pipeline: WorldPipeline, scale: float, **options) -> list[Tensor]:
    return list(
        pipeline.stream(
            picture(), rows(1, FRAMES), generator=seeded(), action_guidance_scale=scale, **options
        )
    )


@pytest.mark.parametrize("scale", [1.0, 2.5])
@pytest.mark.parametrize(("chunk", "window"), [(1, None), (3, None), (3, 4)])
@torch.no_grad()
def test_a_chunk_is_what_one_masked_pass_over_the_finished_past_gives(chunk, window, scale) -> None:
    """With one step a chunk is e - v(e), v being asked with clean chunks before it."""
    pipeline, actions = causal(chunk, window), rows(1, FRAMES)
    parts = whole(pipeline, scale, num_inference_steps=1)
    assert sum(part.shape[2] for part in parts) == FRAMES
    finished, generator = pipeline.encode_first_frame(picture())[:, :, :0], seeded()
    world = GuidedWorld(pipeline.transformer, pipeline.prompt_embeds, 1, scale)
    for number, part in enumerate(parts):
        noise = torch.randn(part.shape, generator=generator)
        known = 0
        if number == 0:
            noise[:, :, 0], known = part[:, :, 0], 1
            torch.testing.assert_close(part[:, :, :1], pipeline.encode_first_frame(picture()))
        x_t = torch.cat([finished, noise], dim=2)
        times = torch.full((x_t.shape[2],), 1000.0)
        times[: finished.shape[2] + known] = 0
        velocity = world.velocity(x_t, times, actions.rows(0, 4 * (x_t.shape[2] - 1) + 1))
        made = (x_t - velocity)[:, :, finished.shape[2] + known :]
        torch.testing.assert_close(part[:, :, known:], made, rtol=0, atol=2e-5)
        finished = torch.cat([finished, part], dim=2)


def test_a_seed_gives_one_world_and_later_rows_leave_earlier_chunks() -> None:
    pipeline, actions = causal(2, 4), rows(1, FRAMES)
    once, again = whole(pipeline, 1.5), whole(pipeline, 1.5)
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    sticks = actions.sticks.clone()
    sticks[:, 13:] *= -1
    turned = WorldStream(pipeline, picture(), generator=seeded(), action_guidance_scale=1.5)
    made = []
    while turned.rows_used < 25:
        last = min(25, turned.rows_used + turned.rows_wanted[1])
        part = type(actions)(sticks, actions.buttons).rows(turned.rows_used, last)
        made.append(turned.advance(part))
    same = [torch.equal(a, b) for a, b in zip(once, made, strict=True)]
    assert same == [True, True, False, False]  # row 13 leads into frame 14, of the latent frame 4


def test_two_streams_of_one_pipeline_leave_each_other_alone(monkeypatch) -> None:
    """As a server's threads do, one makes a chunk while the other is in the middle of its own."""
    pipeline, actions = causal(2), rows(1, FRAMES)
    alone = whole(pipeline, 1.0)
    stream, other = (WorldStream(pipeline, picture(), generator=seeded()) for _ in range(2))
    velocity = stream._world.velocity
    others = []

    def interrupted(*arguments):
        if not others:
            others.append(other.advance(actions.rows(0, other.rows_wanted[1])))
        return velocity(*arguments)

    monkeypatch.setattr(stream._world, "velocity", interrupted)
    torch.testing.assert_close(stream.advance(actions.rows(0, stream.rows_wanted[1])), alone[0])
    torch.testing.assert_close(others[0], alone[0])


def test_memory_stops_growing_with_a_window_alone() -> None:
    for window, bounded in ((2, True), (None, False)):
        stream = WorldStream(causal(1, window), picture(), num_inference_steps=1, generator=seeded())
        sizes = []
        for _ in range(6):
            stream.advance(rows(1, 3).rows(0, stream.rows_wanted[1]))
            sizes.append(stream.cache.num_bytes)
        assert (len(set(sizes[1:])) == 1) == bounded
        assert bounded or sizes == sorted(set(sizes))


def test_rows_may_come_late() -> None:
    """A player's newest row is of no use yet, so a stream can do without it."""
    pipeline, actions = causal(2), rows(1, FRAMES)
    on_time = whole(pipeline, 1.0)
    stream, late = WorldStream(pipeline, picture(), generator=seeded(), action_guidance_scale=1.0), []
    while len(late) < 3:
        least = stream.rows_wanted[0]
        late.append(stream.advance(actions.rows(stream.rows_used, stream.rows_used + least)))
    for a, b in zip(on_time, late, strict=False):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_streams_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"all see each other.*set_causal"):
        next(pipeline_of().stream(picture(), rows()))
    stream = WorldStream(causal(3), picture(), num_inference_steps=1)
    with pytest.raises(ValueError, match="there are 3 rows of actions, the next chunk takes 8 or 9"):
        stream.advance(rows().rows(0, 3))
    stream.advance(rows().rows(0, 5))
    with pytest.raises(ValueError, match="with which a stream ends"):
        stream.advance(rows().rows(0, 4))
