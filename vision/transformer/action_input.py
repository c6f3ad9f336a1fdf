"""From rows of actions to what each latent frame sees of them.

Legend: B batch, F latent frames, T rows of actions, A lanes of a row, E width of a head.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vision.transformer.actions import BUTTONS, STICKS
from vision.transformer.cache import KVCache
from vision.transformer.conditioning import ConditionInput
from vision.transformer.rotary import frame_table

#: Rows of actions, and frames of video, a latent frame.
RATE = 4
#: Rows that a latent frame sees.
WINDOW = 16
#: What a caller passes: both streams as one ``Actions``, or each as a tensor, and which samples have none.
ACTION_INPUTS = ("actions", "sticks", "buttons", "action_dropped")
_LANES = {"sticks": len(STICKS), "buttons": len(BUTTONS)}


def windows(rows: Tensor, frame_rotary: Tensor | None = None) -> Tensor:
    """The windows of rows (B, 4 F + 12, ..., A): (B, F, ..., 16 A), oldest row first.

    Where ``frame_rotary`` is of several videos of F frames side by side, the windows are those of each.
    """
    seen = rows.unfold(1, WINDOW, RATE).transpose(-1, -2).flatten(-2)
    videos = 1 if frame_rotary is None else len(frame_rotary) // seen.shape[1]
    return seen if videos == 1 else seen.repeat(1, videos, *[1] * (seen.ndim - 2))


class ActionInput(ConditionInput):
    """Lines up rows of actions with latent frames, and knows the action of a sample that has none.

    Latent frame ``i`` sees the rows ``4 i - 16 ... 4 i - 1``, those before the first row being the first
    row: only the past, and of its own four frames just the transitions into them (SCOPE's released code).
    The last row of a clip is therefore never read. A stream keeps the last 16 rows between its parts.

    Conditions read: ``sticks`` (B, T, 4) and ``buttons`` (B, T, 6), each alone or both; T is 4 (F - 1) + 1,
    or 4 (F - 1), with F all frames so far; a part of a stream brings the rows that are not yet there.
    ``action_dropped`` (B,) boolean: samples whose whole action, both streams, is the learned null action
    (action dropout, and the unconditional branch of action guidance). Pass it in every step of training, or
    the null action is without gradient.

    Conditions made: ``stick_rows`` and ``button_rows`` (B, 4 F + 12, A), whose windows are those of the
    latent frames of this pass, and ``frame_rotary`` (F, E / 2, 2), rotary positions over time alone; twice
    F where the pass is of a video beside its past.

    Attributes:
        null: the null action, one row (10,), sticks first; fresh, it is zero.
    """

    name: ClassVar[str] = "actions"

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.head_dim = config.attention_head_dim
        self.null = nn.Parameter(torch.empty(sum(_LANES.values())))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fresh weights: the null action is zero."""
        nn.init.zeros_(self.null)

    def forward(
        self,
        conditions: Mapping[str, Tensor],
        tokens: Tensor,
        grid: tuple[int, int, int],
        cache: KVCache | None,
        with_past: bool = False,
    ) -> dict[str, Tensor]:
        """See :class:`ActionInput`.

        Raises:
            ValueError: a stream or ``action_dropped`` of another shape, the latter without actions.
        """
        if "actions" in conditions:
            raise ValueError("actions is a tensor; pass Actions(sticks, buttons), or each stream by its name")
        given = [name for name in _LANES if name in conditions]
        dropped = conditions.get("action_dropped")
        if not given:
            if dropped is not None:
                raise ValueError("action_dropped was given without actions; pass the actions too")
            return {}
        batch, device = tokens.shape[0], tokens.device
        if dropped is not None and dropped.shape != (batch,):
            raise ValueError(f"action_dropped has shape {tuple(dropped.shape)}; expected ({batch},)")
        start = 0 if cache is None else cache.start
        rotary = frame_table(grid[0], self.head_dim, device, start)
        made = {"frame_rotary": torch.cat([rotary, rotary]) if with_past else rotary}
        nulls = dict(zip(_LANES, self.null.split(list(_LANES.values())), strict=True))
        for name in given:
            rows = conditions[name].to(device, self.null.dtype)
            if rows.ndim != 3 or (rows.shape[0], rows.shape[2]) != (batch, _LANES[name]):
                raise ValueError(
                    f"{name} has shape {tuple(rows.shape)}; expected ({batch}, rows, {_LANES[name]})"
                )
            rows = self._rows_of_frames(name, rows, start, grid[0], cache)
            if dropped is not None:
                rows = torch.where(dropped.to(device).view(-1, 1, 1), nulls[name], rows)
            made[f"{name.removesuffix('s')}_rows"] = rows
        return made

    def _rows_of_frames(
        self, name: str, rows: Tensor, start: int, frames: int, cache: KVCache | None
    ) -> Tensor:
        """The rows (B, 4 F + 12, A) behind the windows of frames ``start ... start + F - 1``."""
        kept = None if cache is None else cache.rows(name)
        before = 0 if kept is None else kept[1]
        least, most = rows_needed(start + frames, before)
        if not least <= rows.shape[1] <= most:
            raise ValueError(
                f"{name} has {rows.shape[1]} rows; {frames} latent frames from number {start}, after "
                f"{before} rows, take {least} or {most}: four a latent frame (but one for the first)"
            )
        earlier = rows[:, :1].expand(-1, WINDOW, -1) if kept is None else kept[0]
        padded = torch.cat([earlier, rows], dim=1)
        if cache is not None:
            cache.stage_rows(name, padded[:, -WINDOW:], before + rows.shape[1])
        first = RATE * start - before
        return padded[:, first : first + RATE * (frames - 1) + WINDOW]


def rows_needed(frames: int, before: int = 0) -> tuple[int, int]:
    """How many rows of actions a clip takes: the least, and one a frame of video.

    Args:
        frames: latent frames so far, those of this part of the stream among them.
        before: rows that the stream was given before this part.
    """
    a_frame = RATE * (frames - 1) + 1
    return max(1, a_frame - 1) - before, a_frame - before
