"""A-RoPE and its neighbours: what a frame hears of which caption."""

from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_tryon_model import draw, tiny_tryon

from vision.transformer import BlockContext, TimedTextAttention, rotate_1d
from vision.tryon import arope_positions
from vision.tryon.arope import rerope_positions
from vision.tryon.timing import TIMINGS, Timing

SEGMENTS = [(0, 1, ""), (1, 3, "zip"), (3, 4, ""), (4, 6, "hem"), (6, 7, "")]
LENGTHS = [1, 3, 1, 2, 1]
PIXELS = 3
WIDTH = 32


@st.composite
def segmented(draw: st.DrawFn) -> tuple[list[tuple[int, int, str]], list[int]]:
    cuts = [0, *sorted(draw(st.sets(st.integers(1, 20), min_size=1, max_size=6)))]
    captions = [draw(st.sampled_from(["", "zip", "hem"])) for _ in cuts[1:]]
    segments = [(a, b, text) for a, b, text in zip(cuts, cuts[1:], captions, strict=False)]
    return segments, [draw(st.integers(1, 5)) for _ in captions]


@given(segmented(), st.floats(0, 12), st.booleans())
def test_positions_by_segment(clip, stride, rotate_null):
    segments, lengths = clip
    queries, keys = arope_positions(segments, lengths, stride, rotate_null)
    assert queries.shape == (segments[-1][1],) and keys.shape == (sum(lengths),)
    texts = keys.split(lengths)
    for number, (start, stop, caption) in enumerate(segments):
        place = torch.tensor(number * stride)
        assert torch.equal(queries[start:stop], place.expand(stop - start))
        key = place if caption or rotate_null else torch.tensor(0.0)
        assert torch.equal(texts[number], key.expand(lengths[number]))


def test_positions_are_float32_whatever_the_stride_is():
    segments = [(0, 2, "zip"), (2, 3, "hem")]
    for stride in (4, 4.0):
        for positions in arope_positions(segments, [2, 1], stride):
            assert positions.dtype == torch.float32
    # A caption without tokens has no positions.
    assert arope_positions([(0, 2, ""), (2, 3, "hem")], [0, 2])[1].tolist() == [4, 4]


def test_defaults_are_the_papers():
    queries, keys = arope_positions(SEGMENTS, LENGTHS)
    assert queries.tolist() == [0, 4, 4, 8, 12, 12, 16]
    assert keys.tolist() == [0, 4, 4, 4, 0, 12, 12, 0]
    assert arope_positions(SEGMENTS, LENGTHS, rotate_null=True)[1].tolist() == [0, 4, 4, 4, 8, 12, 12, 16]


@given(segmented())
def test_rerope_runs_through_a_segment_with_its_caption_in_the_middle(clip):
    segments, lengths = clip
    queries, keys = rerope_positions(segments, lengths)
    assert (queries.diff() > 0).all()
    for number, ((start, stop, _), text) in enumerate(zip(segments, keys.split(lengths), strict=True)):
        inside = queries[start:stop]
        assert (inside > 8 * number).all() and (inside < 8 * (number + 1)).all()
        torch.testing.assert_close(text, inside.mean().expand(len(text)))


@pytest.mark.parametrize("positions", [arope_positions, rerope_positions])
@pytest.mark.parametrize(
    ("segments", "lengths", "message"),
    [
        ([(0, 2, ""), (3, 4, "zip")], [1, 1], "does not follow the one before, which ends at 2"),
        ([(1, 2, "")], [1], "ends at 0"),
        ([(0, 2, ""), (2, 2, "zip")], [1, 1], r"\[2, 2\)"),
        ([], [], "no segments"),
        ([(0, 2, "")], [1, 2], "2 caption lengths for 1 segments"),
        ([(0, 2, "")], [-1], "-1 tokens"),
    ],
)
def test_segments_that_cannot_be(positions, segments, lengths, message):
    with pytest.raises(ValueError, match=message):
        positions(segments, lengths)


# ------------------------------------------------------------------ what rotation does


def test_logits_of_matched_pairs_are_the_plain_ones_and_others_depend_on_the_distance():
    query, key = (torch.randn(1, 1, 1, 128, dtype=torch.float64) for _ in range(2))

    def logit(q, k):
        return (
            (rotate_1d(query, torch.tensor([4.0 * q])) * rotate_1d(key, torch.tensor([4.0 * k]))).sum().item()
        )

    plain = (query * key).sum().item()
    for segment in range(8):
        assert abs(logit(segment, segment) - plain) < 1e-10
        assert abs(logit(segment + 3, segment + 1) - logit(2, 0)) < 1e-10
    assert abs(logit(2, 0) - plain) > 1e-3


def test_the_suppression_curve():
    # Equal content in all pairs, drawn in each: the mean logit by distance.
    x = torch.randn(1, 10000, 1, 128)
    own = (x * x).sum(-1).mean()
    table = {0: 1, 2: 0.897, 4: 0.759, 6: 0.735, 8: 0.714, 12: 0.662, 16: 0.620, 24: 0.589, 48: 0.496}
    for distance, expected in table.items():
        turned = rotate_1d(x, torch.full((10000,), float(distance)))
        assert abs((x * turned).sum(-1).mean() / own - expected) < 2e-3
        exact = (
            torch.ones(1, 1, 1, 128) * rotate_1d(torch.ones(1, 1, 1, 128), torch.tensor([1.0 * distance]))
        ).mean()
        assert abs(exact - expected) < 1e-3
    # A key of the same segment is the one that is heard most.
    curve = [(x * rotate_1d(x, torch.full((10000,), 4.0 * n))).sum(-1).mean() for n in range(10)]
    assert max(range(10), key=lambda n: curve[n]) == 0


@torch.no_grad()
def test_null_keys_stay_as_they_are_projected():
    keys = torch.randn(1, sum(LENGTHS), 2, WIDTH)
    gap = torch.tensor(
        [not caption for (_, _, caption), n in zip(SEGMENTS, LENGTHS, strict=True) for _ in range(n)]
    )
    rotated = rotate_1d(keys, arope_positions(SEGMENTS, LENGTHS)[1])
    assert torch.equal(rotated[:, gap], keys[:, gap])
    assert not torch.isclose(rotated[:, ~gap], keys[:, ~gap]).all(-1).any()
    tarope = rotate_1d(keys, arope_positions(SEGMENTS, LENGTHS, rotate_null=True)[1])
    shots = torch.tensor([4.0 * shot for shot, n in enumerate(LENGTHS) for _ in range(n)])
    assert torch.equal(tarope, rotate_1d(keys, shots))


# ------------------------------------------------------------------ in the attention


def module(spans: bool = False) -> TimedTextAttention:
    made = TimedTextAttention(tiny_tryon().config, spans)
    draw(made, 0.4)
    return made


def captions_of(segments: Any, lengths: Any = LENGTHS) -> list[torch.Tensor]:
    """One embedding a caption, of the gap too, as a text encoder would give."""
    made = {}
    for (_, _, caption), length in zip(segments, lengths, strict=True):
        made.setdefault(caption, torch.randn(length, WIDTH))
    return [made[caption] for _, _, caption in segments]


def hear(
    attention: TimedTextAttention, x: torch.Tensor, timing: Timing, segments: Any, texts: Any
) -> torch.Tensor:
    """What is added to tokens (1, F, S, D), the garment's frame first, for captions embedded already."""
    given = timing.timed_text([segments], [texts])
    given["timed_text_tokens"] = given.pop("timed_text")
    nothing: Any = None
    grid = (x.shape[1], 1, x.shape[2])
    context = BlockContext(nothing, None, nothing, nothing, grid, None, None, given)
    return (attention(x.flatten(1, 2), context) - x.flatten(1, 2)).unflatten(1, x.shape[1:3])


def tokens(frames: int = 7) -> torch.Tensor:
    return torch.randn(1, 1 + frames, PIXELS, WIDTH)


@pytest.mark.parametrize("kind", ["arope", "tarope", "rerope"])
@torch.no_grad()
def test_one_segment_is_plain_cross_attention_and_so_is_no_stride(kind):
    attention, x = module(), tokens()
    for caption in ("zip", ""):
        whole = [(0, 7, caption)]
        texts = [torch.randn(3, WIDTH)]
        found = hear(attention, x, Timing(kind, length=1e-9), whole, texts)
        expected = hear(attention, x, Timing("plain"), whole, texts)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    texts = captions_of(SEGMENTS)
    still = hear(attention, x, Timing(kind, stride=0, length=0), SEGMENTS, texts)
    torch.testing.assert_close(still, hear(attention, x, Timing("plain"), SEGMENTS, texts), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", TIMINGS)
@torch.no_grad()
def test_without_actions_every_token_hears_the_same_and_the_garment_nothing(kind):
    attention = module(spans=kind == "concat_time")
    found = hear(attention, tokens(), Timing(kind), [(0, 7, "")], [torch.randn(1, WIDTH)])
    torch.testing.assert_close(found[:, 1:], found[:, 1:2, :1].expand_as(found[:, 1:]), rtol=0, atol=1e-5)
    assert found[:, 1:].abs().max() > 0.1 and found[:, 0].abs().max() == 0


@pytest.mark.parametrize("kind", ["arope", "tarope", "mask"])
@torch.no_grad()
def test_it_is_constant_in_a_segment_and_a_moved_border_changes_only_its_frame(kind):
    attention, texts = module(), captions_of(SEGMENTS)
    x = tokens()[:, :1].expand(-1, 8, -1, -1).clone()  # the same in every frame
    found = hear(attention, x, Timing(kind), SEGMENTS, texts)
    for start, stop, _ in SEGMENTS:
        assert (found[:, 1 + start : 1 + stop] - found[:, 1 + start : 2 + start]).abs().max() < 1e-6
    for a, b in ((0, 1), (2, 3), (3, 4)):
        assert (found[:, 1 + a] - found[:, 1 + b]).abs().max() > 1e-3
    moved = [(0, 1, ""), (1, 2, "zip"), (2, 4, ""), *SEGMENTS[3:]]
    x = tokens()
    before, after = (hear(attention, x, Timing(kind), clip, texts) for clip in (SEGMENTS, moved))
    change = (after - before).abs().amax((0, 2, 3))
    assert change[1 + 2] > 1e-3 and change[[0, 1, 2, 4, 5, 6, 7]].max() < 1e-6


@torch.no_grad()
def test_ways_differ_from_each_other_where_there_are_actions():
    attention, x, texts = module(spans=True), tokens(), captions_of(SEGMENTS)
    found = {kind: hear(attention, x, Timing(kind), SEGMENTS, texts) for kind in TIMINGS}
    for number, kind in enumerate(TIMINGS):
        for other in TIMINGS[:number]:
            assert (found[kind] - found[other]).abs().max() > 1e-3, (kind, other)


@torch.no_grad()
def test_a_hard_mask_lets_no_other_caption_in():
    attention, x, texts = module(), tokens(), captions_of(SEGMENTS)
    before = hear(attention, x, Timing("mask"), SEGMENTS, texts)
    texts[1] = texts[1] + 1
    change = (hear(attention, x, Timing("mask"), SEGMENTS, texts) - before).abs().amax((0, 2, 3))
    assert change[2:4].min() > 1e-3 and change[[0, 1, 4, 5, 6, 7]].max() == 0


@torch.no_grad()
def test_clips_of_a_batch_hear_what_they_hear_alone():
    timing = Timing()
    other = [(0, 4, "hem"), (4, 7, "")]
    texts = [captions_of(SEGMENTS), captions_of(other, [4, 1])]
    both = timing.timed_text([SEGMENTS, other], texts)
    assert both["timed_text"].shape == (2, 8, WIDTH) and both["timed_text_mask"].shape == (2, 8, 8)
    for number, (clip, text) in enumerate(zip((SEGMENTS, other), texts, strict=True)):
        alone, length = timing.timed_text([clip], [text]), sum(len(part) for part in text)
        assert torch.equal(both["timed_text"][number, :length], alone["timed_text"][0])
        assert torch.equal(both["text_positions"][number, :length], alone["text_positions"][0])
        assert torch.equal(both["frame_positions"][number], alone["frame_positions"][0])
        assert torch.equal(both["timed_text_mask"][number, :, :length], alone["timed_text_mask"][0])
        assert not both["timed_text_mask"][number, :, length:].any()


@torch.no_grad()
def test_echoshots_padding_is_seen_far_behind():
    given = Timing("tarope", echoshot_padding=20).timed_text([SEGMENTS], [captions_of(SEGMENTS)])
    assert given["timed_text"].shape == (1, 20, WIDTH) and given["timed_text"][0, 8:].abs().max() == 0
    assert given["text_positions"][0, 8:].tolist() == [4.0 * (4 + 10)] * 12
    assert given["timed_text_mask"][0, 1:].all() and not given["timed_text_mask"][0, 0].any()


def test_timings_that_cannot_be():
    with pytest.raises(ValueError, match="timing is 'rope'; expected one of"):
        Timing("rope")
    with pytest.raises(ValueError, match="echoshot_padding goes with"):
        Timing("mask", echoshot_padding=8)
    for name, value in (("stride", -4.0), ("stride", float("nan")), ("length", float("inf"))):
        with pytest.raises(ValueError, match=f"the timing's {name} is {value}; expected a finite number"):
            Timing(**cast(Any, {name: value}))
    texts = captions_of(SEGMENTS)
    with pytest.raises(ValueError, match="a caption has no tokens"):
        Timing().timed_text([SEGMENTS], [[text[:0] for text in texts]])
    with pytest.raises(ValueError, match="segments of 1 clips and captions of 2"):
        Timing().timed_text([SEGMENTS], [texts, texts])
    with pytest.raises(ValueError, match="different numbers of latent frames"):
        Timing().timed_text([SEGMENTS, [(0, 2, "")]], [texts, texts[:1]])
