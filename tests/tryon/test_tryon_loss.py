"""The loss of actions, and the garment's place in it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vision.tryon import action_constraint_loss
from vision.tryon.reference import pad_reference, with_reference, without_reference
from vision.tryon.segments import action_frames

SHAPE = (2, 3, 5, 2, 4)
MASKS = st.lists(st.booleans(), min_size=5, max_size=5).map(torch.tensor)


def pair(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(SHAPE, generator=generator), torch.randn(SHAPE, generator=generator)


def plain(velocity: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (velocity - target).square().mean()


@pytest.mark.parametrize("norm", ["all", "mask"])
def test_no_action_or_no_weight_is_flow_matching(norm):
    velocity, target = pair()
    nothing, some = torch.zeros(5), torch.tensor([0, 1, 1, 0, 0])
    assert torch.equal(action_constraint_loss(velocity, target, nothing, norm=norm), plain(velocity, target))
    assert torch.equal(action_constraint_loss(velocity, target, some, 0.0, norm), plain(velocity, target))
    everywhere = action_constraint_loss(velocity, target, torch.ones(5), 0.5, norm)
    torch.testing.assert_close(everywhere, 1.5 * plain(velocity, target))


@given(MASKS, st.floats(0, 4), st.integers(0, 100))
def test_the_formula_and_its_variant(mask, weight, seed):
    velocity, target = pair(seed)
    error = (velocity - target).square()
    inside = error[:, :, mask]
    expected = error.mean() + weight * inside.sum() / error.numel()
    torch.testing.assert_close(action_constraint_loss(velocity, target, mask, weight), expected)
    variant = error.mean() + (weight * inside.mean() if mask.any() else 0)
    torch.testing.assert_close(action_constraint_loss(velocity, target, mask, weight, "mask"), variant)


def test_frames_without_an_action_keep_their_gradient_and_others_weigh_more():
    velocity, target = pair()
    mask = torch.tensor([True, False, False, True, False])
    gradients = []
    for chosen in (mask, torch.zeros(5)):
        leaf = velocity.clone().requires_grad_()
        action_constraint_loss(leaf, target, chosen).backward()
        assert leaf.grad is not None
        gradients.append(leaf.grad)
    torch.testing.assert_close(gradients[0][:, :, ~mask], gradients[1][:, :, ~mask], rtol=0, atol=1e-9)
    torch.testing.assert_close(gradients[0][:, :, mask], 1.5 * gradients[1][:, :, mask])


@pytest.mark.parametrize("norm", ["all", "mask"])
def test_a_mask_in_every_form(norm):
    velocity, target = pair()
    row = torch.tensor([0.0, 1, 1, 0, 0])
    expected = action_constraint_loss(velocity, target, row, norm=norm)
    for mask in (
        row.bool(),
        row[None],
        row.expand(2, 5),
        row[None, None, :, None, None],
        row[None, None, :, None, None].expand(SHAPE),
    ):
        torch.testing.assert_close(action_constraint_loss(velocity, target, mask, norm=norm), expected)
    # Each clip has its own frames.
    own = torch.stack([row, torch.zeros(5)])
    half = action_constraint_loss(velocity, target, own) - plain(velocity, target)
    torch.testing.assert_close(half, 0.25 * (velocity - target)[0, :, 1:3].square().sum() / (SHAPE[1] * 40))


def test_bfloat16_is_summed_in_float32():
    velocity, target = (x.bfloat16() for x in pair())
    loss = action_constraint_loss(velocity, target, torch.ones(5))
    assert loss.dtype == torch.float32 and loss.ndim == 0
    torch.testing.assert_close(loss, 1.5 * plain(velocity.float(), target.float()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action_mask": torch.ones(4)}, r"shape \(4,\); expected \(5,\)"),
        ({"action_mask": torch.ones(2, 4)}, r"shape \(2, 4\); expected"),
        ({"action_mask": torch.tensor(1.0)}, r"shape \(\); expected"),
        ({"action_mask": torch.ones(3, 5)}, "expected"),
        ({"action_mask": torch.ones(2, 5, 1)}, "one that broadcasts"),
        ({"target": torch.zeros(2, 3, 4, 2, 4)}, "expected the same"),
        ({"norm": "sum"}, "norm is 'sum'"),
        ({"weight": -1.0}, "weight of the action term is -1"),
    ],
)
def test_arguments_that_do_not_fit(changes, message):
    velocity, target = pair()
    with pytest.raises(ValueError, match=message):
        action_constraint_loss(
            **{"velocity": velocity, "target": target, "action_mask": torch.ones(5), **changes}
        )


def test_masks_with_more_axes_broadcast():
    velocity, target = pair()
    frames = torch.tensor([0.0, 1, 1, 0, 0])
    expected = action_constraint_loss(velocity, target, frames)
    for axes in ((5, 1, 1), (1, 5, 1, 1), (1, 1, 5, 1, 1), (1, 5)):
        torch.testing.assert_close(action_constraint_loss(velocity, target, frames.reshape(axes)), expected)


def test_the_mask_of_segments():
    assert action_frames([(0, 1, ""), (1, 3, "zip"), (3, 4, "")]).tolist() == [False, True, True, False]


def test_the_garments_place_is_in_no_loss():
    latents, garment = torch.randn(2, 3, 4, 2, 2), torch.randn(2, 3, 1, 2, 2)
    whole = with_reference(latents, garment)
    assert whole.shape == (2, 3, 5, 2, 2)
    assert torch.equal(without_reference(whole), latents) and torch.equal(whole[:, :, :1], garment)
    assert pad_reference(whole, "noised") is whole
    cleared = pad_reference(whole, "zeros")
    assert cleared[:, :, 0].abs().max() == 0 and torch.equal(cleared[:, :, 1:], latents)
    with pytest.raises(ValueError, match="padding is 'noise'"):
        pad_reference(whole, "noise")
    leaf = whole.clone().requires_grad_()
    loss = action_constraint_loss(without_reference(leaf), torch.zeros_like(latents), torch.ones(4))
    loss.backward()
    assert leaf.grad is not None and leaf.grad[:, :, 0].abs().max() == 0 < leaf.grad[:, :, 1:].abs().min()
