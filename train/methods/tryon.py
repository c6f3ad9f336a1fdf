"""Flow matching of a try-on, in which the frames of actions count more.

Legend: B batch, C channels, F latent frames, H height, W width.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from train.methods.method import Loss, Method
from vision.flow.draws import Draws
from vision.flow.path import expand_time, interpolate, velocity_from_endpoints
from vision.flow.shift import shift_time
from vision.flow.time_laws import TimeLaw, draw_times
from vision.tryon.denoiser import ACTIONS_DROPPED, PROMPT_DROPPED, TryOnDenoiser
from vision.tryon.loss import action_constraint_loss
from vision.tryon.reference import without_reference

#: Entries of a batch that no network is conditioned on.
NOT_CONDITIONS = ("latents", "action_mask")


class TryOnFlow(Method):
    """The loss of iTryOn (arXiv 2605.21431), one network ``"model"``.

        x_t = (1 - t) x_0 + t e,    L = E |v - (e - x_0)|^2 + weight E |A (v - (e - x_0))|^2,

    A being 1 on the latent frames of actions (:func:`vision.tryon.action_constraint_loss`). The garment's
    frame, the first of the latents, is noised as the others and in neither term.

    A batch holds ``"latents"`` (B, C, 1 + F, H, W), ``"action_mask"`` (B, F), and the condition of
    :class:`vision.tryon.denoiser.TryOnDenoiser` without the two flags, which are drawn here.

    Args:
        denoiser: the network that is trained.
        time_law: law of t; see :func:`vision.flow.time_laws.draw_times`.
        mean, std: of ``logit_normal``.
        shift: static time shift of the drawn times.
        stratified: one time in each of as many equal bins as the global batch has samples.
        loss: ``velocity`` as above; ``x0`` compares the clean latents that the velocity implies,
            ``x_t - t v``, which weights the same error by t^2.
        action_weight: of the second term.
        action_norm: what it is divided by, "all" or "mask".
        prompt_dropout: share of samples without a prompt.
        action_dropout: share of samples without captions of actions, drawn apart.
    """

    def __init__(
        self,
        denoiser: TryOnDenoiser,
        *,
        time_law: TimeLaw = "uniform",
        mean: float = 0.0,
        std: float = 1.0,
        shift: float = 5.0,
        stratified: bool = False,
        loss: Literal["velocity", "x0"] = "velocity",
        action_weight: float = 0.5,
        action_norm: str = "all",
        prompt_dropout: float = 0.1,
        action_dropout: float = 0.1,
    ) -> None:
        super().__init__(networks={"model": denoiser.network}, frozen={}, every={"model": 1})
        self._denoiser = denoiser
        self._time_law: TimeLaw = time_law
        self._mean, self._std, self._shift, self._stratified = mean, std, shift, stratified
        self._target = loss
        self._action_weight, self._action_norm = action_weight, action_norm
        self._dropouts = {PROMPT_DROPPED: prompt_dropout, ACTIONS_DROPPED: action_dropout}

    def losses(self, batch: Mapping[str, Any], draws: Draws) -> dict[str, Callable[[], Loss]]:
        """The loss of ``"model"``; see :meth:`Method.losses`."""
        return {"model": lambda: self._loss(batch, draws)}

    def _loss(self, batch: Mapping[str, Any], draws: Draws) -> Loss:
        x_0, mask = batch["latents"].float(), batch["action_mask"]
        noise = draws.normal("noise", x_0.shape, x_0.device)
        drawn = draw_times(
            self._time_law,
            draws,
            "time",
            len(x_0),
            mean=self._mean,
            std=self._std,
            stratified=self._stratified,
        )
        t = shift_time(drawn, self._shift).to(x_0.device)
        condition = {name: value for name, value in batch.items() if name not in NOT_CONDITIONS}
        for name, share in self._dropouts.items():
            condition[name] = (draws.uniform(name, len(x_0)) < share).to(x_0.device)
        self._denoiser.network = self.networks["model"]
        velocity = without_reference(self._denoiser.velocity(interpolate(x_0, noise, t), t, condition))
        target = without_reference(velocity_from_endpoints(x_0, noise))
        if self._target == "x0":
            velocity, target = (expand_time(t, value) * value for value in (velocity, target))
        loss = action_constraint_loss(velocity, target, mask, self._action_weight, self._action_norm)
        with torch.no_grad():
            plain = action_constraint_loss(velocity, target, mask, weight=0)
        return Loss(loss, {"loss_model": loss.detach(), "loss_plain": plain, "action_share": _share(mask)})


def _share(mask: Tensor) -> Tensor:
    """Share of the latent frames that are of actions."""
    return mask.float().mean()
