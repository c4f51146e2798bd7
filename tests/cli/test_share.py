"""Models as folders for the hub: written, uploaded, downloaded, and refused."""

import dataclasses
import importlib
import json
import pathlib

import jax
import numpy as np
import pytest

from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from mman_jax.files.hub import snapshot
from mman_jax.trial import card, stored
from tests import hub_stub
from tests.children import mman, refused
from tests.cli.test_export import finished
from tests.inference import trained
from tests.inference.trained import corpus

pytest.importorskip("safetensors", reason="needs safetensors: pip install 'mman_jax[hub]'")
hub = pytest.importorskip(
    "huggingface_hub", reason="needs huggingface_hub: pip install 'mman_jax[hub]'"
)

STATED = card.Licences("cc-by-nc-4.0", "research only, by its authors", "free", ("en",))
FLAGS = [
    "--format=hub", "--license=cc-by-nc-4.0", "--corpus_license=research only, by its authors",
    "--features_license=free", "--languages=en",
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run, the corpus `talks.npz`, and the run's folder for the hub in `model`."""
    folder = tmp_path_factory.mktemp("hub")
    finished(folder / "run", {"auto": trained.model()})
    npz.write(corpus(), folder / "talks.npz")
    ended = mman("export", f"--checkpoint={folder / 'run'}", f"--output={folder / 'model'}", *FLAGS)
    assert ended.returncode == 0, ended.stderr
    return folder


def files(folder):
    """The files of a folder by path."""
    paths = [path for path in pathlib.Path(folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def predicted(place, output, checkpoint, *flags, **variables):
    """The answers of `mman predict` to the talks."""
    ended = mman(
        "predict", f"--checkpoint={checkpoint}", f"--input={place / 'talks.npz'}",
        f"--output={output}", *flags, **variables,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    rows = np.genfromtxt(output, delimiter=",", skip_header=1)
    return rows[:, 3:]


def test_the_card_parses_back_unchanged(place):
    text = (place / "model" / "README.md").read_text()
    read = hub.ModelCard(text)
    assert str(read) == text
    assert (read.data.license, read.data.language) == ("cc-by-nc-4.0", ["en"])
    results = json.loads((place / "run" / "results.json").read_text())
    by_key = {score.metric_type: score for score in read.data.eval_results}
    accuracy = by_key["accuracy"]
    assert accuracy.metric_value == results["test"]["accuracy"]["mean"]
    assert accuracy.metric_args["interval_95"] == results["test"]["accuracy"]["interval"]
    assert (accuracy.dataset_name, accuracy.dataset_split) == ("synthetic", "test")
    for part in ("research only, by its authors", "Article 5(1)(f)", "Limits", "en", "free"):
        assert part in read.text
    assert set(files(place / "model")) == {
        *("README.md", "config.json", "model.safetensors", "results.json"),
    }


@pytest.mark.e2e
def test_a_model_goes_to_the_hub_and_comes_back(place, tmp_path, monkeypatch):
    repositories = {}
    with hub_stub.serve(repositories) as address:
        where = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "cache"), "HF_TOKEN": "hf_x"}
        share = ["share", f"--input={place / 'model'}", "--repo=anna/mman"]
        ended = mman(*share, **where)
        assert ended.returncode == 0, ended.stderr
        assert repositories["anna/mman"] == files(place / "model")
        cached = ["predict", "--checkpoint=hf:anna/mman", f"--input={place / 'talks.npz'}"]
        cached.append(f"--output={tmp_path / 'none.csv'}")
        assert "not in the cache" in refused(*cached, **where)
        expected = predicted(place, tmp_path / "run.csv", place / "run")
        checkpoint = "hf:anna/mman@main"
        loaded = predicted(place, tmp_path / "hub.csv", checkpoint, "--download", **where)
        np.testing.assert_allclose(loaded, expected, atol=1e-6)
        repositories["anna/mman"]["model.pt"] = b"a pickle"
        assert "pickle" in refused(*cached, "--download", **where)
    constants = importlib.import_module("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache" / "hub"))
    assert files(snapshot("anna/mman", download=False)) == files(place / "model")
    line = refused(*cached[:1], "--checkpoint=hf:anna/other", *cached[2:], "--download", **where)
    assert "hf:anna/other" in line
    assert not (tmp_path / "none.csv").exists()


@pytest.mark.parametrize("flag", FLAGS[1:4])
def test_a_card_needs_all_licences(place, flag):
    statement = {"license": "model", "corpus_license": "corpus", "features_license": "features"}
    name = flag[2:].partition("=")[0]
    stated = dataclasses.replace(STATED, **{statement[name]: ""})
    models = stored.load_models(place / "run")
    with pytest.raises(InputError, match=f"^{name}"):
        card.hub_files(models, place / "run", stated)


def test_one_model_per_task(tmp_path):
    tasks = {name: trained.model(classes=("no", name)) for name in ("happy", "sad")}
    workdir, folder = finished(tmp_path / "run", tasks), tmp_path / "hub"
    for name, content in card.hub_files(list(tasks.values()), workdir, STATED).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    for before, after in zip(tasks.values(), stored.load_models(folder), strict=True):
        assert after.classes == before.classes
        jax.tree.map(np.testing.assert_array_equal, before.params, after.params)


def test_bad_folders_are_not_uploaded(place, tmp_path):
    content = files(place / "model")
    readme = content["README.md"].decode()
    for name, changed in (
        ("README.md", readme.replace("license: cc-by-nc-4.0\n", "").encode()),
        ("README.md", b"no metadata"),
        ("model.pkl", b"x"),
        ("config.json", b"{}"),
    ):
        folder = tmp_path / name / str(len(changed))
        for path, one in (content | {name: changed}).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(one)
        line = refused("share", f"--input={folder}", "--repo=anna/mman", HOME=str(tmp_path))
        assert name in line
