"""Where the frames of an action look: the attention of the guider to the caption of their own time.

Legend: F latent frames with the garment's, S tokens of a frame, L = F S tokens, M tokens of all captions.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vision.transformer.timed_text import TimedTextAttention
from vision.tryon.clip import make_clip
from vision.tryon.evaluation.makers import TryOnMaker
from vision.tryon.evaluation.request import Request
from vision.tryon.segments import Segment, cut_into_segments


class AttentionMass(NamedTuple):
    """What one clip gives.

    Attributes:
        mass: attention of tokens in frames of actions to the captions of those actions, mean over heads,
            blocks and tokens: 1 looks nowhere else.
        chance: the share of those captions in all tokens, averaged alike.
    """

    mass: float
    chance: float


@torch.no_grad()
def attention_mass(maker: TryOnMaker, request: Request) -> AttentionMass | None:
    """Asks the network once and reads the softmax of its timed texts.

    Args:
        maker: of the pipeline.
        request: the clip.

    Returns:
        None for a model that reads no captions of actions.
    """
    pipeline = maker.pipeline
    layers = [m for m in pipeline.transformer.modules() if isinstance(m, TimedTextAttention)]
    inputs = maker.inputs(request)
    if not layers or not inputs["actions"]:
        return None
    prompt = inputs.pop("prompt")
    clip = make_clip(**inputs, multiples=(1, 1))
    prompts = pipeline.encode_prompt(prompt, guided=False)
    guided = pipeline.guided(clip, prompts, pipeline.caption_embeds(clip), 1.0)
    found: list[Tensor] = []

    def read(module: nn.Module, given: tuple[Any, ...], _: Any) -> None:
        assert isinstance(module, TimedTextAttention)
        found.append(module.weights(*given)[0].mean(0).cpu())  # (L, M)

    hooks = [layer.register_forward_hook(read) for layer in layers]
    try:
        noise = pipeline.prepare_noise(clip, torch.Generator().manual_seed(request.seed))
        guided.velocity(noise, torch.tensor(1000.0, device=noise.device))
    finally:
        for hook in hooks:
            hook.remove()
    segments, _ = cut_into_segments(clip.actions, clip.num_frames)
    lengths = [len(pipeline.caption_embeds(clip)[caption]) for _, _, caption in segments]
    return mass_on_own(torch.stack(found).mean(0), segments, lengths)


def mass_on_own(weights: Tensor, segments: list[Segment], lengths: list[int]) -> AttentionMass | None:
    """The mass of attention on the caption of each frame's own action.

    Args:
        weights: softmax, shape (L, M), of 1 + F frames, the garment's first.
        segments: of the clip, in latent frames without the garment's.
        lengths: tokens of each segment's caption; further tokens are padding.

    Returns:
        None without an action.
    """
    frames = 1 + segments[-1][1]
    by_frame = weights.unflatten(0, (frames, -1)).mean(1)  # (F, M)
    masses, chances, start = [], [], 0
    for (first, stop, caption), length in zip(segments, lengths, strict=True):
        if caption:
            masses += by_frame[1 + first : 1 + stop, start : start + length].sum(1).tolist()
            chances += [length / sum(lengths)] * (stop - first)
        start += length
    return AttentionMass(sum(masses) / len(masses), sum(chances) / len(chances)) if masses else None
