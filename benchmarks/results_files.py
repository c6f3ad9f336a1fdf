"""What a comparison leaves in its folder: results.md, results.json, and pictures."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write_results(
    out: Path, lines: Sequence[str], summaries: Sequence[Any], measures: Mapping[str, Any]
) -> str:
    """Writes results.md and results.json.

    Args:
        out: their folder.
        lines: of the page.
        summaries: what a model card says of each row.
        measures: label and runs of each row and reference, by name.

    Returns:
        The page.
    """
    text = "\n".join([*lines, ""])
    (out / "results.md").write_text(text, encoding="utf-8")
    plain = {"rows": summaries, "measures": measures}
    (out / "results.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    return text


def strip_line(strip: Path | None, name: str, words: str, out: Path) -> list[str]:
    """The line that shows a strip, which is copied beside the page; none where there is no strip.

    Args:
        strip: the picture.
        name: of the row; letters and digits of it name the copy.
        words: what is seen.
        out: folder of the page.
    """
    if strip is None or not strip.is_file():
        return []
    copied = f"strip-{re.sub('[^A-Za-z0-9]+', '-', name)}.png"
    shutil.copyfile(strip, out / copied)
    return [f"![{words}]({copied})"]
