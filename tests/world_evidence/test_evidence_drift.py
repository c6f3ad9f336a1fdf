"""Drift: distances of frames, which way a view turns, streams that fork, and the engine's long plays."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_evidence import world_of  # pyright: ignore[reportMissingImports] - of this folder
from tiny_world import picture, rows  # pyright: ignore[reportMissingImports] - of tests/world

from benchmarks.world.drifting import measured_drift
from benchmarks.world.settings import Settings
from vision.world.evaluation.drift import displacement, distance, frame_features, saturation, sharpness
from vision.world.evaluation.drift_truth import TURN_ROWS, drift_truth
from vision.world.evaluation.truth_set import TruthSet
from vision.world.stream import WorldStream


def noise(count: int, seed: int, low: int = 40, high: int = 200) -> np.ndarray:
    """Frames of big random blocks."""
    blocks = np.random.default_rng(seed).integers(low, high, (count, 4, 4, 3), dtype=np.uint8)
    return blocks.repeat(8, 1).repeat(8, 2)


def test_the_distance_is_of_distributions() -> None:
    reference, same, darker = (
        frame_features(frames) for frames in (noise(400, 0), noise(400, 1), noise(400, 2, 20, 100))
    )
    assert distance(reference, reference) == pytest.approx(0, abs=1e-6)
    assert 10 * distance(same, reference) < distance(darker, reference)
    fading = (0.7 * noise(400, 1)).astype(np.uint8)
    assert distance(same, reference) < distance(frame_features(fading), reference)


def test_features_are_means_of_cells_and_of_their_detail() -> None:
    frames = noise(2, 0)
    colours, detail = np.split(frame_features(frames), [48], 1)
    wanted = frames[:, ::8, ::8].transpose(0, 3, 1, 2).reshape(2, 48) / 255
    np.testing.assert_allclose(colours, wanted, atol=1e-6)
    flat = np.full((1, 32, 32, 3), 90, np.uint8)
    assert (frame_features(flat)[:, 48:] == 0).all() and (detail > 0).any()


def test_sharpness_and_saturation() -> None:
    frames = noise(4, 0)
    halved = (frames // 2 + 60).astype(np.uint8)
    assert sharpness(halved) == pytest.approx(sharpness(frames) / 4, rel=0.05)
    assert saturation(frames) == 0
    frames[:, :16] = 255
    assert saturation(frames) == 0.5


@pytest.mark.parametrize("moved", [-5, -1, 0, 3, 6])
def test_displacements(moved: int) -> None:
    wide = np.random.default_rng(0).integers(0, 256, (32, 200, 3), dtype=np.uint8)
    clip = np.stack([wide[:, 80 + moved * t : 112 + moved * t] for t in range(5)])
    assert displacement(clip) == moved


def test_the_engines_view_turns_as_the_stick_says(truth: TruthSet) -> None:
    for command, sign in ((2, -1), (6, 1)):  # RX at -0.5 and 0.5
        for clip in truth.held[:, 2, command]:
            assert np.sign(displacement(clip[2:])) == sign


def test_a_forked_stream_goes_on_as_the_first_would() -> None:
    pipeline, actions = world_of(16, 1), rows(1, 6)

    def noise_of(stream_seed: int) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(stream_seed)]

    def advanced(stream: WorldStream, count: int) -> list[torch.Tensor]:
        made = []
        for _ in range(count):
            least = stream.rows_wanted[0]
            made.append(stream.advance(actions.rows(stream.rows_used, stream.rows_used + least)))
        return made

    whole = advanced(WorldStream(pipeline, picture(), generator=noise_of(3)), 6)
    stream = WorldStream(pipeline, picture(), generator=noise_of(3))
    advanced(stream, 3)
    fork = stream.fork()
    for own in (fork, stream):  # neither has moved the other on
        for found, wanted in zip(advanced(own, 3), whole[3:], strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    alone = WorldStream(pipeline, picture(), generator=torch.Generator().manual_seed(3))
    assert torch.equal(advanced(alone.fork(), 2)[1], advanced(alone, 2)[1])


def test_drift_of_a_stream_beside_the_engine(tmp_path: Path) -> None:
    settings = Settings(drift_chunks=6, drift_worlds=4)
    found = measured_drift(world_of(16, 1), settings, (16, 16), tmp_path)
    (place,) = found["bins"]
    assert (place["first"], place["last"]) == (0, 20)
    assert place["distance"] > 3 * place["recorded_distance"]
    assert place["recorded_sharpness"] == pytest.approx(1)
    turning = found["turning"]
    assert turning["at"] == 16 and turning["engine_sign"] == 1 and 0 <= turning["sign"] <= 1
    assert turning["engine_difference"] > 0.02
    (file,) = tmp_path.iterdir()
    truth = drift_truth(tmp_path, "test", 4, 21, 16, (16, 16))
    assert list(tmp_path.iterdir()) == [file]
    assert truth.turned.shape == (4, 2, TURN_ROWS + 1, 16, 16, 3)
    # Up to the turn both sides are the play itself.
    np.testing.assert_array_equal(truth.turned[:, 0, 0], truth.frames[:, 16])
    np.testing.assert_array_equal(truth.turned[:, 1, 0], truth.frames[:, 16])
    # The same stream again: its noise is a matter of the settings alone.
    assert measured_drift(world_of(16, 1), settings, (16, 16), tmp_path) == found
