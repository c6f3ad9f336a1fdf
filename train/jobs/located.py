"""Where the parts of a model are that a recipe names."""

from pathlib import Path
from typing import Any


def located(source: str) -> tuple[str, dict[str, Any]]:
    """Where a part is: a folder, or a hub id with the folder of the part in it, as diffusers is told."""
    owner, _, rest = source.partition("/")
    name, _, subfolder = rest.partition("/")
    if Path(source).exists() or not subfolder or source.startswith(("/", ".", "~")):
        return source, {}
    return f"{owner}/{name}", {"subfolder": subfolder}
