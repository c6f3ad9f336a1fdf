"""The gamepad below the frames."""

import pytest
import torch

from vision.world.inputs_panel import with_inputs


def panel(sticks: list[float], buttons: list[float]) -> torch.Tensor:
    """The panel's pixels, int64 (3, H, W), of one frame."""
    frame = torch.zeros(3, 1, 64, 64, dtype=torch.uint8)
    whole = with_inputs(frame, torch.tensor([sticks]), torch.tensor([buttons]))
    return whole[:, 0, 256:].long()


def test_frames_are_enlarged_and_kept() -> None:
    frames = torch.randint(0, 256, (3, 4, 64, 64), dtype=torch.uint8)
    whole = with_inputs(frames, torch.zeros(5, 4), torch.zeros(5, 6))
    assert whole.shape[:2] == (3, 4) and whole.shape[3] == 256
    assert whole.shape[2] % 2 == 0 and whole.shape[2] > 256
    assert torch.equal(whole[:, :, 2:256:4, 1::4], frames)
    large = torch.zeros(3, 1, 480, 832, dtype=torch.uint8)
    assert with_inputs(large, torch.zeros(1, 4), torch.zeros(1, 6)).shape[3] == 832


def test_each_control_lights_its_own_place() -> None:
    rest = panel([0.0] * 4, [0.0] * 6)
    places = []
    for button in range(6):
        pressed = panel([0.0] * 4, [float(place == button) for place in range(6)])
        places.append((pressed - rest).abs().sum((0, 1)).nonzero().float().mean().item())
    assert places == sorted(places)
    for axis in range(4):
        moved = panel([float(place == axis) for place in range(4)], [0.0] * 6)
        other = panel([-float(place == axis) for place in range(4)], [0.0] * 6)
        gain = (moved - other).sum(0).clamp(min=0)  # the knob is brighter than the paper
        loss = (other - moved).sum(0).clamp(min=0)
        dimension = 1 if axis % 2 == 0 else 0
        # Right and down are positive.
        assert gain.nonzero()[:, dimension].float().mean() > loss.nonzero()[:, dimension].float().mean()
        assert (gain.nonzero()[:, 1].float().mean() < 128) == (axis < 2)


def test_a_row_a_frame_is_needed() -> None:
    with pytest.raises(ValueError, match="1 rows of sticks and 2 of buttons for 2 frames"):
        with_inputs(torch.zeros(3, 2, 8, 8, dtype=torch.uint8), torch.zeros(1, 4), torch.zeros(2, 6))
