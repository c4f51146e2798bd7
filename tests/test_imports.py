"""Who may import whom, every import of every module, and that the library knows no commands."""

import ast
import graphlib
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
TOPS = ("mman_jax", "configs", "experiments", "tests")
# By package: the packages that it may import beside itself and `types`, `errors`, `version`.
LIBRARY = {
    "types": "", "errors": "", "version": "", "files": "", "layers": "",
    "data": "files", "systems": "layers", "recipe": "systems",
    "features": "files data", "evaluation": "files layers data systems",
    "training": "files layers systems evaluation",
    "inference": "files layers data systems features evaluation",
}  # fmt: skip
EXPERIMENTS = {
    "terminal": "", "report": "", "benchmark": "", "synthetic_clips": "",
    "service": "", "looking": "", "trial": "terminal report", "study": "terminal report trial",
    "commands": "terminal report benchmark synthetic_clips service looking trial study",
}  # fmt: skip
MAY = {name: {"types", "errors", "version", *more.split()} for name, more in LIBRARY.items()}
MAY |= {"mman_jax": set(LIBRARY), "configs": {"types", "errors", "systems", "recipe"}}
MAY |= {
    name: {"configs", "mman_jax", *LIBRARY, *more.split()} for name, more in EXPERIMENTS.items()
}
# What breaks the rules today. This list only gets shorter: an import that is gone has to go here.
KNOWN: set[tuple[str, str]] = set()


def package(module):
    """The part of the tree that a module belongs to: a key of `MAY`, or `tests`."""
    top, *inner = module.split(".")
    if top in ("configs", "tests") or not inner:
        return top
    if inner[0] == "results":
        return "configs"  # a recipe that a sweep wrote
    command = top == "experiments" and not (ROOT / top / inner[0]).is_dir()
    return "commands" if command else inner[0]


def imports():
    """Pairs of modules, of which the first imports the second."""
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
            for names in named:  # a submodule, or else the module that has the name
                yield from [(module, name) for name in names if name in modules][:1]


def test_rules_of_import():
    found = {pair for pair in imports() if package(pair[0]) != "tests"}
    ways = {pair: (package(pair[0]), package(pair[1])) for pair in found}
    # One command never imports another one; within any other package all may.
    allowed = {
        pair for pair, (one, other) in ways.items()
        if other in MAY[one] or one == other != "commands"
    }  # fmt: skip
    assert found - allowed - KNOWN == set()
    assert KNOWN - found == set(), "no longer imported: take these out of KNOWN"
    graph = {}
    for one, other in found - KNOWN:
        graph.setdefault(one, set()).add(other)
    graphlib.TopologicalSorter(graph).prepare()  # raises where modules import in a circle


def test_the_library_names_no_flag():
    # It has other callers than the commands, which put the name of the flag before a message.
    for path in (ROOT / "mman_jax").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not re.search(r"(?<![\w-])--[a-z]", node.value), f"{path}:{node.lineno}"
