"""The walls of the house: who may import whom, and what an import may cost."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SYSTEMS = ("distill", "world", "tryon", "dehaze")
SHARED = ("flow", "transformer", "lora", "media", "latents", "text", "metrics")
HEAVY = ("torch", "diffusers", "transformers")


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import; the house writes full names"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


SOURCES = [
    path for package in ("vision", "train", "infer") for path in sorted((ROOT / package).rglob("*.py"))
]


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_a_room_imports_only_what_it_may(path: Path):
    parts = path.relative_to(ROOT).parts
    for name in imports(path):
        top, _, rest = name.partition(".")
        room = rest.split(".")[0]
        if parts[0] == "vision":
            assert top not in ("train", "infer"), f"the library imports {name}"
            if parts[1] in SHARED:
                assert not (top == "vision" and room in SYSTEMS), f"{parts[1]} imports {name}"
            if parts[1] in SYSTEMS:
                assert not (top == "vision" and room in SYSTEMS and room != parts[1]), f"imports {name}"
        assert not (parts[0] == "train" and top == "infer"), f"training imports {name}"
        assert not (parts[0] == "infer" and top == "train"), f"inference imports {name}"


def entry_points() -> list[str]:
    return [module_name(path) for path in SOURCES if '__name__ == "__main__"' in path.read_text()]


@pytest.mark.parametrize("module", entry_points())
def test_help_answers_without_heavy_imports(module: str):
    """The house promises ``--help`` within two seconds; what would cost that is the heavy imports."""
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['{module}', '--help']\n"
        "try:\n"
        f"    runpy.run_module('{module}', run_name='__main__')\n"
        "except SystemExit as stop:\n"
        "    assert stop.code in (0, None), stop.code\n"
        f"heavy = [name for name in {HEAVY} if name in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower()


def test_importing_the_library_is_free():
    code = f"import sys, vision; assert not [n for n in {HEAVY} if n in sys.modules]; vision.__all__"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
