"""README.md of a released model: what it is, how it was made, how good it is, how it is called."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

#: Facts that every card has, with the question that each answers.
REQUIRED = {
    "title": "what the model is",
    "summary": "one or two sentences for a reader who has never heard of it",
    "call": "Python code that draws a picture with it",
    "data": "what it was trained on, and where that comes from",
    "configuration": "the resolved recipe, or the options that differ from the defaults",
    "seed": "seed of the run",
    "code_version": "version or commit of the code that made it",
    "quality": "measured figures by name, with how they were measured",
    "license": "identifier of its licence, such as apache-2.0",
}


def write_model_card(folder: str | Path, facts: Mapping[str, Any]) -> Path:
    """Writes ``README.md`` into a model's folder, with the header that the hub reads.

    Args:
        folder: the model's folder; it must exist.
        facts: :data:`REQUIRED` and whatever else is worth a section. A mapping becomes a table, a list
            becomes points; ``configuration`` is shown as YAML and ``call`` as Python.

    Returns:
        The card's path.

    Raises:
        ValueError: facts are missing or empty.
    """
    missing = [f"{name} ({what})" for name, what in REQUIRED.items() if facts.get(name) in (None, "", {}, [])]
    if missing:
        raise ValueError(f"the model card lacks {', '.join(missing)}; give every fact a reader needs")
    header = {"license": facts["license"], "library_name": "diffusers", "pipeline_tag": "text-to-image"}
    parts = [
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---",
        f"# {facts['title']}",
        str(facts["summary"]).strip(),
        f"## Use\n\n```python\n{str(facts['call']).strip()}\n```",
        f"## Quality\n\n{_body(facts['quality'])}",
        f"## Data\n\n{_body(facts['data'])}",
    ]
    extra = [name for name in facts if name not in REQUIRED]
    parts += [f"## {name.replace('_', ' ').capitalize()}\n\n{_body(facts[name])}" for name in extra]
    configuration = yaml.safe_dump(_plain(facts["configuration"]), sort_keys=False, allow_unicode=True)
    parts.append(
        f"## How it was made\n\nSeed {facts['seed']}, code {facts['code_version']}.\n\n"
        f"```yaml\n{configuration}```"
    )
    path = Path(folder) / "README.md"
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def _body(value: Any) -> str:
    if isinstance(value, Mapping):
        rows = [f"| {_cell(name)} | {_cell(entry)} |" for name, entry in value.items()]
        return "\n".join(["| | |", "|---|---|", *rows])
    if isinstance(value, list | tuple):
        return "\n".join(f"- {entry}" for entry in value)
    return str(value).strip()


def _cell(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _plain(value: Any) -> Any:
    """The value in types that YAML has: tuples as lists, paths as text."""
    return json.loads(json.dumps(value, default=str))
