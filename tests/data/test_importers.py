import os

import pytest

from mman_jax.data import importers, npz
from mman_jax.errors import InputError
from tests import iemocap_pickle
from tests.data.small import corpus
from tests.data.test_folder import layout


def test_dispatch_by_kind(tmp_path):
    npz.write(corpus(), tmp_path / "c.NPZ")
    assert importers.read_corpus(str(tmp_path / "c.NPZ")).conversation_ids == ("c0", "c1", "c2")
    iemocap_pickle.write(tmp_path / "c.pickle", dims=(1, 1, 1))
    assert len(importers.read_corpus(tmp_path / "c.pickle").lengths) == 151
    (tmp_path / "c.npz").mkdir()
    assert importers.read_corpus(layout(tmp_path / "c.npz")).conversation_ids[-1] == "t"


@pytest.mark.parametrize("path", ["", "  "])
def test_empty_path(path):
    with pytest.raises(InputError, match=r"empty path.*\.npz.*\.pkl.*folder"):
        importers.read_corpus(path)


@pytest.mark.parametrize("name", ["none.npz", "none", "no/such/folder", "a\0b", "x" * 5000])
def test_missing_path(tmp_path, name):
    with pytest.raises(InputError, match=r"\.npz.*\.pkl.*folder"):
        importers.read_corpus(os.path.join(tmp_path, name))


@pytest.mark.parametrize("name", ["c.npz", "c.pkl", "c.pickle"])
def test_empty_file(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"c\.\w+: an empty file"):
        importers.read_corpus(tmp_path / name)


@pytest.mark.parametrize("name", ["c.csv", "c", "c.npy", "c.npz.txt"])
def test_another_kind(tmp_path, name):
    (tmp_path / name).write_text("x")
    with pytest.raises(InputError, match=r"another kind.*\.npz.*\.pkl.*folder"):
        importers.read_corpus(tmp_path / name)


def test_empty_folder(tmp_path):
    with pytest.raises(InputError, match="no modality"):
        importers.read_corpus(tmp_path)


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "c.npz")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        importers.read_corpus(tmp_path / "c.npz")


@pytest.mark.parametrize(("right", "wrong"), [("c.npz", "c.pkl"), ("c.pkl", "c.npz")])
def test_a_file_under_the_other_suffix(tmp_path, right, wrong):
    if right == "c.npz":
        npz.write(corpus(), tmp_path / right)
    else:
        iemocap_pickle.write(tmp_path / right, dims=(1, 1, 1))
    (tmp_path / right).rename(tmp_path / wrong)
    with pytest.raises(InputError, match=wrong):
        importers.read_corpus(tmp_path / wrong)
