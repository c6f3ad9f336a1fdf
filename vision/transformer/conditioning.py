"""The slots through which further conditions enter the transformer.

A conditioning module is a class registered under a name. The config of a model that carries it lists the
name with its options, so that saving and loading know of it; what the module reads is passed to the
model's forward by keyword and reaches it in ``context.conditions``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

from torch import Tensor, nn

if TYPE_CHECKING:
    from vision.transformer.cache import KVCache

Slot = Literal[
    "time_embedding",
    "after_self_attention",
    "in_cross_attention",
    "after_cross_attention",
    "context_hints",
    "residual_hints",
]
#: Slots of the model as a whole; the others are of each block.
MODEL_SLOTS = ("time_embedding", "context_hints", "residual_hints")


class ConditionInput(nn.Module, ABC):
    """What conditioning modules share: it works on their inputs once a pass, before the blocks.

    A subclass is built as ``cls(config)`` with the config of the model, once for all modules that name it.
    Its forward returns further conditions by name (B batch, L tokens, D width).

    Attributes:
        name: by which the model holds it.
        attribute: name of the model's attribute that is this module, where a release names its weights;
            None for ``condition_inputs.<name>``.
    """

    name: ClassVar[str]
    attribute: ClassVar[str | None] = None

    @abstractmethod
    def reset_parameters(self) -> None:
        """Makes the module fresh again."""

    @abstractmethod
    def forward(
        self,
        conditions: Mapping[str, Tensor],
        tokens: Tensor,
        grid: tuple[int, int, int],
        cache: "KVCache | None",
        with_past: bool = False,
    ) -> dict[str, Tensor]:
        """Further conditions for the modules, by name.

        Args:
            conditions: what the caller gave.
            tokens: embedded, shape (B, L, D).
            grid: token counts in time, rows and columns.
            cache: of a stream; it knows the number of the first frame.
            with_past: the tokens are those of the grid twice, of a clean video and of a noisy one.
        """


class Conditioning(nn.Module, ABC):
    """A module of one slot. Fresh, it leaves the output of the model as it is, bit for bit.

    A subclass is built as ``cls(config, **options)`` with the config of the model, once for each of its
    blocks (once in all in the slots of :data:`MODEL_SLOTS`). Its forward is, by slot (B batch, L tokens,
    D width, H heads, E width of a head, G groups of tokens that share a timestep):

    - ``time_embedding``: ``forward(embedding, conditions)`` takes the embedding of the time (B, G, D) and
      the conditions by name, and returns the embedding with the condition worked in;
    - ``after_self_attention``, ``after_cross_attention``: ``forward(hidden_states, context)`` takes the
      token stream (B, L, D) and returns it with the condition worked in;
    - ``in_cross_attention``: ``forward(attended, query, context)`` takes the attended values and the
      queries, both (B, L, H, E), and returns the attended values with the condition worked in, before
      the output projection;
    - ``context_hints``: ``forward(hidden_states, context)`` takes the embedded tokens before the first block
      and returns :class:`~vision.transformer.context.ContextHints` for the context blocks, or None;
    - ``residual_hints``: ``forward(hidden_states, context)`` takes the embedded tokens before the first
      block and returns hints (B, L, D) by the number of the block after which each is added.

    ``context`` is a :class:`~vision.transformer.context.BlockContext`. In a causal model a module that looks
    across frames keeps to ``context.frame_mask``, and in a stream finds earlier frames in ``context.cache``.

    Attributes:
        slot: where the module is called.
        inputs: the names that it reads from ``context.conditions``. A name that the caller left out is
            absent there; a module that lacks all of its inputs changes nothing.
        shared: class that works on these inputs first, or None.
        attribute: name of the model's attribute that is this module, where a release names its weights;
            None for the place of its slot. Only in the slots of :data:`MODEL_SLOTS`.
        fields: options that a release keeps as fields of the model's config, under these names. The first
            tells whether a model has the module; the class finds them in the config.
    """

    slot: ClassVar[Slot]
    inputs: ClassVar[tuple[str, ...]]
    shared: ClassVar[type[ConditionInput] | None] = None
    attribute: ClassVar[str | None] = None
    fields: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def reset_parameters(self) -> None:
        """Makes the module fresh again."""

    def start_from(self, model: nn.Module) -> None:
        """Takes over weights of the model that it is added to, and stays fresh in the sense above."""


_REGISTERED: dict[str, type[Conditioning]] = {}
_Class = TypeVar("_Class", bound=type[Conditioning])


def register_conditioning(name: str) -> Callable[[_Class], _Class]:
    """Class decorator: makes a conditioning module known under ``name``, which configs use."""

    def register(cls: _Class) -> _Class:
        _REGISTERED[name] = cls
        return cls

    return register


def released_conditioning() -> dict[str, type[Conditioning]]:
    """The registered classes whose options are fields of the config, by name."""
    return {name: kind for name, kind in _REGISTERED.items() if kind.fields}


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
