"""The slots through which further conditions enter the transformer.

A conditioning module is a class registered under a name. The config of a model that carries it lists the
name with its options, so that saving and loading know of it; what the module reads is passed to the
model's forward by keyword and reaches it in ``context.conditions``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal, TypeVar

from torch import nn

Slot = Literal["after_self_attention", "in_cross_attention", "after_cross_attention", "residual_hints"]


class Conditioning(nn.Module, ABC):
    """A module of one slot. Fresh, it leaves the output of the model as it is, bit for bit.

    A subclass is built as ``cls(config, **options)`` with the config of the model, once for each of its
    blocks (once in all in the slot ``residual_hints``). Its forward is, by slot (B batch, L tokens,
    D width, H heads, E width of a head):

    - ``after_self_attention``, ``after_cross_attention``: ``forward(hidden_states, context)`` takes the
      token stream (B, L, D) and returns it with the condition worked in;
    - ``in_cross_attention``: ``forward(attended, query, context)`` takes the attended values and the
      queries, both (B, L, H, E), and returns the attended values with the condition worked in, before
      the output projection;
    - ``residual_hints``: ``forward(hidden_states, context)`` takes the embedded tokens before the first
      block and returns hints (B, L, D) by the number of the block after which each is added.

    ``context`` is a :class:`~vision.transformer.context.BlockContext`.

    Attributes:
        slot: where the module is called.
        inputs: the names that it reads from ``context.conditions``. A name that the caller left out is
            absent there; a module that lacks all of its inputs changes nothing.
    """

    slot: ClassVar[Slot]
    inputs: ClassVar[tuple[str, ...]]

    @abstractmethod
    def reset_parameters(self) -> None:
        """Makes the module fresh again."""


_REGISTERED: dict[str, type[Conditioning]] = {}
_Class = TypeVar("_Class", bound=type[Conditioning])


def register_conditioning(name: str) -> Callable[[_Class], _Class]:
    """Class decorator: makes a conditioning module known under ``name``, which configs use."""

    def register(cls: _Class) -> _Class:
        _REGISTERED[name] = cls
        return cls

    return register


def find_conditioning(name: str) -> type[Conditioning]:
    """The class registered under ``name``.

    Raises:
        ValueError: there is none.
    """
    if name not in _REGISTERED:
        raise ValueError(
            f"no conditioning module is registered as {name!r}; known: {sorted(_REGISTERED) or 'none'}. "
            "Import the module that defines it first"
        )
    return _REGISTERED[name]
