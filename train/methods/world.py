"""Flow matching of a first-person world: a clip follows from its first frame and a gamepad.

Legend: B batch, C channels, F latent frames, H height, W width, T rows of actions, M prompt tokens.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from train.methods.method import Loss, Method
from vision.flow.denoiser import Denoiser
from vision.flow.draws import Draws
from vision.flow.path import velocity_from_endpoints
from vision.flow.time_laws import draw_times
from vision.world.loss_weight import loss_weight, training_times

#: grid: one of 1000 shifted times, each as likely (SCOPE). logit_normal: sigmoid(mean + std N(0, 1)).
WorldTimeLaw = Literal["grid", "logit_normal"]
STREAMS = ("sticks", "buttons")


class WorldFlow(Method):
    """Flow matching with a clean first frame (SCOPE, arXiv 2605.23345, section 3), one network ``"model"``.

        x_t[i] = (1 - t) x_0[i] + t e[i] for latent frames i >= 1,    x_t[0] = x_0[0] at time 0,
        loss   = mean over i >= 1 of w(t) (v[i] - (e[i] - x_0[i]))^2.

    The prediction for a frame that is given clean is in no loss, so its gradient is exactly 0. The whole
    action of some samples, both streams over the whole clip, is replaced by the learned null action of
    :class:`vision.transformer.ActionInput`.

    A batch holds ``"latents"`` (B, C, F, H, W), ``"sticks"`` (B, T, 4) and ``"buttons"`` (B, T, 6).

    Args:
        denoiser: the network that is trained; it takes a time for each latent frame.
        prompt: embedding of the one prompt that every clip has, shape (1, M, text_dim).
        time_law: law of t.
        mean, std: of ``logit_normal``.
        shift: of the times of ``grid``, and of those over which the mean of ``bell`` is 1.
        stratified: one draw in each of as many equal bins as the global batch has samples.
        chunk: None draws one time a clip. A number draws one for each so many latent frames, from the first
            on, so that a causal network also learns from a past that is cleaner than what it makes
            (diffusion forcing, arXiv 2407.01392).
        clean_past: with ``chunk``: each chunk sees the chunks before it clean, at time 0, as a stream does
            (teacher forcing), for twice the tokens. Of the noisy ones a law that hardly draws small times
            shows next to nothing.
        past_noise: with ``clean_past``: the past holds noise up to this time, another amount in each frame
            but the first, while the network is told 0. A stream's past is what the network made itself; one
            that has learned to mend it drifts less.
        loss: ``velocity`` as above; ``x0`` compares the clean latents that the velocity implies,
            ``x_t - t v``, which weights the same error by t^2.
        weighting: ``bell`` is SCOPE's w(t) (:func:`vision.world.loss_weight.loss_weight`); ``none`` is 1.
        channel_weights: weight of each channel's error, shape (C,), mean 1; None weighs all alike. Latents
            have unit variance in each channel, so that channels of faint detail, which nothing foretells,
            count as much as those that hold the picture.
        action_dropout: share of samples under the null action.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        *,
        prompt: Tensor,
        time_law: WorldTimeLaw = "grid",
        mean: float = 0.0,
        std: float = 1.0,
        shift: float = 5.0,
        stratified: bool = False,
        chunk: int | None = None,
        clean_past: bool = False,
        past_noise: float = 0.0,
        loss: Literal["velocity", "x0"] = "velocity",
        weighting: Literal["bell", "none"] = "bell",
        channel_weights: Tensor | None = None,
        action_dropout: float = 0.1,
    ) -> None:
        super().__init__(networks={"model": denoiser.network}, frozen={}, every={"model": 1})
        self._denoiser, self._prompt = denoiser, prompt
        self._time_law: WorldTimeLaw = time_law
        self._mean, self._std, self._shift, self._stratified = mean, std, shift, stratified
        self._chunk, self._clean_past, self._past_noise = chunk, clean_past, past_noise
        self._target, self._weighting = loss, weighting
        self._channel_weights, self._action_dropout = channel_weights, action_dropout

    def losses(self, batch: Mapping[str, Any], draws: Draws) -> dict[str, Callable[[], Loss]]:
        """The loss of ``"model"``; see :meth:`Method.losses`.

        Raises:
            ValueError: latents of a single frame, which leaves nothing to learn; a stream is missing.
        """
        return {"model": lambda: self._loss(batch, draws)}

    def _loss(self, batch: Mapping[str, Any], draws: Draws) -> Loss:
        x_0 = batch["latents"].float()
        if x_0.shape[2] < 2:
            raise ValueError(
                f"the latents have {x_0.shape[2]} frame, which is given and not learned; train on clips of "
                "at least 5 frames of video (data.frames)"
            )
        noise = draws.normal("noise", x_0.shape, x_0.device)
        times = self.times(draws, len(x_0), x_0.shape[2]).to(x_0.device)  # (B, F)
        t = times[:, None, :, None, None]
        condition = self._condition(batch, draws, x_0)
        if self._clean_past:
            condition["past"] = self.past(x_0, draws)
        self._denoiser.network = self.networks["model"]
        velocity = self._denoiser.velocity((1 - t) * x_0 + t * noise, times, condition)
        learned = times > 0  # (B, F)
        error = (velocity - velocity_from_endpoints(x_0, noise)).square()  # (B, C, F, H, W)
        if self._channel_weights is not None:
            error = error * self._channel_weights.to(error)[:, None, None, None]
        error = error.mean(dim=(1, 3, 4))
        if self._target == "x0":
            error = times.square() * error
        if self._weighting == "bell":
            error = loss_weight(times, self._shift) * error
        value = torch.where(learned, error, 0).sum() / learned.sum()
        return Loss(value, {"action_dropped": condition["action_dropped"].float().mean()})

    def times(self, draws: Draws, batch_size: int, frames: int) -> Tensor:
        """The time of each latent frame, float32, shape (B, F); 0 for those that are given."""
        chunk = frames if self._chunk is None else self._chunk
        count = -(-frames // chunk)
        times = torch.stack([self._drawn(draws, f"time {number}", batch_size) for number in range(count)], 1)
        times = times.repeat_interleave(chunk, 1)[:, :frames]
        times[:, 0] = 0
        return times

    def past(self, x_0: Tensor, draws: Draws) -> Tensor:
        """What the chunks see of those before them: ``x_0`` (B, C, F, H, W), with noise where asked."""
        if not self._past_noise:
            return x_0
        size, frames = len(x_0), x_0.shape[2]
        level = self._past_noise * torch.stack(
            [draws.uniform(f"past noise {frame}", size) for frame in range(frames)], 1
        )
        level[:, 0] = 0
        t = level.to(x_0)[:, None, :, None, None]
        return (1 - t) * x_0 + t * draws.normal("past", x_0.shape, x_0.device)

    def _drawn(self, draws: Draws, purpose: str, batch_size: int) -> Tensor:
        if self._time_law == "logit_normal":
            return draw_times(
                "logit_normal",
                draws,
                purpose,
                batch_size,
                mean=self._mean,
                std=self._std,
                stratified=self._stratified,
            )
        grid = training_times(self._shift)
        return grid[(draws.uniform(purpose, batch_size, self._stratified) * len(grid)).long()].float()

    def _condition(self, batch: Mapping[str, Any], draws: Draws, like: Tensor) -> dict[str, Tensor]:
        if missing := [name for name in STREAMS if name not in batch]:
            raise ValueError(
                f"the batch has no {' and no '.join(missing)}; a world is trained with both streams"
            )
        dropped = draws.uniform("action dropout", len(like)) < self._action_dropout
        return {
            "encoder_hidden_states": self._prompt.to(like.device).expand(len(like), -1, -1),
            **{name: batch[name] for name in STREAMS},
            # Also where none is dropped: the null action then has a gradient, of zero, in every process.
            "action_dropped": dropped.to(like.device),
        }
