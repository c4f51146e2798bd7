import json
import sys

import numpy as np
import pytest

from mman_jax.data.readers.read import read_corpus
from mman_jax.errors import InputError


def write(path, root, data):
    """A computational sequence: (features, intervals) by video."""
    h5py = pytest.importorskip("h5py", reason=".csd files need h5py: pip install 'mman_jax[csd]'")
    with h5py.File(path, "w") as file:
        for key, (features, intervals) in data.items():
            group = file.create_group(f"{root}/data/{key}")
            group.create_dataset("features", data=features, compression="gzip")
            group.create_dataset("intervals", data=intervals, compression="gzip")
        meta = file.create_group(f"{root}/metadata")
        kind = h5py.special_dtype(vlen=str)
        meta.create_dataset("root name", (1,), dtype=kind)[0] = json.dumps(root)
    return path


TIMES = np.arange(8.0).reshape(4, 2) / 2  # 0 to 0.5, 1 to 1.5, 2 to 2.5, 3 to 3.5
FRAMES = np.array([[1.0, 2], [3, 4], [5, -np.inf], [7, 8]])
LABELS = {"va": (np.array([[2.0], [-1.0]]), np.array([[2.0, 4.0], [0.0, 1.2]]))}


def test_whole_videos_and_segments(tmp_path):
    corpus = read_corpus(write(tmp_path / "x.csd", "COVAREP", {"va": (FRAMES, TIMES)}))
    assert corpus.conversation_ids == ("va",)
    assert corpus.features["COVAREP"].tolist() == [[4, 3.5]]
    assert corpus.labels.tolist() == [-1]
    assert "full videos" in " ".join(corpus.source_notes)
    data = {f"va[{i}]": (FRAMES[:i], TIMES[:i]) for i in (10, 2, 1)}
    corpus = read_corpus(write(tmp_path / "y.csd", "COVAREP", data))
    assert corpus.utterance_ids == ("va[1]", "va[2]", "va[10]")
    assert corpus.features["COVAREP"][:2].tolist() == [[1, 2], [2, 3]]


def test_labels_tell_the_segments(tmp_path):
    write(tmp_path / "a.csd", "COVAREP", {"va": (FRAMES, TIMES), "vb": (FRAMES, TIMES)})
    write(tmp_path / "l.csd", "Opinion Segment Labels", LABELS)
    words = {"va": (np.array([[b"sp"], [b"a"], [b"b"], [b"c"]]), TIMES)}
    write(tmp_path / "w.csd", "words", words)
    corpus = read_corpus(tmp_path)
    assert corpus.utterance_ids == ("va[1]", "va[0]")  # in the order of their times
    assert corpus.targets["sentiment"].tolist() == [-1, 2]
    assert corpus.features["COVAREP"].tolist() == [[2, 3], [6, 4]]
    assert corpus.labels.tolist() == [0, 2]
    assert list(corpus.dims) == ["COVAREP"]
    assert "words: words, which are no features: left out" in corpus.source_notes


def test_a_video_without_the_modality(tmp_path):
    write(tmp_path / "a.csd", "A", {"va": (FRAMES, TIMES)})
    write(tmp_path / "b.csd", "B", {"va": (FRAMES, TIMES), "vb": (FRAMES, TIMES)})
    corpus = read_corpus(tmp_path)
    assert corpus.present["A"].tolist() == [True, False]


REFUSED = {
    "lengths": ({"va": (FRAMES, TIMES[:2])}, "va: features .4, 2. and intervals .2, 2."),
    "rank": ({"va": (FRAMES[None], TIMES)}, "va: features"),
    "nothing": ({}, "no 'data'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    data, said = REFUSED[name]
    write(tmp_path / "x.csd", "A", data)
    with pytest.raises(InputError, match=rf"x\.csd.*{said}"):
        read_corpus(tmp_path / "x.csd")


def test_links_into_other_files_are_not_followed(tmp_path):
    h5py = pytest.importorskip("h5py", reason="needs h5py")
    write(tmp_path / "other.csd", "A", {"va": (FRAMES, TIMES)})
    with h5py.File(tmp_path / "x.csd", "w") as file:
        file["A"] = h5py.ExternalLink("other.csd", "/A")
    with pytest.raises(InputError, match=r"x\.csd.*no 'A'"):
        read_corpus(tmp_path / "x.csd")


def test_truncated(tmp_path):
    content = write(tmp_path / "x.csd", "A", {"va": (FRAMES, TIMES)}).read_bytes()
    for stop in (8, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "x.csd").write_bytes(content[:stop])
        with pytest.raises(InputError, match=r"x\.csd"):
            read_corpus(tmp_path / "x.csd")


def test_without_h5py_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "x.csd").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(
        InputError, match=r"h5py is missing; expected pip install 'mman_jax\[csd\]'"
    ):
        read_corpus(tmp_path / "x.csd")
