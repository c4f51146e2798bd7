"""The exported folder, as a user makes it and as programs without this package read it."""

import json
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

from configs import clstm_ef
from mman_jax.cli import export, predict
from mman_jax.data.readers import npz
from mman_jax.data.readers.read import read_corpus
from mman_jax.errors import InputError
from mman_jax.inference import weights
from mman_jax.trial import stored
from tests import children
from tests.children import ROOT, mman
from tests.inference import trained
from tests.inference.trained import corpus, rows
from tests.robustness import examples

pytest.importorskip("flatbuffers", reason="the export needs it: pip install 'mman_jax[export]'")
safetensors = pytest.importorskip(
    "safetensors.numpy", reason="the export needs safetensors: pip install 'mman_jax[export]'"
)


def finished(workdir, models):
    """The folder of a run, as far as the commands need it."""
    one, many = (json.loads(files["results.json"]) for files in examples.runs())
    results = one | {"protocol": "auto"}
    if len(models) > 1:
        results = many | {"tasks": dict.fromkeys(models, examples.scores())}
    for task, model in models.items():
        model.save(workdir / "model" / task)
    (workdir / "results.json").write_text(json.dumps(results))
    return workdir


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run, the corpus `talks.npz`, and the run's export in `model`."""
    folder = tmp_path_factory.mktemp("export")
    finished(folder / "run", {"auto": trained.model()})
    npz.write(corpus(), folder / "talks.npz")
    ended = mman("export", f"--checkpoint={folder / 'run'}", f"--output={folder / 'model'}")
    assert ended.returncode == 0, ended.stderr
    assert "8 files" in ended.stdout
    return folder


READER_TEST = """
import sys
given = np.load("packed.npz")
features, present = (
    {m: given[f"{kind}/{m}"] for m in card["modalities"]} for kind in ("features", "present")
)
gathered, turns = np.asarray(conversation(features, present)), []
states = np.repeat(np.load("model/state.npy")[None], len(gathered), 0)
for u in range(gathered.shape[1]):
    now = [{m: x[:, u] for m, x in both.items()} for both in (features, present)]
    states, answers = step(states, *now)
    turns.append(answers)
np.savez("answers.npz", gathered=gathered, turns=np.stack(turns, 1))
assert not {"flax", "mman_jax", "orbax", "safetensors"} & set(sys.modules), sys.modules.keys()
"""


def test_the_reader_of_the_page_needs_jax_alone(place):
    page = (ROOT / "docs/export.md").read_text()
    lines = re.search(r"<!-- reader -->\n```python\n(.*?)```", page, re.DOTALL)[1]
    assert len(lines.strip().splitlines()) <= 12
    talks = read_corpus(str(place / "talks.npz"))
    features, present, cells = rows(talks)
    arrays = {f"features/{m}": x for m, x in features.items()}
    np.savez(place / "packed.npz", **arrays, **{f"present/{m}": p for m, p in present.items()})
    ended = subprocess.run(
        [sys.executable, "-c", lines + READER_TEST], cwd=place, env=children.environment(),
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    _, expected, _ = predict.answer(stored.load_models(place / "run"), talks)
    with np.load(place / "answers.npz") as answers:
        for name in ("gathered", "turns"):
            np.testing.assert_allclose(answers[name][cells], expected, atol=2e-6)


def test_card(place):
    card = json.loads((place / "model" / "card.json").read_text())
    assert card["classes"] == list(trained.CLASSES)
    assert card["modalities"] == trained.DIMS
    scaling = trained.model().scaling
    for name, arrays in (("mean", scaling.mean), ("scale", scaling.scale)):
        for modality, values in arrays.items():
            np.testing.assert_array_equal(np.float32(card["scaling"][name][modality]), values)
    assert card["scores"]["auto"]["test"]["accuracy"] == examples.scores()["test"]["accuracy"]
    assert any("synthetic" in limit for limit in card["limits"])
    assert len(card["licences"]) == 2  # of the weights, and of features of unknown origin
    sizes = {name: (place / "model" / name).stat().st_size for name in card["files"]}
    assert sizes == card["files"]
    files = {path for path in (place / "model").rglob("*") if path.is_file()}
    assert files == {place / "model" / name for name in (*sizes, "card.json")}


def test_weights_are_exported_bit_by_bit_and_may_be_edited(place, tmp_path):
    path = place / "model" / "weights.safetensors"
    before, after = stored.load_models(place / "run"), stored.load_models(place / "run", str(path))
    jax.tree.map(np.testing.assert_array_equal, before[0].params, after[0].params)
    edited = safetensors.load_file(path)
    edited["fusion/logits/bias"] += np.float32([0, 0, 50])
    safetensors.save_file(edited, tmp_path / "edited.safetensors")
    flags = [f"--checkpoint={place / 'run'}", f"--input={place / 'talks.npz'}"]
    flags += [f"--output={tmp_path / 'a.csv'}", f"--weights={tmp_path / 'edited.safetensors'}"]
    ended = mman("predict", *flags)
    assert ended.returncode == 0, ended.stderr
    lines = (tmp_path / "a.csv").read_text().splitlines()[1:]
    assert {line.split(",")[2] for line in lines} == {trained.CLASSES[2]}
    for content, found in (
        (b"junk", "unreadable"),
        (safetensors.save({"a": np.zeros(1)}), "tensor fusion/logits/bias: missing"),
    ):
        (tmp_path / "w.safetensors").write_bytes(content)
        with pytest.raises(InputError, match=rf"w\.safetensors.*{found}"):
            stored.load_models(place / "run", str(tmp_path / "w.safetensors"))


def test_one_model_per_task(tmp_path):
    # A seed that failed in one task does not prevent the export.
    models = [
        trained.model(clstm_ef, seeds, ("no", name), first_seed=seeds)
        for seeds, name in ((1, "happy"), (2, "sad"))
    ]
    tasks = dict(zip(("happy", "sad"), models, strict=True))
    for task, model in tasks.items():
        model.card["task"] = task
    workdir, path = finished(tmp_path / "run", tasks), tmp_path / "w.safetensors"
    path.write_bytes(weights.pack(models))
    loaded = stored.load_models(workdir, str(path))
    for before, after in zip(models, loaded, strict=True):
        jax.tree.map(np.testing.assert_array_equal, before.params, after.params)
    safetensors.save_file(safetensors.load_file(path) | {"more": np.zeros(1)}, path)
    with pytest.raises(InputError, match="tensor more: unexpected; expected happy/, sad/"):
        stored.load_models(workdir, str(path))
    card = export.describe(models, workdir, replaced=True)
    assert card["classes"] == ["happy", "sad"]
    assert card["networks"] == {"happy": 1, "sad": 2}
    assert card["scores"] is None
    names = ("network.py", *(f"{x}.safetensors" for x in ("happy/weights_0", "sad/weights_0",
                                                          "sad/weights_1")))  # fmt: skip
    files = {name for name in export.contents(models, card) if name.startswith("torch/")}
    assert files == {f"torch/{name}" for name in names}


def test_folders_are_written_as_a_whole_and_only_where_nothing_is(tmp_path, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("")
    for folder in (tmp_path / "full", tmp_path / "full" / "mine"):
        with pytest.raises(InputError, match="not an empty"):
            export.write(folder, {"a": b""})

    def fail(*_):
        raise OSError(28, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "write_bytes", fail)
        with pytest.raises(InputError, match="no space left"):
            export.write(tmp_path / "new", {"a": b""})
    assert not (tmp_path / "new").exists()
    export.write(tmp_path / "new", {"a/b": b"1"})  # despite the remains of the failed one
    assert (tmp_path / "new" / "a" / "b").read_bytes() == b"1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "new"]


@pytest.mark.parametrize("name", ["safetensors", "flatbuffers"])
def test_missing_libraries_are_named_with_their_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"{name}.numpy", raising=False)
    with pytest.raises(InputError, match=rf"{name} is missing; expected .*\[export\]"):
        export.contents([], {})
