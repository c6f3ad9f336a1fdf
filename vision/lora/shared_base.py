"""Several networks over one set of weights: each is an adapter of a base that they share."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class AdapterView(nn.Module):
    """One adapter of a base as a network of its own; without an adapter, the base as it was before any.

    A view is called like the base. What it registers is its adapter alone, under the names of a network
    whose only adapter is called ``default``: an optimizer, an average, DDP and a saved adapter see nothing
    else of the base. Mode and adapter belong to a view and reach the base with each call, so that views may
    be called in any order; a block that is recomputed in the backward pass gets those of its forward pass
    (:meth:`enable_gradient_checkpointing`). A view without an adapter holds the base's own weights.

    Attributes that are read are the base's (``config``, ``dtype``, ``device``, ``blocks``). To move or cast
    a view moves or casts the base with all its adapters.

    Adapters are added to a base before its first view is made, see :func:`vision.lora.adapters.add_lora`.
    peft leaves only the one added last trainable: ``view.requires_grad_(True)`` makes a view's so.

    Args:
        base: a network with peft's adapters; it stays as it is.
        adapter: name of one of them, or None.

    Attributes:
        base: the network that the views share, which is not a registered submodule.

    Raises:
        ValueError: the base has no such adapter, or one of an embedding layer, whose factors are no modules.
    """

    base: nn.Module

    def __init__(self, base: nn.Module, adapter: str | None) -> None:
        super().__init__()
        self.__dict__["base"] = base
        self._layers = [module for module in base.modules() if isinstance(module, BaseTunerLayer)]
        self._known = _adapters(base)
        self._active = [] if adapter is None else [adapter]
        self._own_names: list[str] | None = None
        if adapter is None:
            factors = {id(p) for layer in self._layers for p in _factors(layer).parameters()}
            self._own_names = [name for name, p in base.named_parameters() if id(p) not in factors]
        elif adapter not in self._known:
            raise ValueError(
                f"the network has no adapter {adapter!r} (found {sorted(self._known) or 'none'}); "
                "call add_lora first"
            )
        else:
            self._register_adapter(adapter)

    def forward(self, *arguments: Any, **named: Any) -> Any:
        """Calls the base with this view's adapter and in this view's mode.

        Raises:
            ValueError: the base has got further adapters since the view was made.
        """
        if later := _adapters(self.base) - self._known:
            raise ValueError(
                f"the base has got the adapter {min(later)!r} since this view of it was made; make views "
                "when all adapters are there"
            )
        with self._activated(self._active, self.training):
            return self.base(*arguments, **named)

    def enable_gradient_checkpointing(self) -> None:
        """Recomputes the base's blocks in the backward pass, for all views of it."""
        self.base.enable_gradient_checkpointing(self._checkpoint)  # pyright: ignore[reportCallIssue]

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Adds a part that belongs to this view; the base carries it, to be moved and sharded with it.

        Raises:
            KeyError: the base has an attribute of this name.
        """
        self.base.add_module(name, module)
        self._modules[name] = module

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        if self._own_names is None:
            yield from super().named_parameters(prefix, recurse, remove_duplicate)
            return
        for name in self._own_names if recurse else []:
            plain = name.replace(".base_layer.", ".")
            yield f"{prefix}.{plain}" if prefix else plain, self.base.get_parameter(name)

    def __getattr__(self, name: str) -> Any:
        # The base first: the adapter's parts have the names of the base's, and are not what a caller wants.
        if "base" in self.__dict__ and hasattr(self.base, name):
            return getattr(self.base, name)
        return super().__getattr__(name)

    def _apply(self, fn: Any, recurse: bool = True) -> "AdapterView":
        self.base._apply(fn, recurse)
        return self

    def _register_adapter(self, adapter: str) -> None:
        """Builds the tree of modules that carries the adapter's own under the base's names."""
        for name, layer in self.base.named_modules():
            if not isinstance(layer, BaseTunerLayer):
                continue
            for part, by_adapter in _factors(layer).named_children():
                if adapter not in by_adapter:  # pyright: ignore[reportOperatorIssue]
                    continue
                factor = by_adapter[adapter]  # pyright: ignore[reportIndexIssue]
                if not isinstance(factor, nn.Module):
                    raise ValueError(
                        f"the adapter {adapter!r} changes the embedding layer {name}, which views cannot "
                        "share; leave it out of target_modules"
                    )
                node: nn.Module = self
                for folder in (*name.split("."), part):
                    # Not add_module, which refuses the names of attributes that are read from the base.
                    node = node._modules.setdefault(folder, nn.Module())  # pyright: ignore[reportAssignmentType]
                node._modules["default"] = factor

    @contextmanager
    def _activated(self, adapters: Sequence[str], training: bool) -> Iterator[None]:
        before = [layer._active_adapter for layer in self._layers]
        if self.base.training != training:
            self.base.train(training)
        for layer in self._layers:
            # peft's own switches, set_adapter and enable_adapters, also say what requires a gradient.
            layer._active_adapter = list(adapters)
        try:
            yield
        finally:
            for layer, active in zip(self._layers, before, strict=True):
                layer._active_adapter = active

    def _checkpoint(self, block: nn.Module, *arguments: Any) -> Tensor | tuple[Tensor, ...]:
        """Calls a block, of whichever view is being called, such that it is recomputed as it is now."""
        adapters = self._layers[0].active_adapters if self._layers else []
        training = self.base.training
        result: Any = checkpoint(
            block,
            *arguments,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), self._activated(adapters, training)),
        )
        return result


def base_of(network: nn.Module) -> nn.Module:
    """The network that a view shares with others; any other network itself."""
    return network.base if isinstance(network, AdapterView) else network


def _adapters(base: nn.Module) -> frozenset[str]:
    return frozenset(getattr(base, "peft_config", {}))


def _factors(layer: BaseTunerLayer) -> nn.Module:
    """What peft has put into a layer: for each kind of factor, a container by adapter."""
    factors = nn.Module()
    for kind in layer.adapter_layer_names:
        container = getattr(layer, kind)
        if isinstance(container, nn.Module):
            factors.add_module(kind, container)
    return factors
