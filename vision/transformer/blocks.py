"""The blocks that a network repeats."""

from torch import nn


def repeated_blocks(network: nn.Module) -> list[nn.Module]:
    """The outermost modules whose classes a diffusers model names, in the order of calls.

    Models name them for two purposes, in ``_no_split_modules`` or in ``_repeated_blocks`` or in both.
    """
    names: set[str] = set()
    for attribute in ("_no_split_modules", "_repeated_blocks"):
        names.update(getattr(network, attribute, None) or ())
    return _found(network, names)


def _found(module: nn.Module, names: set[str]) -> list[nn.Module]:
    blocks = []
    for child in module.children():
        blocks += [child] if type(child).__name__ in names else _found(child, names)
    return blocks
