"""Rotary positions that tell captions of different times apart.

Legend: F latent frames, N_i tokens of the caption of segment i, M all tokens together.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from vision.tryon.segments import Segment, check_segments


def arope_positions(
    segments: Sequence[Segment],
    caption_lengths: Sequence[int],
    stride: float = 4.0,
    rotate_null: bool = False,
) -> tuple[Tensor, Tensor]:
    """Positions of frames and of caption tokens, constant in a segment (A-RoPE, iTryOn, arXiv 2605.21431).

    Frames of segment i stand at ``i stride``, gaps counted. So do the tokens of its caption, but those of
    gaps, which stay at 0: at position 0 nothing is rotated. A frame and the caption of its own segment
    then meet as in plain cross-attention.

    Args:
        segments: ``(start, stop, caption)`` in latent frames, as of :func:`vision.tryon.action_segments`.
        caption_lengths: N_i of each segment's caption; text encoders end even an empty one by a token.
        stride: k, from one segment to the next.
        rotate_null: the tokens of gaps stand at ``i stride`` too (TaRoPE, EchoShot, arXiv 2506.15838).

    Returns:
        float32 of shape (F,), and of shape (M,), the captions one after another.

    Raises:
        ValueError: segments with holes, another number of lengths, a negative one.
    """
    frames, caption_lengths = check_segments(segments), _checked_lengths(segments, caption_lengths)
    queries = torch.zeros(frames)
    keys: list[float] = []
    for number, ((start, stop, caption), length) in enumerate(zip(segments, caption_lengths, strict=True)):
        queries[start:stop] = number * stride
        keys += [number * stride if caption or rotate_null else 0.0] * length
    return queries, torch.tensor(keys, dtype=torch.float32)


def rerope_positions(
    segments: Sequence[Segment], caption_lengths: Sequence[int], length: float = 8.0
) -> tuple[Tensor, Tensor]:
    """Positions that run through each segment (ReRoPE, MinT, arXiv 2412.05263).

    Segment i takes the positions from ``i length`` to ``(i + 1) length``: the middle of each of its frames
    by its share of the segment, all tokens of its caption in the middle, so that the neighbours' captions are
    equally far at a border.

    Args:
        segments: as of :func:`arope_positions`; gaps are events like any other.
        caption_lengths: likewise.
        length: L, from one segment to the next.

    Returns:
        As of :func:`arope_positions`.

    Raises:
        ValueError: as :func:`arope_positions`.
    """
    frames, caption_lengths = check_segments(segments), _checked_lengths(segments, caption_lengths)
    queries = torch.zeros(frames)
    keys: list[float] = []
    for number, ((start, stop, _), tokens) in enumerate(zip(segments, caption_lengths, strict=True)):
        middles = torch.arange(stop - start) + 0.5
        queries[start:stop] = (number + middles / (stop - start)) * length
        keys += [(number + 0.5) * length] * tokens
    return queries, torch.tensor(keys, dtype=torch.float32)


def _checked_lengths(segments: Sequence[Segment], lengths: Sequence[int]) -> list[int]:
    if len(lengths) != len(segments):
        raise ValueError(
            f"there are {len(lengths)} caption lengths for {len(segments)} segments; give one each, gaps too"
        )
    if short := [length for length in lengths if length < 0]:
        raise ValueError(f"a caption has {short[0]} tokens; expected their number")
    return [int(length) for length in lengths]
