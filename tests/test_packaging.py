"""The wheel, built and used without a checkout, and the versions that it requires."""

import configparser
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import Parser

import pytest

from mman_jax import __version__
from tests import children

ROOT = pathlib.Path(__file__).parent.parent
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
FOLDERS = ("mman_jax", "configs", "experiments")
FILES = ("README.md", "LICENSE", "setup.cfg", "pyproject.toml")
ABOUT = f"mman_jax-{__version__}.dist-info/"


def run(*command, cwd, **more):
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, **more)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A source distribution, the wheel built from it, and a wheel built from the checkout."""
    pytest.importorskip("build", reason="the package build is not installed")
    folder = tmp_path_factory.mktemp("built")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / "tree" / name, symlinks=True)
    for name in FILES:
        shutil.copy(ROOT / name, folder / "tree" / name)
    build = (sys.executable, "-m", "build", "--no-isolation")
    run(*build, "--outdir", folder / "through", cwd=folder / "tree")
    run(*build, "--wheel", "--outdir", folder / "direct", cwd=folder / "tree")
    (source,) = (folder / "through").glob("*.tar.gz")
    (through,) = (folder / "through").glob("*.whl")
    (direct,) = (folder / "direct").glob("*.whl")
    return source, through, direct


def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.e2e
def test_the_wheel_contains_only_the_library(built):
    *_, wheel = built
    library = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "mman_jax").rglob("*")
        if path.suffix in (".py", ".css", ".js") or path.name == "py.typed"
    }
    library |= {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "mman_jax/recording/text_model").iterdir()
    }
    library |= {f"mman_jax/{path.relative_to(ROOT)}" for path in (ROOT / "configs").rglob("*.py")}
    assert "mman_jax/py.typed" in library
    assert {name for name in contents(wheel) if not name.startswith(ABOUT)} == library
    assert ABOUT + "licenses/LICENSE" in contents(wheel)


@pytest.mark.e2e
def test_the_source_distribution_builds_the_same_wheel(built):
    source, through, direct = built
    assert contents(through) == contents(direct)
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names.issuperset(FILES)


@pytest.mark.e2e
def test_the_metadata_agree_with_the_checkout(built):
    *_, wheel = built
    about = Parser().parsestr(contents(wheel)[ABOUT + "METADATA"].decode())
    assert about["Version"] == __version__
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest.group(1) == __version__
    assert set(about.get_all("Provides-Extra")) == set(SETUP["options.extras_require"])
    assert (about["License-Expression"] or about["License"]) == "Apache-2.0"


@pytest.mark.e2e
def test_the_example_of_arrays_runs_from_the_wheel(built, tmp_path):
    *_, wheel = built
    page = (ROOT / "docs/arrays.md").read_text()
    block = re.search(r"<!-- library -->\n```python\n(.*?)```", page, re.DOTALL).group(1)
    assert block.count("\n") < 30
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=tmp_path)
    python = venv / "bin/python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=tmp_path)
    # This environment provides the dependencies. Its .pth files are not read, so that an editable
    # installation of the checkout is not seen.
    where = run(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=tmp_path)
    paths = dict.fromkeys(sysconfig.get_paths()[kind] for kind in ("purelib", "platlib"))
    dependencies = pathlib.Path(where.strip(), "dependencies.pth")
    dependencies.write_text("".join(f"{path}\n" for path in paths))
    script = tmp_path / "block.py"
    script.write_text(block + "print(mj.__file__)\n")
    environment = {k: v for k, v in children.environment().items() if not k.startswith("PYTHON")}
    # A notebook may have set these for its own code.
    environment |= {"JAX_ENABLE_X64": "1", "JAX_NUMPY_RANK_PROMOTION": "raise"}
    environment |= {"JAX_NUMPY_DTYPE_PROMOTION": "strict"}
    printed = run(python, "-W", "error", script, cwd=tmp_path, env=environment).splitlines()
    scores, *predictions, used = printed
    assert scores.startswith("test accuracy")
    assert min(map(float, re.findall(r"\d\.\d+", scores))) > 0.6  # chance is 0.5
    assert all(re.match(r"(calm|angry) \{'calm': ", line) for line in predictions)
    assert len(predictions) == 2
    assert pathlib.Path(used).is_relative_to(venv)


def versions(lines, between):
    """Minimum versions, as three numbers, by package."""
    named = (line.partition(between) for line in lines if between in line)
    return {
        name.strip(): tuple(map(int, [*version.split(",")[0].strip().split("."), 0, 0][:3]))
        for name, _, version in named
    }


def test_ci_installs_the_minimum_versions_of_setup_cfg():
    required = versions(SETUP["options"]["install_requires"].splitlines(), ">=")
    extra = versions(SETUP["options.extras_require"]["test"].splitlines(), ">=")
    required |= {name: extra[name] for name in ("pytest", "hypothesis", "pytest-xdist")}
    assert versions((ROOT / ".ci/floors.txt").read_text().splitlines(), "==") == required
