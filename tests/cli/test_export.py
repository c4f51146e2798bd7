"""The exported folder, as a user makes it and as somebody without this package reads it."""

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
from tests.children import ROOT, run
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
    ended = run(
        "experiments.export", f"--checkpoint={folder / 'run'}", f"--output={folder / 'model'}"
    )
    assert ended.returncode == 0, ended.stderr
    assert "8 files" in ended.stdout
    return folder


def reader():
    """The lines of docs/export.md."""
    text = (ROOT / "docs/export.md").read_text()
    return re.search(r"<!-- reader -->\n```python\n(.*?)```", text, re.DOTALL)[1]


def test_the_readers_lines_of_the_page_need_jax_alone(place):
    features, present, cells = rows(read_corpus(str(place / "talks.npz")))
    arrays = {f"features/{m}": x for m, x in features.items()}
    np.savez(place / "laid.npz", **arrays, **{f"present/{m}": p for m, p in present.items()})
    lines = reader()
    assert len(lines.strip().splitlines()) <= 12
    script = f"""
{lines}
import sys
given = np.load("laid.npz")
features, present = (
    {{m: given[f"{{kind}}/{{m}}"] for m in card["modalities"]}} for kind in ("features", "present")
)
whole, turns = np.asarray(conversation(features, present)), []
states = np.repeat(np.load("model/state.npy")[None], len(whole), 0)
for u in range(whole.shape[1]):
    now = [{{m: x[:, u] for m, x in both.items()}} for both in (features, present)]
    states, found = step(states, *now)
    turns.append(found)
np.savez("answers.npz", whole=whole, turns=np.stack(turns, 1))
assert not {{"flax", "mman_jax", "orbax", "safetensors"}} & set(sys.modules), sys.modules.keys()
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=place,
        env=children.environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    models = stored.load_models(place / "run")
    _, expected, _ = predict.answer(models, read_corpus(str(place / "talks.npz")))
    with np.load(place / "answers.npz") as found:
        np.testing.assert_allclose(found["whole"][cells], expected, atol=2e-6)
        np.testing.assert_allclose(found["turns"][cells], expected, atol=2e-6)


def test_the_card_tells_what_it_is(place):
    card = json.loads((place / "model" / "card.json").read_text())
    assert card["classes"] == list(trained.CLASSES)
    assert card["modalities"] == trained.DIMS
    scaling = trained.model().scaling
    for name, of in (("mean", scaling.mean), ("scale", scaling.scale)):
        for modality, values in of.items():
            back = np.array(card["scaling"][name][modality], np.float32)
            np.testing.assert_array_equal(back, values)
    assert card["scores"]["auto"]["test"]["accuracy"] == examples.scores()["test"]["accuracy"]
    assert any("synthetic" in limit for limit in card["limits"])
    assert len(card["licences"]) == 2  # of the weights, and of features of unknown origin
    sizes = {name: (place / "model" / name).stat().st_size for name in card["files"]}
    assert sizes == card["files"]
    found = {p for p in (place / "model").rglob("*") if p.is_file()}
    assert found == {place / "model" / name for name in (*sizes, "card.json")}


def test_weights_go_out_and_come_back_bit_by_bit(place):
    path = str(place / "model" / "weights.safetensors")
    before, after = stored.load_models(place / "run"), stored.load_models(place / "run", path)
    jax.tree.map(np.testing.assert_array_equal, before[0].params, after[0].params)


def test_predict_answers_with_edited_weights(place):
    edited = safetensors.load_file(place / "model" / "weights.safetensors")
    edited["fusion/logits/bias"] += np.float32([0, 0, 50])
    safetensors.save_file(edited, place / "edited.safetensors")
    flags = [f"--checkpoint={place / 'run'}", f"--input={place / 'talks.npz'}"]
    flags += [f"--output={place / 'a.csv'}", f"--weights={place / 'edited.safetensors'}"]
    ended = run("experiments.predict", *flags)
    assert ended.returncode == 0, ended.stderr
    lines = (place / "a.csv").read_text().splitlines()[1:]
    assert {line.split(",")[2] for line in lines} == {trained.CLASSES[2]}


def test_weights_that_do_not_fit_are_named(place, tmp_path):
    path = tmp_path / "w.safetensors"
    for content, said in (
        (b"junk", "unreadable"),
        (safetensors.save({"a": np.zeros(1)}), "tensor fusion/logits/bias: missing"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=said) as error:
            stored.load_models(place / "run", str(path))
        assert str(path) in str(error.value)


def test_one_model_a_task(tmp_path):
    # A seed that failed in one task is no reason to refuse the other.
    models = [
        trained.model(clstm_ef, seeds, ("no", name), first_seed=seeds)
        for seeds, name in ((1, "happy"), (2, "sad"))
    ]
    tasks = dict(zip(("happy", "sad"), models, strict=True))
    for task, model in tasks.items():
        model.card["task"] = task
    workdir = finished(tmp_path / "run", tasks)
    (tmp_path / "w.safetensors").write_bytes(weights.pack(models))
    back = stored.load_models(workdir, str(tmp_path / "w.safetensors"))
    for before, after in zip(models, back, strict=True):
        jax.tree.map(np.testing.assert_array_equal, before.params, after.params)
    named = safetensors.load_file(tmp_path / "w.safetensors")
    safetensors.save_file(named | {"more": np.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="tensor more: unexpected; expected happy/, sad/"):
        stored.load_models(workdir, str(tmp_path / "w.safetensors"))
    card = export.describe(models, workdir, replaced=True)
    made = export.contents(models, card)
    assert card["classes"] == ["happy", "sad"]
    assert card["networks"] == {"happy": 1, "sad": 2}
    assert card["scores"] is None
    assert {name for name in made if name.startswith("torch/")} == {
        "torch/network.py",
        "torch/happy/weights_0.safetensors",
        "torch/sad/weights_0.safetensors",
        "torch/sad/weights_1.safetensors",
    }


def test_a_folder_is_written_whole_and_only_where_nothing_is(tmp_path, monkeypatch):
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
    export.write(tmp_path / "new", {"a/b": b"1"})  # what was left of the failed one is no trouble
    assert (tmp_path / "new" / "a" / "b").read_bytes() == b"1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "new"]


@pytest.mark.parametrize("name", ["safetensors", "flatbuffers"])
def test_a_missing_library_is_named_with_its_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"{name}.numpy", raising=False)
    with pytest.raises(
        InputError, match=rf"exporting: {name} is missing; expected pip.*\[export\]"
    ):
        export.contents([], {})
