"""Consistency distillation on a grid of times (Song et al. 2023; LCM, Luo et al. 2023, arXiv 2310.04378).

Legend: B batch; C, F, H, W channels, frames, height and width of the latents.
"""

import math

import torch
from torch import Tensor

from train.methods.method import Loss
from train.methods.teacher_student import TeacherStudent
from train.recipes.consistency import ConsistencySettings
from vision.flow.denoiser import Condition, Denoiser
from vision.flow.draws import Draws
from vision.flow.evaluating import evaluating
from vision.flow.path import expand_time, interpolate, x0_from_velocity
from vision.flow.schedules import linear_schedule
from vision.flow.shift import TimeShift


class Consistency(TeacherStudent):
    """Makes the student's predictions agree along the teacher's guided trajectories.

    With neighbouring times t > s of the teacher's grid, f(x, t) = x - t v_theta(x, t) and one Euler step
    of the teacher, ``x_s = x_t + (s - t) v_teacher(x_t, t)``:

        loss = d(f(x_t, t), sg f(x_s, s)) / (t - s),    f(x, 0) = x,

    with the pseudo-Huber distance d and the weight of improved consistency training (Song and Dhariwal
    2023), which also finds that the target needs no moving average of the student.

    Args:
        student, teacher, null_condition: see :class:`TeacherStudent`.
        settings: the method's options.
        shift: time shift of the grid, the teacher's scheduler's; ``settings.shift`` has precedence.
    """

    def __init__(
        self,
        student: Denoiser,
        teacher: Denoiser,
        *,
        settings: ConsistencySettings,
        null_condition: Condition,
        shift: TimeShift | float = 1.0,
    ) -> None:
        super().__init__(
            student, teacher, guidance_scale=settings.guidance_scale, null_condition=null_condition
        )
        shift = shift if settings.shift is None else settings.shift
        self._grid = torch.tensor(linear_schedule(settings.num_scales, shift))
        self._huber = settings.huber

    def _loss(self, x_0: Tensor, condition: Condition, draws: Draws) -> Loss:
        index = draws.integers("scale", len(x_0), len(self._grid) - 1)
        t, s = self._grid[index].to(x_0.device), self._grid[index + 1].to(x_0.device)
        x_t = interpolate(x_0, draws.normal("noise", x_0.shape, x_0.device), t)
        x_s = x_t + expand_time(s - t, x_t) * self._guided_velocity(x_t, t, condition)
        with evaluating(self.networks["student"]):
            target = x0_from_velocity(x_s, self.student.velocity(x_s, s, condition), s)
        target = torch.where(torch.as_tensor(expand_time(s, x_s)) > 0, target, x_s)
        prediction = x0_from_velocity(x_t, self.student.velocity(x_t, t, condition), t)

        count = prediction[0].numel()
        squared = (prediction - target).square().flatten(1).sum(1)  # (B,)
        offset = self._huber**2 * count
        distance = (squared + offset + 1e-20).sqrt() - math.sqrt(offset)
        loss = (distance / (t - s)).mean() / count
        return Loss(loss, {"error": (squared.detach() / count).mean()})
