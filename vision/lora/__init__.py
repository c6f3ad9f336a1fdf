"""LoRA on any network: plain, or with gates and a search for its places.

>>> from vision.lora import discover, inject, search
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vision.lora.adapters import add_lora as add_lora
    from vision.lora.adapters import load_lora as load_lora
    from vision.lora.adapters import save_lora as save_lora
    from vision.lora.adapters import set_adapters as set_adapters
    from vision.lora.bilevel import search as search
    from vision.lora.bilevel_search import BilevelSearch as BilevelSearch
    from vision.lora.candidate import Candidate as Candidate
    from vision.lora.discovery import discover as discover
    from vision.lora.gated_loading import load_gated as load_gated
    from vision.lora.gated_lora import GatedLora as GatedLora
    from vision.lora.gated_lora import inject as inject
    from vision.lora.halves import on_halves as on_halves
    from vision.lora.halves import split_halves as split_halves
    from vision.lora.hypergradients import hypergradient as hypergradient
    from vision.lora.search_report import SearchReport as SearchReport
    from vision.lora.selection import Selection as Selection

# No submodule has the name of a function here: once imported it would stand in its place.
_LAZY = {
    "BilevelSearch": "bilevel_search",
    "Candidate": "candidate",
    "GatedLora": "gated_lora",
    "SearchReport": "search_report",
    "Selection": "selection",
    "add_lora": "adapters",
    "discover": "discovery",
    "hypergradient": "hypergradients",
    "inject": "gated_lora",
    "load_gated": "gated_loading",
    "load_lora": "adapters",
    "on_halves": "halves",
    "save_lora": "adapters",
    "search": "bilevel",
    "set_adapters": "adapters",
    "split_halves": "halves",
}
__all__ = [*_LAZY]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(import_module(f"vision.lora.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'vision.lora' has no attribute {name!r}; it offers {sorted(__all__)}")
