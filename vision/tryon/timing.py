"""How captions are tied to their time: iTryOn's way and its neighbours.

Legend: B clips, F latent frames with the garment's, M tokens of all captions of a clip, D width of the
embeddings, N tokens of a caption.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vision.tryon.arope import arope_positions, rerope_positions
from vision.tryon.segments import Segment, check_segments

#: Names of the ways.
TIMINGS = ("plain", "concat_time", "mask", "arope", "tarope", "rerope")
# EchoShot places padding so many segments after the last.
_PADDING_DISTANCE = 10


@dataclass(frozen=True)
class Timing:
    """One way to tie captions to their time.

    Attributes:
        kind: "arope" (iTryOn), "tarope" (EchoShot: gaps are rotated too), "rerope" (MinT: positions run
            through a segment), "mask" (a frame sees its own segment's caption alone), "concat_time" (begin
            and end are embedded into the captions; the guider's option ``spans``) or "plain" (nothing tells
            the time).
        stride: from one segment to the next, of "arope" and "tarope".
        length: the same of "rerope".
        echoshot_padding: captions of a clip are filled up with visible zeros to so many tokens, ten segments
            after the last, as EchoShot does to 2048; 0 leaves padding unseen. For "arope" and "tarope".

    Raises:
        ValueError: another kind, numbers that cannot be, padding with a kind that cannot place it.
    """

    kind: str = "arope"
    stride: float = 4.0
    length: float = 8.0
    echoshot_padding: int = 0

    def __post_init__(self) -> None:
        if self.kind not in TIMINGS:
            raise ValueError(f"timing is {self.kind!r}; expected one of {TIMINGS}")
        for name in ("stride", "length", "echoshot_padding"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"the timing's {name} is {value}; expected a finite number from 0")
        if self.echoshot_padding and self.kind not in ("arope", "tarope"):
            raise ValueError(f"echoshot_padding goes with 'arope' or 'tarope', not with {self.kind!r}")

    def timed_text(
        self, segments: Sequence[Sequence[Segment]], captions: Sequence[Sequence[Tensor]]
    ) -> dict[str, Tensor]:
        """Conditions of a transformer's timed text for several clips with a garment's frame.

        The garment's frame sees no caption.

        Args:
            segments: of each clip, as of :func:`vision.tryon.action_segments`, all of one length.
            captions: embeddings (N, D) of each segment's caption, that of "" for a gap.

        Returns:
            ``timed_text`` (B, M, D), ``timed_text_mask`` (B, F, M), and by kind ``frame_positions`` (B, F)
            with ``text_positions`` (B, M), or ``text_spans`` (B, M, 2).

        Raises:
            ValueError: clips of different lengths, captions that do not belong to the segments.
        """
        if len(segments) != len(captions) or not segments:
            raise ValueError(f"there are segments of {len(segments)} clips and captions of {len(captions)}")
        if len({check_segments(clip) for clip in segments}) > 1:
            raise ValueError("the clips of a batch have different numbers of latent frames")
        clips = [self._of_clip(*clip) for clip in zip(segments, captions, strict=True)]
        tokens = max(len(clip["timed_text"]) for clip in clips)
        return {name: torch.stack([_padded(clip[name], tokens, name) for clip in clips]) for name in clips[0]}

    def _of_clip(self, segments: Sequence[Segment], captions: Sequence[Tensor]) -> dict[str, Tensor]:
        lengths = [len(caption) for caption in captions]
        if not all(lengths):
            raise ValueError("a caption has no tokens; an encoder ends even an empty one by a token")
        queries, keys = self._positions(segments, lengths)
        owner = torch.tensor([n for n, (start, stop, _) in enumerate(segments) for _ in range(start, stop)])
        of_token = torch.tensor([n for n, length in enumerate(lengths) for _ in range(length)])
        visible = torch.ones(len(owner), len(of_token), dtype=torch.bool)
        if self.kind == "mask":
            visible = owner[:, None] == of_token
        made = {"timed_text": torch.cat(list(captions)), "timed_text_mask": visible}
        if self.kind == "concat_time":
            spans = torch.tensor([segment[:2] for segment in segments], dtype=torch.float32)
            made["text_spans"] = spans[of_token]
        if self.kind in ("arope", "tarope", "rerope"):
            made |= {"frame_positions": torch.cat([queries[:1] * 0, queries]), "text_positions": keys}
        if missing := max(0, self.echoshot_padding - len(of_token)):
            place = (len(segments) - 1 + _PADDING_DISTANCE) * self.stride
            text = made["timed_text"]
            made["timed_text"] = torch.cat([text, text.new_zeros(missing, text.shape[1])])
            made["text_positions"] = torch.cat([keys, torch.full((missing,), place)])
            visible = torch.cat([visible, torch.ones(len(owner), missing, dtype=torch.bool)], dim=1)
        made["timed_text_mask"] = torch.cat([torch.zeros_like(visible[:1]), visible])
        return made

    def _positions(self, segments: Sequence[Segment], lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
        if self.kind == "rerope":
            return rerope_positions(segments, lengths, self.length)
        return arope_positions(segments, lengths, self.stride, rotate_null=self.kind == "tarope")


def _padded(values: Tensor, tokens: int, name: str) -> Tensor:
    """Fills up to ``tokens`` with zeros, unseen; positions of frames have no tokens."""
    if name == "frame_positions":
        return values
    axis = 1 if name == "timed_text_mask" else 0
    shape = list(values.shape)
    shape[axis] = tokens - shape[axis]
    return torch.cat([values, values.new_zeros(shape)], dim=axis)
