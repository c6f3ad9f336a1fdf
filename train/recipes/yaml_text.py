"""YAML as recipes are written in: the scalars of YAML 1.2, each key once, every value with its line.

PyYAML follows YAML 1.1, where ``no`` is false, ``1e-4`` is text, ``010`` is eight and ``12:30`` is 750. Here
only ``true`` and ``false`` are booleans, numbers are decimal, and everything else is text.
"""

import re
from typing import Any, ClassVar

import yaml

_TAG = "tag:yaml.org,2002:"
# By name of the tag: what the whole scalar matches, and the characters that it can begin with.
_SCALARS = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+(_[0-9]+)*", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: ClassVar[dict] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        # An alias may hold itself, and a value that stands in two places has no one line.
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.MarkedYAMLError(
                problem=f"recipes have no aliases (*{event.anchor}); write the value again",
                problem_mark=event.start_mark,
            )
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """Quotes a text that either reading, 1.1 or 1.2, would take for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: Any) -> yaml.Node:
        # Unicode's other line breaks are escaped in double quotes alone.
        return self.represent_scalar(_TAG + "str", data, style=None if data.isprintable() else '"')

    def represent_list(self, data: Any) -> yaml.Node:
        numbers = all(isinstance(item, (int, float)) for item in data)
        return self.represent_sequence(_TAG + "seq", data, flow_style=numbers)


for _name, (_pattern, _first) in _SCALARS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern})\Z"), _first)
_Dumper.add_representer(str, _Dumper.represent_str)
_Dumper.add_representer(list, _Dumper.represent_list)


def read_yaml(text: str) -> tuple[Any, dict[tuple[Any, ...], int]]:
    """Reads one document.

    Returns:
        the value, and the line (from 1) of each key and list item by its path.

    Raises:
        yaml.YAMLError: not YAML, a key given twice, a tag or a key that recipes do not have.
    """
    node = yaml.compose(text, _Loader)
    lines: dict[tuple[Any, ...], int] = {}
    return (None if node is None else _value(node, (), lines)), lines


def write_yaml(value: Any) -> str:
    """YAML of mappings, lists and plain values, which :func:`read_yaml` and YAML 1.1 read back alike."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _value(node: yaml.Node, path: tuple[Any, ...], lines: dict[tuple[Any, ...], int]) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    _require(node.tag in (_TAG + "map", _TAG + "seq"), f"recipes have no {node.tag}", node)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*path, index)] = item.start_mark.line + 1
        return [_value(item, (*path, index), lines) for index, item in enumerate(node.value)]
    result: dict[str, Any] = {}
    for key_node, item in node.value:
        _require(key_node.tag == _TAG + "str", "a key must be text", key_node)
        key = key_node.value
        inner = (*path, key)
        first = lines.get(inner)
        _require(
            first is None,
            f"the key {'.'.join(map(str, inner))} is given twice, first in line {first}",
            key_node,
        )
        lines[inner] = key_node.start_mark.line + 1
        result[key] = _value(item, inner, lines)
    return result


def _scalar(node: yaml.ScalarNode) -> Any:
    name = node.tag.rpartition(":")[2]
    if name == "str":
        return node.value
    _require(
        name in _SCALARS and re.fullmatch(_SCALARS[name][0], node.value) is not None,
        f"{node.value!r} does not fit the tag {node.tag}",
        node,
    )
    if name == "float":
        return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return {"null": lambda _: None, "bool": lambda text: text.lower() == "true", "int": int}[name](node.value)


def _require(condition: bool, text: str, node: yaml.Node) -> None:
    if not condition:
        raise yaml.MarkedYAMLError(problem=text, problem_mark=node.start_mark)
