import os

import pytest

from mman_jax.data.readers import npz, read
from mman_jax.errors import InputError
from tests import iemocap_pickle
from tests.data.readers.test_bc_lstm import layout
from tests.data.small import corpus


def test_dispatch_by_kind(tmp_path):
    npz.write(corpus(), tmp_path / "c.NPZ")
    assert read.read_corpus(str(tmp_path / "c.NPZ")).conversation_ids == ("c0", "c1", "c2")
    iemocap_pickle.write(tmp_path / "c.pickle", dims=(1, 1, 1))
    assert len(read.read_corpus(tmp_path / "c.pickle").lengths) == 151
    (tmp_path / "c.npz").mkdir()
    assert read.read_corpus(layout(tmp_path / "c.npz")).conversation_ids[-1] == "t"


@pytest.mark.parametrize("path", ["", "  "])
def test_empty_path(path):
    with pytest.raises(InputError, match=r"empty path.*\.npz.*\.pkl.*folder"):
        read.read_corpus(path)


@pytest.mark.parametrize("name", ["none.npz", "none", "no/such/folder", "a\0b", "x" * 5000])
def test_missing_path(tmp_path, name):
    with pytest.raises(InputError, match=r"\.npz.*\.pkl.*folder"):
        read.read_corpus(os.path.join(tmp_path, name))


@pytest.mark.parametrize("name", ["c.npz", "c.pkl", "c.pickle"])
def test_empty_file(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"c\.\w+: an empty file"):
        read.read_corpus(tmp_path / name)


@pytest.mark.parametrize("name", ["c", "c.npy", "c.npz.txt"])
def test_another_kind(tmp_path, name):
    (tmp_path / name).write_text("x")
    with pytest.raises(InputError, match=r"another kind.*\.npz.*\.pkl.*folder"):
        read.read_corpus(tmp_path / name)


def test_empty_folder(tmp_path):
    with pytest.raises(InputError, match="no modality"):
        read.read_corpus(tmp_path)


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "c.npz")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        read.read_corpus(tmp_path / "c.npz")


def test_a_file_is_told_by_its_content_whatever_its_name(tmp_path):
    npz.write(corpus(), tmp_path / "right.npz")
    (tmp_path / "right.npz").rename(tmp_path / "c.pkl")
    assert read.read_corpus(tmp_path / "c.pkl").conversation_ids == ("c0", "c1", "c2")
    iemocap_pickle.write(tmp_path / "c.npz", dims=(1, 1, 1))
    assert len(read.read_corpus(tmp_path / "c.npz").lengths) == 151


@pytest.mark.parametrize("name", ["c.npz", "c.pkl"])
def test_bytes_of_no_kind_are_refused_by_whoever_reads_the_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"\0" * 50)
    with pytest.raises(InputError, match=name + ".*(archive|pickle)"):
        read.read_corpus(tmp_path / name)
