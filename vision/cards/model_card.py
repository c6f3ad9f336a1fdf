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


def write_model_card(
    folder: str | Path, facts: Mapping[str, Any], task: str | None = "text-to-image"
) -> Path:
    """Writes ``README.md`` into a model's folder, with the header that the hub reads.

    Args:
        folder: the model's folder; it must exist.
        facts: :data:`REQUIRED` and whatever else is worth a section. A mapping becomes a table, one of
            mappings a table with their keys as its head, a list becomes points; ``configuration`` is shown
            as YAML and ``call`` as Python.
        task: what the hub files the model under; None where it has no name for it.

    Returns:
        The card's path.

    Raises:
        ValueError: facts are missing or empty.
    """
    missing = [f"{name} ({what})" for name, what in REQUIRED.items() if facts.get(name) in (None, "", {}, [])]
    if missing:
        raise ValueError(f"the model card lacks {', '.join(missing)}; give every fact a reader needs")
    header = {"license": facts["license"], "library_name": "diffusers"}
    if task is not None:
        header["pipeline_tag"] = task
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
    if isinstance(value, Mapping) and all(isinstance(entry, Mapping) for entry in value.values()):
        columns = list(dict.fromkeys(column for entry in value.values() for column in entry))
        rows = [[name, *(entry.get(column, "") for column in columns)] for name, entry in value.items()]
        lines = [["", *columns], ["---"] * (len(columns) + 1), *rows]
        return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)
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
