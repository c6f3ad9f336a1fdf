"""Windows of try-on samples: latents of video and conditions, through the cache, and timed captions.

Legend: N windows, B windows of a batch, C channels, F latent frames, h, w height and width of the latents, T
frames of video, M tokens of captions, D width of the embeddings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from train.data.encoded_prompts import EncodedPrompts
from train.data.item import Item
from train.data.tensor_table import TensorTable
from vision.flow.draws import keyed_generator
from vision.tryon.denoiser import NULL
from vision.tryon.reference import with_reference
from vision.tryon.segments import Segment, action_frames, without_captions
from vision.tryon.timing import Timing


@dataclass(frozen=True)
class Shown:
    """A window as it is shown, or its mirror image.

    Attributes:
        key: of its latents.
        prompt: caption of the whole video.
        segments: actions and gaps, in latent frames.
        action_mask: true on the latent frames of actions, also where their captions are left out, (F,).
    """

    key: tuple[int, int, bool]
    prompt: str
    segments: list[Segment]

    @property
    def action_mask(self) -> Tensor:
        return action_frames(self.segments)


class TryOnClips:
    """Gives what :class:`train.methods.tryon.TryOnFlow` takes.

    Args:
        latents: ``latents`` (C, F, h, w), ``control`` (., 1 + F, h, w) and ``hands`` (C, F, h, w) by key.
        windows: each as it is, and its mirror image where there is one.
        texts: embeddings of prompts and captions, that of "" among them.
        timing: how captions are tied to their time; None for a network without a guider.
        seed: of the choice between a window and its mirror image.
    """

    def __init__(
        self,
        latents: TensorTable,
        windows: Sequence[tuple[Shown, ...]],
        texts: EncodedPrompts,
        timing: Timing | None,
        seed: int,
    ) -> None:
        self._latents, self._windows, self._texts = latents, windows, texts
        self._timing, self._seed = timing, seed

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, item: Item) -> dict[str, Tensor]:
        return {name: value[0] for name, value in self.batch([item]).items()}

    def batch(self, items: Sequence[Item]) -> dict[str, Tensor]:
        """The windows of several items, batch first.

        Returns:
            ``latents`` (B, C, 1 + F, h, w), the garment first, ``action_mask`` (B, F),
            ``control_hidden_states``, ``encoder_hidden_states`` and, for a guider, ``guide_latents`` and
            timed texts, also with empty captions under names that begin with "null_".
        """
        shown = [self._chosen(item) for item in items]
        rows = [self._latents[one.key] for one in shown]
        video, control = (torch.stack([row[name] for row in rows]) for name in ("latents", "control"))
        # The context's first frame begins with the channels of the garment's latent.
        garment = control[:, : video.shape[1], :1]
        made = {
            "latents": with_reference(video, garment),
            "action_mask": torch.stack([one.action_mask for one in shown]),
            "control_hidden_states": control,
            **self._texts.of([one.prompt for one in shown]),
        }
        if self._timing is not None:
            made["guide_latents"] = torch.stack([row["hands"] for row in rows])
            made |= self._timed(self._timing, [one.segments for one in shown])
        return made

    def _chosen(self, item: Item) -> Shown:
        variants = self._windows[item.index]
        random = keyed_generator(self._seed, "mirror", item.position)
        return variants[int(random.integers(len(variants)))]

    def _timed(self, timing: Timing, segments: list[list[Segment]]) -> dict[str, Tensor]:
        # Together, so that both have room for the same number of tokens.
        both = [*segments, *map(without_captions, segments)]
        captions = [[self._texts.tokens(caption) for _, _, caption in clip] for clip in both]
        made: dict[str, Tensor] = {}
        for name, values in timing.timed_text(both, captions).items():
            made[name], made[f"{NULL}{name}"] = values.chunk(2)
        return made
