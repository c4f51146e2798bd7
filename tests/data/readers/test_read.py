import os

import pytest

from mman_jax.data.readers import npz
from mman_jax.data.readers.read import read_corpus
from mman_jax.testing import check_reader
from tests.data.readers import public, public_folders
from tests.data.readers.public import dump
from tests.data.readers.public_folders import lay
from tests.data.small import corpus, full, refuses


@pytest.mark.parametrize("name", public.PICKLES)
def test_readers_of_pickles_are_sound_in_any_protocol(tmp_path, name):
    value = public.PICKLES[name]()
    first = read_corpus(dump(tmp_path / "x", value, 4))
    assert first.source_notes[0].startswith("read as ")
    for protocol in (0, 1, 2, 3, 5):
        other = read_corpus(dump(tmp_path / "x", value, protocol))
        assert other.fingerprint() == first.fingerprint()
        assert other.source_notes == first.source_notes
    check_reader(read_corpus, [tmp_path / "x"])


@pytest.mark.parametrize("name", public_folders.FOLDERS)
def test_folders_are_kept_by_npz(tmp_path, name):
    first = read_corpus(lay(tmp_path / "folder", public_folders.FOLDERS[name]()))
    npz.write(first, tmp_path / "x.npz")
    other = read_corpus(tmp_path / "x.npz")
    assert (other.fingerprint(), other.source_notes) == (first.fingerprint(), first.source_notes)


def test_check_reader_accepts_npz_and_names_other_errors(tmp_path):
    npz.write(full(), tmp_path / "x.npz")
    check_reader(npz.read, [tmp_path / "x.npz"])

    def careless(path):
        return npz.read(path) if path.read_bytes()[:2] == b"PK" else 1 / 0

    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        check_reader(careless, [tmp_path / "x.npz"])


def test_content_decides_about_the_reader(tmp_path):
    npz.write(corpus(), tmp_path / "c.npz")
    (tmp_path / "c.npz").rename(tmp_path / "c.pkl")
    assert read_corpus(tmp_path / "c.pkl").conversation_ids == ("c0", "c1", "c2")
    dump(tmp_path / "c.NPZ", public.iemocap())
    assert read_corpus(str(tmp_path / "c.NPZ")).conversation_ids == public.IEMOCAP
    folder = lay(tmp_path / "c.npz", public_folders.bc_lstm())
    assert read_corpus(folder).conversation_ids[-1] == "t"


PATHS = ["none.npz", "none", "no/such/folder", "a\0b", "x" * 5000]


@pytest.mark.parametrize("name", PATHS)
def test_missing_paths_are_refused(tmp_path, name):
    refuses(lambda: read_corpus(os.path.join(tmp_path, name)), ".npz", ".pkl", "folder")


@pytest.mark.parametrize("name", ["c", "c.npy", "c.npz.txt", "c.npz", "c.pkl", "c.pickle"])
@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 50])
def test_other_files_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    refuses(lambda: read_corpus(tmp_path / name), f"{name}: ")


def test_other_paths_are_refused(tmp_path):
    for path in ("", "  "):
        refuses(lambda path=path: read_corpus(path), "empty path", ".npz", ".pkl", "folder")
    refuses(lambda: read_corpus(tmp_path), "no modality")
    os.mkfifo(tmp_path / "c.npz")
    refuses(lambda: read_corpus(tmp_path / "c.npz"), "neither a file nor a folder")
    path = dump(tmp_path / "x.pkl", public.misa())
    refuses(lambda: read_corpus(path, pool="max"), "pool: 'max'")
