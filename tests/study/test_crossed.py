"""One system across corpora: trained once on each, and scored as a trial on the other would be."""

import json
import pathlib

import numpy as np
import pytest

from mman_jax.cli.terminal.screen import Screen
from mman_jax.errors import InputError
from mman_jax.report import comparison, html, markdown
from mman_jax.study import crossed
from mman_jax.trial import runner
from tests.trial import test_tested
from tests.trial.test_tested import folder  # noqa: F401  # a fixture

LABELS = "joy=happy"


def recipe(**data):
    config = test_tested.recipe(pathlib.Path("nowhere"))
    config.data.update({"path": None, "label_map": LABELS} | data)
    return config


def run(config, paths, workdir):
    return crossed.run(config, paths, workdir, Screen(quiet=True), command="again")


@pytest.mark.e2e
def test_every_cell_is_what_a_trial_gives(folder, tmp_path):  # noqa: F811
    paths = [folder / "own.npz", folder / "other.npz"]
    found = run(recipe(scale="each"), paths, tmp_path)
    cells = {(cell["trained"], cell["tested"]): cell["test"] for cell in found["cells"]}
    assert len(cells) == len(found["cells"]) == 4
    stored = json.loads((tmp_path / "trained" / "own" / "results.json").read_text())
    assert cells["own", "own"] == stored["test"]
    config = test_tested.recipe(folder, "other.npz", label_map=LABELS, scale="each")
    trial = runner.run(config, tmp_path / "trial", Screen(quiet=True))
    # A cell has the scores of predictions alone: no calibration, no intervals.
    trial["test"].pop("calibration")
    for score in trial["test"].values():
        if isinstance(score, dict):
            score.pop("interval", None)
    assert cells["own", "other"] == trial["test"]
    assert np.sum(cells["other", "own"]["confusion"]) == np.sum(stored["test"]["confusion"])
    document = comparison.cross_document(found)
    told = markdown.render(document)
    assert "| trained on | tested on own | tested on other |" in told
    assert "joy=happy" in told
    assert "again" in html.render(document)
    # Nothing is trained again.
    before = (tmp_path / "trained" / "own" / "results.json").stat().st_mtime_ns
    assert run(recipe(), paths, tmp_path)["cells"][0] == found["cells"][0]
    assert (tmp_path / "trained" / "own" / "results.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("names", "data", "said"),
    [
        (["own"], {}, "1 of them"),
        (["own", "own"], {}, "twice"),
        (["own", "other"], {"label_map": None}, "not in the training corpus"),
        (["own", "other"], {"label_map": "joy=happy,jo="}, "'jo'"),
        (["own", "other"], {"path": "x.npz"}, "together with several corpora"),
        (["own", "other"], {"scale": "both"}, "expected one of each"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_crossed_is_refused(folder, names, data, said, tmp_path):  # noqa: F811
    paths = [folder / f"{name}.npz" for name in names]
    with pytest.raises(InputError, match=said):
        run(recipe(**data), paths, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_corpora_of_one_name_get_folders_of_their_own(folder, tmp_path):  # noqa: F811
    (tmp_path / "own.npz").write_bytes((folder / "own.npz").read_bytes())
    each = crossed._configs(recipe(label_map=None), [folder / "own.npz", tmp_path / "own.npz"])
    assert sorted(each) == sorted(f"{path.name}_own" for path in (folder, tmp_path))
