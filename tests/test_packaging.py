"""The wheel, built and used as somebody would who has no checkout."""

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

pytest.importorskip("build", reason="the package build is not installed")

ROOT = pathlib.Path(__file__).parent.parent
COPIED = (
    "mman_jax",
    "configs",
    "experiments",
    "README.md",
    "LICENSE",
    "setup.cfg",
    "pyproject.toml",
)
LONGEST = 30


def run(*command, cwd, **more):
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, **more)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A source distribution, the wheel made from it, and one made from the checkout."""
    where = tmp_path_factory.mktemp("built")
    tree = where / "tree"
    tree.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, symlinks=True)
        else:
            shutil.copy(ROOT / name, tree / name)
    build = (sys.executable, "-m", "build", "--no-isolation")
    run(*build, "--outdir", where / "through", cwd=tree)
    run(*build, "--wheel", "--outdir", where / "direct", cwd=tree)
    (source,) = (where / "through").glob("*.tar.gz")
    (through,) = (where / "through").glob("*.whl")
    (direct,) = (where / "direct").glob("*.whl")
    return source, through, direct


def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_carries_the_library_alone(built):
    *_, wheel = built
    library = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "mman_jax").rglob("*")
        if path.suffix in (".py", ".css", ".js") or path.name == "py.typed"
    }
    library |= {f"mman_jax/{path.relative_to(ROOT)}" for path in (ROOT / "configs").rglob("*.py")}
    assert "mman_jax/py.typed" in library
    about = f"mman_jax-{__version__}.dist-info/"
    assert {name for name in contents(wheel) if not name.startswith(about)} == library
    assert about + "licenses/LICENSE" in contents(wheel)


def test_the_source_distribution_builds_the_same_wheel(built):
    source, through, direct = built
    assert contents(through) == contents(direct)
    with tarfile.open(source) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.cfg", "pyproject.toml", "README.md", "LICENSE"} <= inside


def test_the_metadata_agree_with_the_checkout(built):
    *_, wheel = built
    about = Parser().parsestr(
        contents(wheel)[f"mman_jax-{__version__}.dist-info/METADATA"].decode()
    )
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert about["Version"] == __version__
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest.group(1) == __version__
    assert set(about.get_all("Provides-Extra")) == set(setup["options.extras_require"])
    assert (about["License-Expression"] or about["License"]) == "Apache-2.0"


def test_the_readme_s_block_runs_from_the_wheel_outside_the_checkout(built, tmp_path):
    *_, wheel = built
    readme = (ROOT / "README.md").read_text()
    block = re.search(r"<!-- library -->\n```python\n(.*?)```", readme, re.DOTALL).group(1)
    assert block.count("\n") < LONGEST
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=tmp_path)
    python = venv / "bin/python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=tmp_path)
    # What the library depends on is lent by this environment. Its .pth files count for nothing
    # there, so that an editable install of the checkout is not seen.
    site = pathlib.Path(run(python, "-c", "import site; print(site.getsitepackages()[0])",
                            cwd=tmp_path).strip())  # fmt: skip
    paths = dict.fromkeys(sysconfig.get_paths()[kind] for kind in ("purelib", "platlib"))
    (site / "lent.pth").write_text("".join(f"{path}\n" for path in paths))
    script = tmp_path / "block.py"
    script.write_text(block + "print(mj.__file__)\n")
    environment = children.environment()
    environment = {k: v for k, v in environment.items() if not k.startswith("PYTHON")}
    # A notebook may have set these for its own code.
    environment |= {"JAX_ENABLE_X64": "1", "JAX_NUMPY_RANK_PROMOTION": "raise"}
    environment |= {"JAX_NUMPY_DTYPE_PROMOTION": "strict"}
    printed = run(python, "-W", "error", script, cwd=tmp_path, env=environment).splitlines()
    scores, *answers, used = printed
    assert scores.startswith("test accuracy")
    assert min(map(float, re.findall(r"\d\.\d+", scores))) > 0.6  # a coin gets a half
    assert all(re.match(r"(calm|angry) \{'calm': ", answer) for answer in answers)
    assert len(answers) == 2
    assert pathlib.Path(used).is_relative_to(venv)
