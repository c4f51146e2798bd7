"""Imports between packages, and names of flags in the library."""

import ast
import graphlib
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
TOPS = ("mman_jax", "configs", "experiments", "tests")
# The packages that each part may import besides itself and `types`, `errors`, `version`.
BELOW = {
    "types": "", "errors": "", "version": "", "files": "", "layers": "",
    "data": "files", "tasks": "files data", "systems": "layers",
    "report": "files data tasks systems evaluation",
    "configs": "systems trial",
    "features": "files data", "evaluation": "files layers data tasks systems",
    "training": "files layers tasks systems evaluation",
    "inference": "files layers data tasks systems features evaluation",
    "trial": "files data tasks systems features evaluation training inference report",
    "study": "configs files data tasks systems features evaluation training inference report trial",
    "recording": "files data features evaluation inference",
    "service": "files data features inference",
    "demo": "files data features",
}  # fmt: skip
MAY = {name: {"types", "errors", "version", *more.split()} for name, more in BELOW.items()}
MAY |= {"mman_jax": set(BELOW), "cli": {"mman_jax", *BELOW}}
MAY |= {"experiments": {"mman_jax", "cli", "experiments", *BELOW}}
MAY |= {"testing": set(BELOW)}  # no other part may import it
GIT_FLAGS = ("--always", "--dirty")


def package(module):
    """The package of a module: a key of `MAY`, or `tests`."""
    top, *inner = module.split(".")
    if top in ("configs", "tests", "experiments") or not inner:
        return "configs" if "results" in inner else top  # a recipe written by a sweep
    return inner[0]


def imports():
    """Pairs of modules of which the first imports the second."""
    files = [path.relative_to(ROOT) for top in TOPS for path in (ROOT / top).rglob("*.py")]
    modules = {
        ".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in files
    }
    for module, path in modules.items():
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named = [(alias.name,) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{path}: a relative import, which this test does not follow"
                named = [(f"{node.module}.{alias.name}", node.module) for alias in node.names]
            else:
                continue
            for names in named:  # a submodule, otherwise the module with that name
                names = [re.sub(r"^mman_jax\.configs", "configs", name) for name in names]
                yield from [(module, name) for name in names if name in modules][:1]


def test_rules_of_import():
    found = {pair for pair in imports() if package(pair[0]) != "tests"}
    allowed = {(one, other) for one, other in found if is_allowed(one, other)}
    assert found - allowed == set()
    graph = {}
    for one, other in found:
        graph.setdefault(one, set()).add(other)
    graphlib.TopologicalSorter(graph).prepare()  # raises if imports are circular


def is_allowed(importer, imported):
    """Whether a module may import another; commands must not import each other."""
    one, other = package(importer), package(imported)
    if one == other == "cli":
        return ".terminal" in imported or imported == "mman_jax.cli"
    return one == other or other in MAY[one]


def test_only_commands_name_flags():
    # The library also has other callers; a command adds the flag to a message.
    for path in (ROOT / "mman_jax").rglob("*.py"):
        if path.relative_to(ROOT / "mman_jax").parts[0] in ("cli", "configs"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                flag = re.search(r"(?<![\w-])--[a-z]", node.value)
                assert not flag or node.value in GIT_FLAGS, f"{path}:{node.lineno}"
