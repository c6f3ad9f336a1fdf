"""The student's own trajectories of a batch: of prompts each by itself.

Legend: B rows of a batch; ``...`` the latent's further dimensions.
"""

from collections.abc import Mapping

from torch import Tensor

from vision.distill.rollout import Rollout, roll_out
from vision.flow.denoiser import Condition, Denoiser
from vision.flow.draws import Draws


class Rollouts:
    """Where a method that needs no pictures gets its samples from.

    A batch holds what the networks are conditioned on, batch first.
    """

    def samples(self, batch: Mapping[str, Tensor]) -> int:
        """Samples that a row of the batch is: one here.

        Raises:
            ValueError: the batch holds nothing to be conditioned on.
        """
        if not batch.keys() - {"latents"}:
            raise ValueError("the batch holds no condition; expected at least one named tensor, the prompts")
        return 1

    def walk(
        self,
        student: Denoiser,
        noise: Tensor,
        batch: Mapping[str, Tensor],
        sigmas: list[float],
        num_steps: int,
        draws: Draws,
    ) -> tuple[Rollout, Condition]:
        """The student's trajectories, and what all networks are then conditioned on.

        Args:
            student: the network as it is.
            noise: of all samples, (B samples, ...).
            batch: of the loader.
            sigmas: the schedule after the shift, with the final 0.
            num_steps: what is needed of it, at least.
            draws: of this micro-batch.
        """
        condition = {name: value for name, value in batch.items() if name != "latents"}
        return roll_out(student, noise, condition, sigmas, num_steps), condition
