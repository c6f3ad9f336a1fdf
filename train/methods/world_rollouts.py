"""A causal world's own streams: what the student makes of a first frame and a gamepad, chunk by chunk.

Legend: B clips, N chunks of a clip, c latent frames of a chunk, C channels, F latent frames of a clip, h, w
height and width of the latents, T rows of actions, M prompt tokens.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from train.methods.rollouts import Rollouts
from vision.distill.rollout import Rollout, roll_out
from vision.flow.denoiser import Condition, Denoiser
from vision.flow.draws import Draws
from vision.flow.evaluating import evaluating
from vision.flow.solver import EulerStep, euler_solve
from vision.world.chunk_denoiser import PAST, ChunkDenoiser
from vision.world.chunk_stream import ChunkStream


class WorldRollouts(Rollouts):
    """Each chunk of a clip is a sample; its past is the student's own (Self Forcing, arXiv 2506.08009).

    From the recorded first frame and the recorded actions the student makes the clip as a stream does: each
    chunk from noise by the whole schedule, then remembered at time 0. The points that it passes are the
    rollouts of the chunks, and its clip is the past that all networks see.

    A batch holds ``"latents"`` (B, C, F, h, w), ``"sticks"`` (B, T, 4) and ``"buttons"`` (B, T, 6).

    Args:
        chunks: N.
        prompt: embedding of the one prompt that every clip has, (1, M, text_dim).
        recorded_past: share of iterations whose past are the recorded latents instead.
    """

    def __init__(self, chunks: int, prompt: Tensor, recorded_past: float = 0.0) -> None:
        self._chunks, self._prompt, self._recorded_past = chunks, prompt, recorded_past

    def samples(self, batch: Mapping[str, Tensor]) -> int:
        return self._chunks

    def walk(
        self,
        student: Denoiser,
        noise: Tensor,
        batch: Mapping[str, Tensor],
        sigmas: list[float],
        num_steps: int,
        draws: Draws,
    ) -> tuple[Rollout, Condition]:
        assert isinstance(student, ChunkDenoiser)
        latents = batch["latents"].float()
        condition = {
            "encoder_hidden_states": self._prompt.to(latents).expand(len(latents), -1, -1),
            "sticks": batch["sticks"],
            "buttons": batch["buttons"],
            "action_dropped": torch.zeros(len(latents), dtype=torch.bool, device=latents.device),
        }
        # One draw for all processes, which walk equally far.
        if Draws(draws.seed, draws.step).uniform("recorded past", 1) < self._recorded_past:
            condition[PAST] = latents
            return roll_out(student, noise, condition, sigmas, num_steps), condition
        rollout = stream_out(student, noise, latents[:, :, :1], condition, sigmas)
        condition[PAST] = joined(rollout.final, latents[:, :, :1])
        return rollout, condition


def stream_out(
    student: ChunkDenoiser, noise: Tensor, first: Tensor, condition: Condition, sigmas: list[float]
) -> Rollout:
    """Lets a student make clips chunk by chunk, without gradients and in evaluation mode.

    Args:
        student: the network being distilled.
        noise: of each chunk, (B N, C, c, h, w).
        first: given first frames (B, C, 1, h, w).
        condition: of the clips, without a past.
        sigmas: falling times after the shift, the last 0.

    Returns:
        The trajectories of all chunks, each (B N, C, c, h, w), walked to their ends.
    """
    states: list[list[Tensor]] = []
    velocities: list[list[Tensor]] = []

    def record(step: EulerStep) -> None:
        states[-1].append(step.x_next)
        velocities[-1].append(step.velocity)

    with evaluating(student.network):
        stream = ChunkStream(student, first, condition)
        for start in noise.unflatten(0, (len(first), -1)).unbind(1):
            states.append([start])
            velocities.append([])
            stream.keep(euler_solve(stream.velocity, start, sigmas, callback=record))
    grid = torch.tensor(sigmas, dtype=noise.dtype, device=noise.device)
    return Rollout(grid, _by_point(states), _by_point(velocities))


def joined(chunks: Tensor, first: Tensor) -> Tensor:
    """Clips (B, C, F, h, w) of their chunks (B N, C, c, h, w) and their given frames (B, C, 1, h, w)."""
    clips = chunks.unflatten(0, (len(first), -1)).transpose(1, 2).flatten(2, 3)
    # With more than one frame a chunk the first of them is the given one, exactly.
    return torch.cat([first, clips[:, :, chunks.shape[2] > 1 :]], dim=2)


def _by_point(chunks: list[list[Tensor]]) -> list[Tensor]:
    """Lists by chunk of tensors (B, ...) by point, as a list by point of (B N, ...), clip by clip."""
    return [torch.stack(point, dim=1).flatten(0, 1) for point in zip(*chunks, strict=True)]
