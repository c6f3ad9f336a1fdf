"""Rotary positions along one axis: only differences matter, nothing else changes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vision.transformer import rotate_1d

POSITIONS = st.floats(-1e4, 1e4)
WIDTHS = st.sampled_from([2, 6, 32, 128])


def drawn(seed: int, width: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(2, 3, 2, width, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@given(st.integers(0, 1000), WIDTHS, POSITIONS, POSITIONS, POSITIONS)
def test_only_the_difference_of_positions_matters(seed, width, query, key, shift):
    def logits(q, k):
        places = (torch.full((3,), place, dtype=torch.float64) for place in (q, k))
        turned = [rotate_1d(drawn(seed + number, width), place) for number, place in enumerate(places)]
        return (turned[0] * turned[1]).sum(-1)

    torch.testing.assert_close(logits(query + shift, key + shift), logits(query, key), rtol=0, atol=1e-8)


def test_shifts_by_segments_are_exact_to_1e_10():
    x, y, plain = drawn(0, 128), drawn(1, 128), torch.zeros(3)
    for segment in range(10):
        q, k = (rotate_1d(z, torch.full((3,), 4.0 * segment)) for z in (x, y))
        assert ((q * k).sum(-1) - (x * y).sum(-1)).abs().max() < 1e-10
        far = (rotate_1d(x, plain + 4 * segment) * rotate_1d(y, plain + 4)).sum(-1)
        near = (rotate_1d(x, plain + 4 * segment + 40) * rotate_1d(y, plain + 44)).sum(-1)
        assert (far - near).abs().max() < 1e-10


@given(st.integers(0, 1000), WIDTHS, st.lists(POSITIONS, min_size=3, max_size=3))
def test_norms_stay_and_the_rotation_is_undone(seed, width, positions):
    x, p = drawn(seed, width), torch.tensor(positions, dtype=torch.float64)
    turned = rotate_1d(x, p)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1), rtol=0, atol=1e-10)
    torch.testing.assert_close(rotate_1d(turned, -p), x, rtol=0, atol=1e-9)
    # Two turns are one by their sum, also by parts of a position.
    torch.testing.assert_close(rotate_1d(rotate_1d(x, p / 3), 2 * p / 3), turned, rtol=0, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_position_zero_is_the_identity_and_the_type_stays(dtype):
    x = drawn(0, 32, dtype)
    assert torch.equal(rotate_1d(x, torch.zeros(3)), x)
    turned = rotate_1d(x, torch.tensor([0.5, 1.0, 1000.0]))
    assert turned.dtype == dtype and not torch.allclose(turned, x)
    exact = rotate_1d(x.double(), torch.tensor([0.5, 1.0, 1000.0]))
    epsilon = torch.finfo(dtype).eps
    torch.testing.assert_close(turned.double(), exact, rtol=epsilon, atol=8 * epsilon)


def test_pairs_are_neighbours_and_turn_by_the_formula():
    x, positions = drawn(3, 6), torch.tensor([[0.25, 1.0, 7.0], [2.0, 3.5, 0.0]])
    for theta in (10000.0, 100.0):
        turned = rotate_1d(x, positions, theta)
        for b in range(2):
            for token in range(3):
                for pair in range(3):
                    angle = float(positions[b, token]) * theta ** (-2 * pair / 6)
                    first, second = x[b, token, :, 2 * pair], x[b, token, :, 2 * pair + 1]
                    expected = torch.stack(
                        [
                            first * math.cos(angle) - second * math.sin(angle),
                            first * math.sin(angle) + second * math.cos(angle),
                        ],
                        dim=-1,
                    )
                    found = turned[b, token, :, 2 * pair : 2 * pair + 2]
                    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_a_row_of_positions_serves_all_samples():
    x, row = drawn(4, 32), torch.tensor([1.0, 2.5, -3.0])
    assert torch.equal(rotate_1d(x, row), rotate_1d(x, row.expand(2, 3)))


@pytest.mark.parametrize(
    ("shape", "positions", "message"),
    [
        ((2, 3, 2, 5), (3,), "even width"),
        ((3, 2, 4), (3,), r"shape \(3, 2, 4\); expected \(batch"),
        ((2, 3, 2, 4), (2,), r"takes \(3,\) or \(2, 3\)"),
        ((2, 3, 2, 4), (3, 3), r"takes \(3,\) or \(2, 3\)"),
    ],
)
def test_shapes_that_do_not_fit(shape, positions, message):
    with pytest.raises(ValueError, match=message):
        rotate_1d(torch.zeros(shape), torch.zeros(positions))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_views_turn_as_their_copies(dtype):
    x = torch.randn(2, 7, 3, 18, dtype=dtype)
    positions = torch.arange(7.0)
    for view in (x[..., :8], x[..., 1:9], x[..., :16:2], x.transpose(1, 2).contiguous().transpose(1, 2)):
        assert torch.equal(rotate_1d(view, positions), rotate_1d(view.clone(), positions))
