"""One step of the search at a time: gates by the upper loss, weights by the lower."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm

from vision.lora.gated_lora import GatedLora
from vision.lora.halves import HalfLoss
from vision.lora.hypergradients import Hypergradient, check_mode, gradients, implicit

#: A loss by number of the step; it draws its own batch.
Loss = Callable[[int], Tensor]


class BilevelSearch:
    """Alternating steps on gates and weights (BiLaLoRA, arXiv 2603.10872, equations 3 to 7).

    A step moves the gates by the hypergradient of the upper loss, then the weights by the gradient of the
    lower loss. Each gradient goes to the tensors it is for and to no other.

    Args:
        lora: a fresh gated LoRA.
        lower: what the weights follow, on one half of the data.
        upper: what the gates follow, on the other half.
        hypergradient: see :func:`~vision.lora.hypergradients.hypergradient`. ``cg`` runs torch's attention in
            its plain form, the one that can be differentiated twice.
        gate_rate: learning rate of the gates' AdamW (betas 0.5 and 0.999, weight decay 0.001). The released
            code's 3e-4 leaves gates together within a thousandth of each other.
        weight_rate: learning rate of the weights' Adam.
        clip: largest norm of the weights' gradient.
        cg_steps: products with the Hessian a step, of ``cg``.
        damping: added to the Hessian's diagonal, of ``cg``.
        gate_optimizer: in place of the one above; of the gates and nothing else.
        weight_optimizer: in place of the one above; of the weights and nothing else.

    Attributes:
        log: a record a step: ``upper`` and ``lower`` losses, ``multiplier``, and by candidate its ``gate``,
            ``hypergradient`` and ``norm`` (length of the update by that of the weights).

    Raises:
        ValueError: an optimizer that holds other tensors, gates that are not trained, a merged adapter,
            losses on the same items (``first_order`` allows one loss for both: joint training), or a batch
            norm whose statistics would change.
    """

    def __init__(
        self,
        lora: GatedLora,
        lower: Loss,
        upper: Loss,
        hypergradient: Hypergradient = "rank_one",
        *,
        gate_rate: float = 1e-2,
        weight_rate: float = 1e-4,
        clip: float = 5.0,
        cg_steps: int = 8,
        damping: float = 1e-2,
        gate_optimizer: torch.optim.Optimizer | None = None,
        weight_optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        check_mode(hypergradient)
        _check_lora(lora)
        _check_halves(lower, upper, hypergradient)
        self.lora, self.lower, self.upper = lora, lower, upper
        self.hypergradient: Hypergradient = hypergradient
        self.clip, self.cg_steps, self.damping = clip, cg_steps, damping
        self._gates = list(lora.alphas.values())
        self.gate_optimizer = gate_optimizer or torch.optim.AdamW(
            self._gates, lr=gate_rate, betas=(0.5, 0.999), weight_decay=1e-3
        )
        self.weight_optimizer = weight_optimizer or torch.optim.Adam(lora.weights, lr=weight_rate)
        _check_optimizer(self.gate_optimizer, self._gates, "gates")
        _check_optimizer(self.weight_optimizer, lora.weights, "weights")
        self.log: list[dict[str, float]] = []

    def step(self) -> dict[str, float]:
        """One step on the gates and one on the weights; returns its record.

        Raises:
            ValueError: a loss or a gradient is not finite, or the lower loss does not depend on a candidate.
        """
        number = len(self.log)
        record: dict[str, float] = {"step": number}
        record["upper"], values, multiplier = self._hypergradient(number)
        _step(self.gate_optimizer, self._gates, values, number)
        record["lower"], gradient = self._weight_gradient(number)
        _step(self.weight_optimizer, self.lora.weights, gradient, number, self.clip)
        if multiplier is not None:
            record["multiplier"] = multiplier.item()
        for name, value in zip(self.lora.gates, values, strict=True):
            record[f"gate/{name}"] = self.lora.gates[name]().item()
            record[f"hypergradient/{name}"] = value.item()
        for name, norm in self.lora.relative_norms().items():
            record[f"norm/{name}"] = norm
        self.log.append(record)
        return record

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, beside the network and the losses."""
        return {
            "gates": [gate.detach().clone() for gate in self._gates],
            "weights": [weight.detach().clone() for weight in self.lora.weights],
            "gate_optimizer": self.gate_optimizer.state_dict(),
            "weight_optimizer": self.weight_optimizer.state_dict(),
            "log": [dict(record) for record in self.log],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from :meth:`state_dict` of a search on the same candidates, with the same bits."""
        own = [*self._gates, *self.lora.weights]
        given = [*state["gates"], *state["weights"]]
        if [tensor.shape for tensor in own] != [tensor.shape for tensor in given]:
            raise ValueError(
                f"the state has {len(given)} tensors that are not those of this search ({len(own)}); begin "
                "with the same candidates and ranks"
            )
        with torch.no_grad():
            for tensor, value in zip(own, given, strict=True):
                tensor.copy_(value)
        self.gate_optimizer.load_state_dict(state["gate_optimizer"])
        self.weight_optimizer.load_state_dict(state["weight_optimizer"])
        self.log = [dict(record) for record in state["log"]]

    def _hypergradient(self, number: int) -> tuple[float, list[Tensor], Tensor | None]:
        weights = self.lora.weights
        loss = _finite(self.upper(number), "upper", number)
        upper = gradients(loss, [*self._gates, *weights], "the upper loss")
        value = loss.item()
        if self.hypergradient == "first_order":
            return value, list(upper[: len(self._gates)]), None
        del loss
        if self.hypergradient == "rank_one":
            lower = self.lower(number)
        else:
            with sdpa_kernel(SDPBackend.MATH):
                lower = self.lower(number)
        values, multiplier = implicit(
            upper,
            _finite(lower, "lower", number),
            self._gates,
            weights,
            self.hypergradient,
            cg_steps=self.cg_steps,
            damping=self.damping,
        )
        return value, values, multiplier

    def _weight_gradient(self, number: int) -> tuple[float, list[Tensor]]:
        loss = _finite(self.lower(number), "lower", number)
        gradient = torch.autograd.grad(loss, self.lora.weights, allow_unused=True)
        if number == 0:
            self._check_reached(gradient)
        return loss.item(), [
            torch.zeros_like(weight) if g is None else g
            for weight, g in zip(self.lora.weights, gradient, strict=True)
        ]

    def _check_reached(self, gradient: tuple[Tensor | None, ...]) -> None:
        reached = {id(w) for w, g in zip(self.lora.weights, gradient, strict=True) if g is not None}
        for candidate in self.lora.candidates:
            layers = self.lora.layers(candidate).values()
            if not any(id(p) in reached for layer in layers for p in layer.lora_B.parameters()):
                raise ValueError(
                    f"the lower loss does not depend on the candidate {candidate.name!r} "
                    f"({', '.join(candidate.layers[:3])}); leave it out of the candidates"
                )


def _check_lora(lora: GatedLora) -> None:
    if lora.merged:
        raise ValueError("the adapter is merged into the base; call unmerge() before a search")
    if fixed := [name for name in lora.gates if name not in lora.alphas]:
        raise ValueError(f"the gate of {fixed[0]!r} is not trained; search with gates fresh from inject()")
    for name, module in lora.network.named_modules():
        if isinstance(module, _BatchNorm) and module.training and module.track_running_stats:
            raise ValueError(
                f"the batch norm {name} is in training mode and would change the base; call eval() on the "
                "network"
            )


def _check_halves(lower: Loss, upper: Loss, hypergradient: Hypergradient) -> None:
    if isinstance(lower, HalfLoss) and isinstance(upper, HalfLoss) and (shared := lower.shared_with(upper)):
        if lower is upper and hypergradient == "first_order":
            return
        raise ValueError(
            f"the lower and the upper loss share {shared} items; give losses of disjoint halves (on_halves)"
        )


def _check_optimizer(optimizer: torch.optim.Optimizer, tensors: Iterable[Tensor], what: str) -> None:
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    wanted = {id(tensor) for tensor in tensors}
    if held != wanted:
        raise ValueError(
            f"the optimizer of the {what} must hold the {len(wanted)} {what} and nothing else; "
            f"{len(wanted - held)} of them are missing and {len(held - wanted)} other tensors are in it"
        )


def _step(
    optimizer: torch.optim.Optimizer,
    tensors: list[Any],
    values: list[Tensor],
    number: int,
    clip: float = math.inf,
) -> None:
    for tensor, value in zip(tensors, values, strict=True):
        tensor.grad = value
    norm = nn.utils.clip_grad_norm_(tensors, clip)
    if not torch.isfinite(norm):
        optimizer.zero_grad(set_to_none=True)
        raise ValueError(f"a gradient is {norm.item()} at step {number}; lower the learning rates")
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _finite(loss: Tensor, which: str, number: int) -> Tensor:
    if not torch.isfinite(loss).all():
        raise ValueError(f"the {which} loss is {loss.tolist()} at step {number}; lower the learning rates")
    return loss
