"""Flow matching: a velocity network learns the straight path from data to noise."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from train.methods.method import Loss, Method
from vision.flow.denoiser import Condition, Denoiser
from vision.flow.draws import Draws
from vision.flow.path import interpolate, velocity_from_endpoints
from vision.flow.shift import shift_time
from vision.flow.time_laws import TimeLaw, draw_times


class FlowMatching(Method):
    """Mean squared error of the velocity (Lipman et al. 2022), one network ``"model"``.

        x_t = (1 - t) x_0 + t e,    loss = mean (v(x_t, t, c) - (e - x_0))^2.

    A batch holds ``"latents"`` (B, C, F, H, W) and whatever the network is conditioned on.

    Args:
        denoiser: the network that is trained.
        null_condition: the condition of the empty prompt, for one sample: shapes (1, ...).
        time_law: law of t; see :func:`vision.flow.time_laws.draw_times`.
        mean, std: of ``logit_normal``.
        shift: static time shift of the drawn times.
        stratified: one time in each of as many equal bins as the global batch has samples.
        prompt_dropout: share of samples that see the null condition, for classifier-free guidance.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        *,
        null_condition: Condition,
        time_law: TimeLaw = "uniform",
        mean: float = 0.0,
        std: float = 1.0,
        shift: float = 1.0,
        stratified: bool = False,
        prompt_dropout: float = 0.1,
    ) -> None:
        super().__init__(networks={"model": denoiser.network}, frozen={}, every={"model": 1})
        self._denoiser = denoiser
        self._null_condition = null_condition
        self._time_law: TimeLaw = time_law
        self._mean, self._std, self._shift, self._stratified = mean, std, shift, stratified
        self._prompt_dropout = prompt_dropout

    def losses(self, batch: Mapping[str, Any], draws: Draws) -> dict[str, Callable[[], Loss]]:
        """The loss of ``"model"``; see :meth:`Method.losses`."""
        return {"model": lambda: self._loss(batch, draws)}

    def _loss(self, batch: Mapping[str, Any], draws: Draws) -> Loss:
        x_0 = batch["latents"].float()
        condition = {name: value for name, value in batch.items() if name != "latents"}
        noise = draws.normal("noise", x_0.shape, x_0.device)
        t = shift_time(self._times(draws, len(x_0)), self._shift).to(x_0.device)
        self._denoiser.network = self.networks["model"]
        velocity = self._denoiser.velocity(
            interpolate(x_0, noise, t), t, self._with_dropout(condition, draws)
        )
        error = (velocity - velocity_from_endpoints(x_0, noise)).square()
        return Loss(error.mean(), {"loss_model": error.detach().mean()})

    def _times(self, draws: Draws, batch_size: int) -> Tensor:
        return draw_times(
            self._time_law,
            draws,
            "time",
            batch_size,
            mean=self._mean,
            std=self._std,
            stratified=self._stratified,
        )

    def _with_dropout(self, condition: Condition, draws: Draws) -> dict[str, Tensor]:
        """The condition with the null condition in the place of some samples'."""
        dropped = dict(condition)
        for name, null in self._null_condition.items():
            value = condition.get(name)
            if value is None or value.shape[1:] != null.shape[1:]:
                found = None if value is None else tuple(value.shape)
                raise ValueError(
                    f"the batch's {name!r} has shape {found}, the null condition's {tuple(null.shape)}; "
                    "expected the same sizes after the batch (was one made with another max_length or text "
                    "encoder?)"
                )
            drop = draws.uniform("prompt dropout", len(value)) < self._prompt_dropout
            drop = drop.to(value.device).reshape(-1, *[1] * (value.ndim - 1))  # (B, 1, ..., 1)
            dropped[name] = torch.where(drop, null.to(value), value)
        return dropped
