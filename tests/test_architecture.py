"""The house: every import goes down the list of rooms, none in a circle, lazy ones counted."""

from __future__ import annotations

import ast
import functools
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
# From the ground up: a room may use those before it.
ROOMS = ("common", "pose", "diffusion", "training", "networks", "data", "models", "evaluation",
         "inference", "tasks", "studies", "weights", "cli", "experiments")
# setup.cfg maps these folders of the root into the package.
MAPPED = ("data", "experiments")
LONGEST = 13
# The command line loads the presets, which stand above it, when it is told their names.
LAZY_UP = {("cli", "experiments")}


@functools.cache
def files() -> dict[str, pathlib.Path]:
    """Every module of the package by its name."""
    places = [(ROOT / "repose_jax", "repose_jax")] + [
        (ROOT / name, f"repose_jax.{name}") for name in MAPPED]
    found = {}
    for folder, name in places:
        for path in folder.rglob("*.py"):
            below = path.relative_to(folder).with_suffix("").parts
            found[".".join([name, *(p for p in below if p != "__init__")])] = path
    return found


@functools.cache
def imports() -> dict[str, set[str]]:
    """The modules of the package that each imports anywhere in its file; types alone do not count."""
    found = {}
    for name, path in files().items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                node.body = []
        named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import)
                 for alias in node.names}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                named |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        used = {n for n in named if n in files() and n != name}
        # `from package.module import x` names the package's module, not its __init__ beside it.
        found[name] = {n for n in used if not any(o.startswith(f"{n}.") for o in used)}
    return found


def room(name: str) -> str:
    return (name.split(".") + ["", ""])[1]


def chain(name: str, above: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The longest chain of imports that begins at a module; AssertionError for a circle."""
    assert name not in above, f"a circle: {' -> '.join([*above[above.index(name):], name])}"
    return _chain(name) if name in _DONE else _DONE.setdefault(name, max(
        ((name, *chain(other, (*above, name))) for other in sorted(imports()[name])),
        key=len, default=(name,)))


_DONE: dict[str, tuple[str, ...]] = {}


def _chain(name: str) -> tuple[str, ...]:
    return _DONE[name]


def test_rooms_are_those_of_the_plan():
    found = {room(name) for name in files()} - {""}
    assert found == set(ROOMS) and len(found) <= 14


def test_no_arrow_goes_up():
    up = [f"{name} -> {other}" for name, others in imports().items() if room(name)
          for other in others if room(other)
          and ROOMS.index(room(name)) < ROOMS.index(room(other))
          and (room(name), room(other)) not in LAZY_UP]
    assert not up, "\n".join(up)


def test_no_circle_and_no_long_chain():
    longest = max((chain(name) for name in files()), key=len)
    arrows = {(room(a), room(b)) for a, others in imports().items() for b in others
              if room(a) != room(b)}
    print(f"{len(set(map(room, files()))) - 1} rooms, {len(arrows)} arrows between them, "
          f"{len(files())} files, longest chain {len(longest)}: {' -> '.join(longest)}")
    assert len(longest) <= LONGEST, "\n".join(longest)


def test_one_version_everywhere():
    import repose_jax
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {repose_jax.__version__}\n" in changes
    assert changes.index("## ") == changes.index(f"## {repose_jax.__version__}\n")
    assert f"\nversion: {repose_jax.__version__}\n" in (ROOT / "CITATION.cff").read_text(
        encoding="utf-8")


def test_the_page_of_the_interface_has_what_is_exported():
    import repose_jax
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    shown = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert shown == [name for name in repose_jax.__all__ if name != "__version__"], (
        "python -m repose_jax.experiments.api_page > docs/api.md")
    assert all(getattr(repose_jax, name).__doc__ for name in shown)


def test_importing_the_package_is_quick():
    code = "import sys, repose_jax; assert 'jax' not in sys.modules; repose_jax.UserError"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT.parent)
