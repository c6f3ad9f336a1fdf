"""A play: the same frames as the whole video's, and a memory that stays as it is."""

import numpy as np
import pytest
import torch
from playable_world import SIZE, playable_world
from tiny_world import picture, pipeline_of, seeded, tiny_world  # pyright: ignore[reportMissingImports]

from vision.media.image import to_bytes
from vision.transformer import Actions
from vision.world.play_session import PlaySession


def random_rows(count: int) -> np.ndarray:
    generator = np.random.default_rng(3)
    sticks = generator.uniform(-1, 1, (count, 4))
    return np.concatenate([sticks, generator.integers(0, 2, (count, 6))], 1).astype(np.float32)


def played(session: PlaySession, rows: np.ndarray, chunks: int) -> list[np.ndarray]:
    made, used = [], 0
    for _ in range(chunks):
        count = session.rows_wanted
        made.append(session.advance(rows[used : used + count]))
        used += count
    return made


@pytest.mark.parametrize(("chunk", "lengths"), [(1, [1, 4, 4, 4]), (3, [9, 12, 12])])
def test_a_play_is_the_video_of_its_rows(chunk: int, lengths: list[int]) -> None:
    pipeline = playable_world(chunk)
    session, rows = PlaySession(pipeline), random_rows(sum(lengths))
    session.reset(picture(), seed=7, action_guidance_scale=1.5)
    made = played(session, rows, len(lengths))
    assert [len(frames) for frames in made] == lengths
    assert session.frames_made == sum(lengths)
    values = torch.from_numpy(rows)[None]
    actions = Actions(values[..., :4], values[..., 4:])
    latents = pipeline.clip_latents(picture(), actions, action_guidance_scale=1.5, generator=seeded(7))
    whole = to_bytes(2 * pipeline.show(latents, "pt")[0] - 1).permute(0, 2, 3, 1).numpy()
    difference = np.abs(np.concatenate(made).astype(int) - whole)
    assert difference.max() <= 1  # a rounding to the next of 256 levels


def test_reset_begins_the_same_world_and_a_bad_one_leaves_the_play() -> None:
    session, rows = PlaySession(playable_world()), random_rows(16)
    with pytest.raises(ValueError, match="not begun; call reset"):
        _ = session.rows_wanted
    session.reset(picture(), seed=1)
    once = played(session, rows, 3)
    session.reset(picture(), seed=1)
    assert session.frames_made == 0
    again = played(session, rows, 2)
    with pytest.raises(ValueError, match=r"8 x 8.*made for 16 x 16"):
        session.reset(picture(size=(8, 8)))
    with pytest.raises(ValueError, match="mode L, expected RGB"):
        session.reset(picture().convert("L"))
    with pytest.raises(ValueError, match="begins with one first frame, found 2"):
        session.reset([picture(), picture(1)])
    again.append(session.advance(rows[4:8]))
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    session.reset(picture(), seed=2)
    assert not np.array_equal(played(session, rows, 2)[1], once[1])


def test_memory_is_flat_with_a_window_alone() -> None:
    for window in (3, None):
        session = PlaySession(playable_world(window=window))
        assert (session.num_bytes, session.is_bounded) == (0, window is not None)
        session.reset(picture())
        sizes = []
        for _ in range(6):
            session.advance(random_rows(session.rows_wanted))
            sizes.append(session.num_bytes)
        assert (len(set(sizes[2:])) == 1) == session.is_bounded
        assert session.is_bounded or sizes == sorted(set(sizes))


def test_worlds_that_cannot_be_played() -> None:
    with pytest.raises(ValueError, match="all see each other"):
        PlaySession(pipeline_of())
    silent = tiny_world(conditioning={})
    silent.set_causal(1)
    with pytest.raises(ValueError, match="takes no actions"):
        PlaySession(pipeline_of(silent))
    causal = tiny_world()
    causal.set_causal(1)
    with pytest.raises(ValueError, match="AutoencoderKLWan decodes whole videos only"):
        PlaySession(pipeline_of(causal))


def test_frames_are_bytes_of_the_size_of_the_picture() -> None:
    session = PlaySession(playable_world())
    session.reset(picture(size=(SIZE, SIZE)))
    frames = session.advance(random_rows(1))
    assert frames.dtype == np.uint8
    assert frames.shape == (1, SIZE, SIZE, 3)
    assert frames.flags.c_contiguous
