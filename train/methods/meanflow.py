"""MeanFlow: average velocities over intervals, from a teacher (arXiv 2505.13447; as distillation 2512.13006).

Legend: B batch; C, F, H, W channels, frames, height and width of the latents.
"""

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parallel import DistributedDataParallel

from train.methods.method import Loss
from train.methods.teacher_student import TeacherStudent
from train.recipes.meanflow import MeanFlowSettings
from vision.flow.denoiser import Condition, Denoiser
from vision.flow.draws import Draws
from vision.flow.evaluating import evaluating
from vision.flow.path import expand_time, interpolate
from vision.flow.time_laws import draw_times
from vision.transformer.interval import INTERVAL


class MeanFlow(TeacherStudent):
    """The student learns ``u(x_t, r, t)``, the mean of the teacher's guided velocity v from r to t.

    The mean satisfies ``u = v - (t - r) du/dt``, where du/dt goes along the trajectory: the derivative
    with tangents (v, 1) of (x_t, t), r fixed. With the teacher's v and the student's own derivative,

        loss = sum |u - sg(v - (t - r) du/dt)|^2 / sg(sum |.|^2 + c)^p     (Eq. 10, 11, 22)

    and a step of sampling is ``x_r = x_t - (t - r) u``, of any length. The derivative is found without
    gradients and apart from the call that is propagated back, so that DDP and gradient checkpointing see
    one ordinary call.

    Args:
        student: its network has the condition ``interval``, t - r; see
            :class:`vision.transformer.IntervalEmbedding`.
        teacher, null_condition: see :class:`TeacherStudent`.
        settings: the method's options.
    """

    def __init__(
        self, student: Denoiser, teacher: Denoiser, *, settings: MeanFlowSettings, null_condition: Condition
    ) -> None:
        super().__init__(
            student, teacher, guidance_scale=settings.guidance_scale, null_condition=null_condition
        )
        self._settings = settings

    def _loss(self, x_0: Tensor, condition: Condition, draws: Draws) -> Loss:
        settings = self._settings
        r, t = self._times(draws, len(x_0))
        r, t = r.to(x_0.device), t.to(x_0.device)
        x_t = interpolate(x_0, draws.normal("noise", x_0.shape, x_0.device), t)
        v = self._guided_velocity(x_t, t, condition)
        derivative = self._derivative(x_t, v, r, t, condition)
        target = v - expand_time(t - r, v) * derivative

        u = self.student.velocity(x_t, t, {**condition, INTERVAL: t - r})
        squared = (u - target).square().flatten(1).sum(1)  # (B,)
        weight = (squared.detach() + settings.norm_offset) ** -settings.norm_power
        error = squared.detach().mean() / x_0[0].numel()
        return Loss((weight * squared).mean(), {"error": error, "derivative": derivative.square().mean()})

    def _times(self, draws: Draws, batch_size: int) -> tuple[Tensor, Tensor]:
        """r and t (B,), r <= t; r < t in a share ``p_r_neq_t`` of the samples."""
        settings = self._settings
        first, second = (
            draw_times(settings.time_law, draws, name, batch_size, mean=settings.mean, std=settings.std)
            for name in ("first time", "second time")
        )
        r, t = torch.minimum(first, second), torch.maximum(first, second)
        apart = draws.uniform("interval", batch_size) < settings.p_r_neq_t
        return torch.where(apart, r, t), t

    def _derivative(self, x_t: Tensor, v: Tensor, r: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """du/dt along the trajectory, without gradient, shape of ``x_t``."""
        student = self.student
        if isinstance(student.network, DistributedDataParallel):
            # A call of the wrapper without a backward pass would upset its bookkeeping.
            student.network = student.network.module

        def u(x: Tensor, time: Tensor) -> Tensor:
            return student.velocity(x, time, {**condition, INTERVAL: time - r})

        with evaluating(student.network):
            if self._settings.derivative == "difference":
                half = self._settings.difference_step / 2
                # Neither below r nor above 1; where r = t the derivative has no weight.
                low, high = torch.maximum(t - half, r), (t + half).clamp(max=1.0)
                after, before = (u(x_t + expand_time(time - t, v) * v, time) for time in (high, low))
                return (after - before) / expand_time((high - low).clamp(min=1e-3), v)
            # Attention kernels have no forward derivative; the plain products do.
            with sdpa_kernel(SDPBackend.MATH), forward_ad.dual_level():
                dual = u(forward_ad.make_dual(x_t, v), forward_ad.make_dual(t, torch.ones_like(t)))
                tangent = forward_ad.unpack_dual(dual).tangent
                assert tangent is not None
                return tangent.float()
