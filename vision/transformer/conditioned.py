"""The transformer as a carrier of conditioning modules.

Legend: B batch, L tokens, D width of the model.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from diffusers.configuration_utils import FrozenDict
from torch import Tensor, nn

from vision.transformer.actions import Actions
from vision.transformer.block import TransformerBlock
from vision.transformer.conditioning import (
    MODEL_SLOTS,
    Conditioning,
    ConditionInput,
    find_conditioning,
    released_conditioning,
)
from vision.transformer.context import BlockContext, ContextHints
from vision.transformer.guide_cache import GuideCache


class ConditionedMixin:
    """Plugs conditioning modules into their slots, and asks those that stand beside the blocks.

    Attributes:
        condition_inputs: what modules share, by name.
        time_conditioning: modules of the slot ``time_embedding``, by name.
        guides: modules of the slot ``context_hints``, by name.
        hints: modules of the slot ``residual_hints`` whose weights no release names, by name.
        vace_patch_embedding: the embedding of control latents, or None.
        vace_blocks: the context blocks, or None.
    """

    condition_inputs: nn.ModuleDict
    time_conditioning: nn.ModuleDict
    guides: nn.ModuleDict
    hints: nn.ModuleDict
    vace_patch_embedding: nn.Module | None
    vace_blocks: nn.Module | None

    def _open_slots(self) -> None:
        """Empty places for modules; fields of the config that would tell of one."""
        for place in ("condition_inputs", "time_conditioning", "guides", "hints"):
            setattr(self, place, nn.ModuleDict())
        self.vace_patch_embedding = self.vace_blocks = None
        for field in ("conditioning", *(f for kind in released_conditioning().values() for f in kind.fields)):
            self.set_field(field, None)

    @property
    def conditioning_kinds(self) -> dict[str, type[Conditioning]]:
        """The classes of the conditioning modules of this model, by registered name."""
        config = cast(Any, self).config
        released = [name for name, kind in released_conditioning().items() if kind.fields[0] in config]
        return {name: find_conditioning(name) for name in [*released, *(config.get("conditioning") or {})]}

    @property
    def condition_names(self) -> set[str]:
        """Names of the further conditions that the conditioning modules of this model read."""
        return {name for kind in self.conditioning_kinds.values() for name in kind.inputs}

    def _known_conditions(self, conditions: Mapping[str, Tensor | Actions | None]) -> dict[str, Tensor]:
        if unknown := conditions.keys() - self.condition_names:
            raise ValueError(
                f"this model reads no condition called {sorted(unknown)}; "
                f"it reads {sorted(self.condition_names) or 'none'}"
            )
        known: dict[str, Tensor] = {}
        for name, value in conditions.items():
            if isinstance(value, Actions):
                streams = {"sticks": value.sticks, "buttons": value.buttons}
                if twice := [stream for stream in streams if conditions.get(stream) is not None]:
                    raise ValueError(f"{' and '.join(twice)} came beside actions, which hold them; drop one")
                known |= streams
            elif value is not None:
                known[name] = value
        return known

    def _plugged_in(self) -> Iterator[Conditioning | ConditionInput]:
        """All modules in slots and what they share, without their own parts."""
        for block in cast(Any, self).blocks:
            yield from block.conditioning.values()
        for place in (self.condition_inputs, self.time_conditioning, self.guides, self.hints):
            yield from cast(Any, place).values()
        for module in (self.vace_patch_embedding, self.vace_blocks):
            if module is not None:
                yield cast(Any, module)

    def _shared_inputs(self) -> list[ConditionInput]:
        shared = [*self.condition_inputs.values(), self.vace_patch_embedding]
        return [cast(ConditionInput, module) for module in shared if module is not None]

    def _begin_guide(
        self,
        cache: GuideCache | None,
        grid: tuple[int, int, int],
        prompt: Tensor,
        conditions: Mapping[str, Tensor],
    ) -> None:
        """Tells a cache which tensors the guiders of this pass read."""
        if cache is not None:
            kinds = [kind for kind in self.conditioning_kinds.values() if kind.slot == "context_hints"]
            cache.begin(grid, [prompt, *(conditions.get(name) for kind in kinds for name in kind.inputs)])

    def _all_hints(self, tokens: Tensor, context: BlockContext) -> list[Mapping[int, Tensor]]:
        """What is added to the token stream (B, L, D), by the number of the block before."""
        given = [cast(ContextHints | None, guide(tokens, context)) for guide in self.guides.values()]
        guided = [hints for hints in given if hints is not None]
        context = context._replace(context_hints=tuple(hints.to_context for hints in guided))
        modules = [*self.hints.values(), self.vace_blocks]
        return [
            *(hints.to_blocks for hints in guided),
            *(module(tokens, context) for module in modules if module is not None),
        ]

    def add_conditioning(self, name: str, blocks: list[int] | None = None, **options: Any) -> None:
        """Plugs a fresh conditioning module into its slot; the output stays as it is until it is trained.

        Args:
            name: the name under which its class is registered.
            blocks: numbers of the blocks that get one; None for all. Not for slots of the whole model.
            options: arguments of the class, or the fields of the config that it reads.

        Raises:
            ValueError: an unknown name, one that the model has already, or a block that does not exist.
        """
        for module in self._plug_in(name, blocks, options):
            module.start_from(cast(nn.Module, self))

    def _plug_in(self, name: str, blocks: list[int] | None, options: dict[str, Any]) -> list[Conditioning]:
        """:meth:`add_conditioning`, but nothing is taken over from the model's weights."""
        model = cast(Any, self)
        if name in self.conditioning_kinds:
            raise ValueError(f"the model has a conditioning module {name!r} already")
        kind = find_conditioning(name)
        if blocks is not None and kind.slot in MODEL_SLOTS:
            raise ValueError(f"{name!r} lives beside the blocks (slot {kind.slot}); leave out 'blocks'")
        like = model.patch_embedding.weight
        if kind.fields:
            if options.keys() != set(kind.fields):
                raise ValueError(f"{name!r} was given {sorted(options)}; it takes {', '.join(kind.fields)}")
            added = [kind(FrozenDict({**model.config, **options}))]
        elif kind.slot in MODEL_SLOTS:
            added = [kind(model.config, **options)]
        else:
            numbers = list(range(len(model.blocks)) if blocks is None else blocks)
            if missing := [number for number in numbers if not 0 <= number < len(model.blocks)]:
                raise ValueError(f"{name!r} is wanted in blocks {missing}; there are {len(model.blocks)}")
            added = [kind(model.config, **options) for _ in numbers]
            for number, module in zip(numbers, added, strict=True):
                cast(TransformerBlock, model.blocks[number]).conditioning[name] = module
        for module in added:
            module.to(like.device, like.dtype)
        if kind.attribute is not None:
            setattr(self, kind.attribute, added[0])
        elif kind.slot in MODEL_SLOTS:
            places = {
                "time_embedding": self.time_conditioning,
                "context_hints": self.guides,
                "residual_hints": self.hints,
            }
            places[kind.slot][name] = added[0]
        for field in kind.fields:
            self.set_field(field, options[field])
        if not kind.fields:
            given = options if blocks is None else {"blocks": list(blocks), **options}
            self.set_field("conditioning", {**(model.config.get("conditioning") or {}), name: given})
        self._share(kind)
        return added

    def _share(self, kind: type[Conditioning]) -> None:
        if kind.shared is None or any(isinstance(module, kind.shared) for module in self._shared_inputs()):
            return
        model = cast(Any, self)
        like = model.patch_embedding.weight
        shared = kind.shared(model.config)  # type: ignore[reportCallIssue]
        shared.to(like.device, like.dtype)
        if kind.shared.attribute is None:
            self.condition_inputs[kind.shared.name] = shared
        else:
            setattr(self, kind.shared.attribute, shared)

    def set_field(self, field: str, value: Any) -> None:
        """Sets a field of the config that says what was added to the model; None for nothing."""
        model = cast(Any, self)
        # An empty field is left out, so that diffusers' class reads the config without a warning.
        fields = {name: value for name, value in model.config.items() if name != field}
        # diffusers' from_config passes over fields that are said to be at their default.
        at_default = [name for name in fields.get("_use_default_values", []) if name != field]
        fields["_use_default_values"] = at_default
        model._internal_dict = FrozenDict({**fields, field: value} if value else fields)
