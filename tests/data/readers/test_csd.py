import json
import sys

import numpy as np
import pytest

from mman_jax.data.readers.read import read_corpus
from mman_jax.testing import check_reader
from tests.data.small import refuses

TIMES = np.arange(8.0).reshape(4, 2) / 2  # 0 to 0.5, 1 to 1.5, 2 to 2.5, 3 to 3.5
FRAMES = np.array([[1.0, 2], [3, 4], [5, -np.inf], [7, 8]])
LABELS = (np.array([[2.0], [-1.0]]), np.array([[2.0, 4.0], [0.0, 1.2]]))


@pytest.fixture
def write(tmp_path):
    """Writes a computational sequence: features and intervals by video."""
    h5py = pytest.importorskip("h5py", reason=".csd files need h5py: pip install 'mman_jax[csd]'")

    def write(name, root, **videos):
        with h5py.File(tmp_path / name, "w") as file:
            for key, (features, intervals) in videos.items():
                group = file.create_group(f"{root}/data/{key}")
                group.create_dataset("features", data=features, compression="gzip")
                group.create_dataset("intervals", data=intervals, compression="gzip")
            meta = file.create_group(f"{root}/metadata")
            kind = h5py.special_dtype(vlen=str)
            meta.create_dataset("root name", (1,), dtype=kind)[0] = json.dumps(root)
        return tmp_path / name

    return write


def test_videos_and_segments(write):
    corpus = read_corpus(write("x.csd", "COVAREP", va=(FRAMES, TIMES)))
    assert corpus.conversation_ids == ("va",)
    assert corpus.features["COVAREP"].tolist() == [[4, 3.5]]
    assert corpus.labels.tolist() == [-1]
    assert "full videos" in " ".join(corpus.source_notes)
    segments = {f"va[{i}]": (FRAMES[:i], TIMES[:i]) for i in (10, 2, 1)}
    path = write("y.csd", "COVAREP", **segments)
    corpus = read_corpus(path)
    assert corpus.utterance_ids == ("va[1]", "va[2]", "va[10]")
    assert corpus.features["COVAREP"][:2].tolist() == [[1, 2], [2, 3]]
    check_reader(read_corpus, [path])


def test_labels_define_segments(write, tmp_path):
    write("a.csd", "COVAREP", va=(FRAMES, TIMES), vb=(FRAMES, TIMES))
    write("b.csd", "FACET", vb=(FRAMES, TIMES))
    write("l.csd", "Opinion Segment Labels", va=LABELS, vb=LABELS)
    write("w.csd", "words", va=(np.array([[b"sp"], [b"a"], [b"b"], [b"c"]]), TIMES))
    corpus = read_corpus(tmp_path)
    assert corpus.utterance_ids == ("va[1]", "va[0]", "vb[1]", "vb[0]")  # in order of time
    assert corpus.targets["sentiment"].tolist() == [-1, 2, -1, 2]
    assert corpus.features["COVAREP"].tolist() == [[2, 3], [6, 4]] * 2
    assert corpus.present["FACET"].tolist() == [False, False, True, True]
    assert corpus.labels.tolist() == [0, 2] * 2
    assert list(corpus.dims) == ["COVAREP", "FACET"]
    assert "words: words, which are not features: left out" in corpus.source_notes
    corpus = read_corpus(tmp_path, pool=None)
    frames = corpus.sequences["COVAREP"]
    assert frames.lengths.tolist() == [2, 2, 2, 2]
    assert frames.values[:4].tolist() == [[1, 2], [3, 4], [5, 0], [7, 8]]
    assert frames.intervals[:4].tolist() == [[0, 0.5], [1, 1.5], [0, 0.5], [1, 1.5]]
    assert corpus.sequences["FACET"].lengths.tolist() == [0, 0, 2, 2]


@pytest.mark.parametrize(
    ("videos", "words"),
    [
        ({"va": (FRAMES, TIMES[:2])}, ["va: features", "(4, 2)", "intervals", "(2, 2)"]),
        ({"va": (FRAMES[None], TIMES)}, ["va: features"]),
        ({}, ["no 'data'"]),
    ],
)
def test_malformed_sequences_are_refused(write, videos, words):
    refuses(lambda: read_corpus(write("x.csd", "A", **videos)), "x.csd", *words)


def test_links_to_other_files_are_not_followed(write, tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is missing")
    write("other.csd", "A", va=(FRAMES, TIMES))
    with h5py.File(tmp_path / "x.csd", "w") as file:
        file["A"] = h5py.ExternalLink("other.csd", "/A")
    refuses(lambda: read_corpus(tmp_path / "x.csd"), "x.csd", "no 'A'")


def test_without_h5py_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "x.csd").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    refuses(lambda: read_corpus(tmp_path / "x.csd"), "pip install 'mman_jax[csd]'")
