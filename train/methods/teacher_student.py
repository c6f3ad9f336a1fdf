"""Distillation of one student from a frozen teacher along the teacher's own trajectories.

Legend: B batch; C, F, H, W channels, frames, height and width of the latents.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from train.methods.method import Loss, Method
from vision.flow.denoiser import Condition, Denoiser, concatenate_conditions, expand_condition
from vision.flow.draws import Draws
from vision.flow.evaluating import evaluating


class TeacherStudent(Method):
    """Network ``"student"``, frozen ``"teacher"``; needs pictures.

    A batch holds ``"latents"`` (B, C, F, H, W) and what the networks are conditioned on.

    Args:
        student: the network that is distilled, initialised from the teacher: whole, or frozen with a
            trained adapter.
        teacher: the many-step network; it is frozen here.
        guidance_scale: g of the teacher's guided velocity; 1 calls it with the prompt alone.
        null_condition: condition of the empty prompt for one sample: shapes (1, ...). Names that it leaves
            out keep the batch's value.
    """

    def __init__(
        self, student: Denoiser, teacher: Denoiser, *, guidance_scale: float, null_condition: Condition
    ) -> None:
        teacher.network.requires_grad_(False).eval()
        super().__init__(
            networks={"student": student.network}, frozen={"teacher": teacher.network}, every={"student": 1}
        )
        self._student, self._teacher = student, teacher
        self._guidance_scale = guidance_scale
        self._null_condition = null_condition

    @property
    def student(self) -> Denoiser:
        """The student with the network that the loop trains."""
        self._student.network = self.networks["student"]
        return self._student

    def losses(self, batch: Mapping[str, Any], draws: Draws) -> dict[str, Callable[[], Loss]]:
        """The loss of ``"student"``; see :meth:`Method.losses`."""
        if "latents" not in batch:
            raise ValueError(
                f"the batch holds {sorted(batch)}; {type(self).__name__} needs pictures too, as 'latents': "
                "give the recipe a section data"
            )
        condition = {name: value for name, value in batch.items() if name != "latents"}
        return {"student": lambda: self._loss(batch["latents"].float(), condition, draws)}

    @abstractmethod
    def _loss(self, x_0: Tensor, condition: Condition, draws: Draws) -> Loss:
        """The student's loss on latents x_0 (B, C, F, H, W)."""

    def _guided_velocity(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """The teacher's ``v(null) + g (v(c) - v(null))`` at times t (B,), without gradient."""
        self._teacher.network = self.frozen["teacher"]
        with evaluating(self._teacher.network):
            if self._guidance_scale == 1:
                return self._teacher.velocity(x_t, t, condition)
            null = {**condition, **expand_condition(self._null_condition, len(x_t))}
            null = {name: value.to(condition[name]) for name, value in null.items()}
            both = concatenate_conditions(condition, null)
            velocity = self._teacher.velocity(torch.cat([x_t, x_t]), torch.cat([t, t]), both)
        cond, uncond = velocity.chunk(2)
        return uncond + self._guidance_scale * (cond - uncond)
