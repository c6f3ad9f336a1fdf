"""The student's own trajectories of clips that are dressed.

Legend: B clips of a batch, C channels, F latent frames with the garment's, h, w height and width of the
latents.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from train.methods.rollouts import Rollouts
from train.methods.tryon import NOT_CONDITIONS
from vision.distill.rollout import Rollout, roll_out
from vision.flow.denoiser import Condition, Denoiser
from vision.flow.draws import Draws
from vision.tryon.denoiser import ACTIONS_DROPPED, PROMPT_DROPPED, TryOnDenoiser


class TryOnRollouts(Rollouts):
    """Each clip is a sample, made from noise under its conditions as the pipeline makes it.

    A batch is :class:`train.data.tryon_clips.TryOnClips`'s. Of its filmed ``"latents"`` (B, C, F, h, w) only
    the number is read: context, garment, hands, captions and prompt are what the networks are conditioned on.
    """

    def walk(
        self,
        student: Denoiser,
        noise: Tensor,
        batch: Mapping[str, Tensor],
        sigmas: list[float],
        num_steps: int,
        draws: Draws,
    ) -> tuple[Rollout, Condition]:
        assert isinstance(student, TryOnDenoiser)
        said = torch.zeros(len(noise), dtype=torch.bool, device=noise.device)
        condition = {name: value for name, value in batch.items() if name not in NOT_CONDITIONS}
        condition |= {PROMPT_DROPPED: said, ACTIONS_DROPPED: said}
        with student.steady(condition):
            return roll_out(student, noise, condition, sigmas, num_steps), condition
