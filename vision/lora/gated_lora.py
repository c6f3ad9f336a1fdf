"""A network with a gated LoRA on its candidates."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from vision.lora.adapters import set_adapters
from vision.lora.candidate import Candidate
from vision.lora.gate import Gate
from vision.lora.gated_files import AdapterFormat, save_gated
from vision.lora.gated_layers import add_layers, lora_layer, remove_layers
from vision.lora.selection import Selection

#: What becomes of the gates of selected candidates: trained on, left at their value, or set to exactly 1.
GatePolicy = Literal["keep", "freeze", "one"]


class GatedLora:
    """LoRA with one gate a candidate, on a network that it changes in place.

    ``W x + sigmoid(alpha) s (B A) x`` in each layer (BiLaLoRA, arXiv 2603.10872, equation 2), identity until
    it is trained: B begins at zero. Made by :func:`inject`, read by :func:`vision.lora.load_gated`.

    Attributes:
        network: the network; afterwards only the adapter requires gradients.
        candidates: those that carry it.
        scale: s, peft's ``lora_alpha / rank``.
        adapter_name: peft's name for it.
        gates: the gates by candidate.
        weights: A and B of each layer.
        record: where it came from (selection, search log); saved with it.
    """

    def __init__(
        self,
        network: nn.Module,
        candidates: Sequence[Candidate],
        scale: float,
        adapter_name: str,
        gates: dict[str, Gate],
        seed: int = 0,
    ) -> None:
        _check(network, candidates, adapter_name)
        self.network, self.scale, self.adapter_name = network, scale, adapter_name
        self.candidates, self.gates = tuple(candidates), gates
        self.record: dict[str, Any] = {}
        self._kept: dict[str, Tensor] = {}
        self._base_norms: dict[str, float] = {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            add_layers(network, candidates, gates, scale, adapter_name)
        set_adapters(network, adapter_name)
        self.weights = [factor.weight for layer in self.layers().values() for factor in self._factors(layer)]

    @property
    def alphas(self) -> dict[str, Tensor]:
        """Alpha of each gate that is trained, by candidate."""
        return {name: gate.alpha for name, gate in self.gates.items() if gate.alpha.requires_grad}

    @property
    def cost(self) -> int:
        """Parameters of the adapter, without gates."""
        return sum(weight.numel() for weight in self.weights)

    @property
    def merged(self) -> bool:
        """Whether the adapter is added to the weights of the base at the moment."""
        return bool(self._kept)

    def parameters(self) -> list[Tensor]:
        """All that is trained: weights, then gates."""
        return [*self.weights, *self.alphas.values()]

    def layers(self, candidate: Candidate | None = None) -> dict[str, Any]:
        """peft's layers by name, of one candidate or of all."""
        chosen = self.candidates if candidate is None else (candidate,)
        return {name: lora_layer(self.network, name) for c in chosen for name in c.layers}

    @torch.no_grad()
    def relative_norms(self) -> dict[str, float]:
        """Length of each candidate's gated update by that of its base weights (Frobenius)."""
        self._require_unmerged("measure it")
        return {c.name: self._relative_norm(c) for c in self.candidates}

    @contextmanager
    def silenced(self, names: Iterable[str]) -> Iterator[None]:
        """Within, the gates of these candidates are exactly 0 and the layers answer as the base does."""
        chosen = [self.gates[name].alpha for name in names]
        before = [alpha.detach().clone() for alpha in chosen]
        try:
            for alpha in chosen:
                alpha.data.fill_(float("-inf"))
            yield
        finally:
            for alpha, value in zip(chosen, before, strict=True):
                alpha.data.copy_(value)

    def keep(self, selection: Selection, gate: GatePolicy = "keep") -> "GatedLora":
        """The second stage: the adapter on the selected candidates alone, with what it has learned.

        The network gives what it gave with the gates of all other candidates at 0, but for gates set to 1.
        This object is used up; optimizers are to be made anew.

        Args:
            selection: from a search, or made from names.
            gate: ``keep`` trains the gates on with the weights (as the released code does), ``freeze``
                leaves them where they are, ``one`` sets them to 1.

        Raises:
            ValueError: an unknown name or policy, no candidate, or the adapter is merged.
        """
        if gate not in get_args(GatePolicy):
            raise ValueError(
                f"gate policy {gate!r} does not exist; use one of {', '.join(get_args(GatePolicy))}"
            )
        if unknown := [name for name in selection.names if name not in self.gates]:
            raise ValueError(f"{unknown[0]!r} is no candidate; found {', '.join(self.gates)}")
        if not selection.names:
            raise ValueError("the selection is empty; use remove() to take the adapter off")
        self._require_unmerged("select candidates")
        selected = [c for c in self.candidates if c.name in selection.names]
        state = {
            name: [factor.weight.detach().clone() for factor in self._factors(layer)]
            for c in selected
            for name, layer in self.layers(c).items()
        }
        gates = {}
        for c in selected:
            alpha = float("inf") if gate == "one" else self.gates[c.name].alpha.item()
            gates[c.name] = Gate(alpha, trainable=gate == "keep")
        self.remove()
        kept = GatedLora(self.network, selected, self.scale, self.adapter_name, gates)
        kept.load_weights(state)
        kept.record = {**self.record, **selection.record()}
        return kept

    def load_weights(self, state: dict[str, list[Tensor]]) -> None:
        """Sets A and B by layer."""
        with torch.no_grad():
            for name, layer in self.layers().items():
                for factor, value in zip(self._factors(layer), state[name], strict=True):
                    factor.weight.copy_(value)

    def merge(self, permanent: bool = False) -> nn.Module:
        """Adds the adapter to the weights of the base, so that it costs nothing; returns the network.

        Args:
            permanent: whether the layers become plain ones again, with the sums; this object is used up.

        Raises:
            ValueError: it is merged already, or a convolution of several groups has it: peft's update reads
                all input channels there, for which the weight has no room.
        """
        self._require_unmerged("merge again")
        layers = self.layers()
        for name, layer in layers.items():
            base = layer.get_base_layer()
            if isinstance(base, _ConvNd) and base.groups > 1:
                raise ValueError(
                    f"the LoRA of {name}, a convolution of {base.groups} groups, cannot be merged; run it "
                    "unmerged"
                )
        for name, layer in layers.items():
            self._kept[name] = layer.get_base_layer().weight.detach().clone()
            layer.merge(adapter_names=[self.adapter_name])  # pyright: ignore[reportCallIssue]
        if permanent:
            for layer in layers.values():
                layer.merged_adapters.clear()
            self._kept.clear()
            self.remove()
        return self.network

    def unmerge(self) -> None:
        """Puts the weights of the base back, bit by bit."""
        if not self.merged:
            raise ValueError("the adapter is not merged; there is nothing to put back")
        with torch.no_grad():
            for name, layer in self.layers().items():
                layer.get_base_layer().weight.copy_(self._kept[name])
                layer.merged_adapters.remove(self.adapter_name)
        self._kept.clear()

    def remove(self) -> None:
        """Takes the adapter off the network; this object is used up. ValueError while it is merged."""
        self._require_unmerged("remove it")
        remove_layers(self.network, self.layers(), self.adapter_name)

    def save(self, path: str | Path, format: AdapterFormat = "native") -> Path:
        """Writes the adapter, its record and the base's hash: :func:`~vision.lora.gated_files.save_gated`."""
        self._require_unmerged("save")
        return save_gated(self, path, format)

    def _factors(self, layer: Any) -> tuple[Any, Any]:
        return layer.lora_A[self.adapter_name], layer.lora_B[self.adapter_name]

    def _relative_norm(self, candidate: Candidate) -> float:
        update = base = 0.0
        for name, layer in self.layers(candidate).items():
            weight = layer.get_base_layer()
            if name not in self._base_norms:
                self._base_norms[name] = weight.weight.float().norm().item()
            groups = weight.groups if isinstance(weight, _ConvNd) else 1
            a, b = (factor.weight.float().flatten(1) for factor in self._factors(layer))
            # |B A|^2 = <B^T B, A A^T>: no product of the size of the weight.
            a, b = a.unflatten(0, (groups, -1)), b.unflatten(0, (groups, -1))
            update += ((b.mT @ b) * (a @ a.mT)).sum().item()
            base += self._base_norms[name] ** 2
        factor = self.scale * self.gates[candidate.name]().item()
        return factor * (max(update, 0.0) / max(base, 1e-30)) ** 0.5

    def _require_unmerged(self, what: str) -> None:
        if self.merged:
            raise ValueError(f"the adapter is merged into the base; call unmerge() before you {what}")


def inject(
    model: nn.Module,
    candidates: Sequence[Candidate],
    scale: float = 2.0,
    *,
    adapter_name: str = "default",
    seed: int = 0,
) -> GatedLora:
    """Puts a fresh gated LoRA on a network, in place: alpha 0, A uniform as peft draws it, B zero.

    Args:
        model: the network.
        candidates: from :func:`~vision.lora.discovery.discover`.
        scale: factor of the update beside the gate, peft's ``lora_alpha / rank``.
        adapter_name: a network can carry several, see :func:`~vision.lora.adapters.set_adapters`.
        seed: of the draw of A; torch's own random state stays as it is.

    Raises:
        ValueError: no candidates, two that share a name or a layer, or the name is taken.
    """
    return GatedLora(model, candidates, scale, adapter_name, {c.name: Gate() for c in candidates}, seed)


def _check(network: nn.Module, candidates: Sequence[Candidate], adapter_name: str) -> None:
    if not candidates:
        raise ValueError("there are no candidates; find some with discover()")
    if adapter_name in getattr(network, "peft_config", {}):
        raise ValueError(f"the network already has an adapter {adapter_name!r}; choose another name")
    if len({c.name for c in candidates}) < len(candidates):
        raise ValueError(f"two candidates have one name among {[c.name for c in candidates]}; rename one")
    layers = [layer for c in candidates for layer in c.layers]
    if twice := sorted({layer for layer in layers if layers.count(layer) > 1}):
        raise ValueError(f"the layer {twice[0]} is in two candidates; each layer has one gate")
