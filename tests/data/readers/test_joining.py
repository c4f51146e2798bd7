import zipfile

import numpy as np
import pytest

from mman_jax.cli import convert
from mman_jax.data.readers import joining, npz
from mman_jax.data.readers.read import read_corpus
from tests.data import small
from tests.data.readers import public
from tests.data.readers.public import dump
from tests.data.readers.public_folders import lay, npy
from tests.data.readers.test_npz import sequenced
from tests.data.small import corpus, refuses

IDS = ("c0/u0", "c0/u1", "c1/u0", "c2/u0", "c2/u1", "c2/u2")
VECTORS = {name: np.arange(4.0) + i for i, name in enumerate(IDS)}


@pytest.fixture(params=["archive", "folder"])
def write(request, tmp_path):
    """Writes arrays by id, as an archive or as a folder."""

    def write(vectors):
        if request.param == "folder":
            files = {f"{name}.npy": npy(vector) for name, vector in vectors.items()}
            return lay(tmp_path / "arrays", files)
        np.savez(tmp_path / "a.npz", **vectors)
        return tmp_path / "a.npz"

    return write


def test_arrays_by_conversation_and_utterance(write):
    more = {**VECTORS, "c9/u9": np.zeros(99), "u0": np.zeros(99)}
    joined = joining.join(corpus(), {"wav2vec": write(more)})
    assert joined.dims == {"speech": 2, "text": 3, "wav2vec": 4}
    assert joined.features["wav2vec"].dtype == np.float32
    np.testing.assert_array_equal(joined.features["wav2vec"][:, 0], np.arange(6))


def test_arrays_by_unique_utterance(write):
    vectors = {letter: np.array([i], np.float16) for i, letter in enumerate("abcdef")}
    joined = joining.join(corpus(utterance_ids=tuple("abcdef")), {"clip": write(vectors)})
    np.testing.assert_array_equal(joined.features["clip"], np.arange(6)[:, None])


def test_arrays_of_frames_are_sequences(write):
    made = corpus((2, 1), {"speech": 2})
    frames = {f"c{c}/u{u}": np.ones((n, 2)) * n for c, u, n in ((0, 0, 3), (0, 1, 1), (1, 0, 2))}
    joined = joining.join(made, {"frames": write(frames)}, None)
    assert joined.sequences["frames"].lengths.tolist() == [3, 1, 2]
    assert joined.features["frames"][:, 0].tolist() == [3, 1, 2]


def test_sequences_of_another_corpus(tmp_path):
    other = small.corpus((1, 2), conversation_ids=("c1", "c0"), sequences=sequenced().sequences)
    npz.write(other, tmp_path / "other.npz")
    made, paths = corpus((2, 1), {"speech": 2}), {"face": tmp_path / "other.npz"}
    joined = joining.join(made, paths, None, read=read_corpus)
    assert joined.sequences["face"].lengths.tolist() == [1, 2, 1]
    np.testing.assert_array_equal(joined.sequences["face"].values[:, 0], [3, 6, 9, 0])
    assert joined.sequences["face"].names is None


def test_a_manifest_may_be_joined(tmp_path):
    rows = [f"{name.replace('/', ',')},none.mp4,{'ab'[i % 2]}" for i, name in enumerate(IDS)]
    header = "conversation_id,utterance_id,path,label"
    (tmp_path / "m.csv").write_text("\n".join([header, *rows]))
    np.savez(tmp_path / "a.npz", **VECTORS)
    made = convert.read(str(tmp_path / "m.csv"), {"clip": tmp_path / "a.npz"})
    assert made.dims == {"clip": 4}
    assert made.label_names == ("a", "b")
    assert made.lengths.tolist() == [2, 1, 3]
    refuses(lambda: convert.read(str(tmp_path / "m.csv"), {}), "m.csv: a manifest of clips")


U0 = "conversation c1, utterance u0"
REFUSED = {
    "missing": ({"c2/u0": None}, ["conversation c2, utterance u0, modality clip: no array"]),
    "ambiguous": ({"c0/u0": None, "u0": np.zeros(4)}, ["utterance u0, modality clip: no array"]),
    "another size": ({"c1/u0": np.zeros(3)}, [U0, "3 features", " 4,"]),
    "frames of another size": ({"c1/u0": np.zeros((5, 3))}, [U0, "3 features", " 4,"]),
    "rank 3": ({"c1/u0": np.zeros((2, 5, 4))}, ["(2, 5, 4)", "one vector", "or frames"]),
    "no numbers": ({"c1/u0": np.array(["a"])}, ["<U1"]),
    "empty": ({"c0/u0": np.zeros(0)}, ["shape (0,)"]),
    "not finite": ({"c1/u0": np.array([0, np.inf, 0, 0])}, [U0, "inf"]),
    "objects": ({"c1/u0": np.array([None, 1])}, [U0, "unreadable"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_unsuitable_arrays_are_refused(write, name):
    changes, words = REFUSED[name]
    vectors = {k: v for k, v in {**VECTORS, **changes}.items() if v is not None}
    refuses(lambda: joining.join(corpus(), {"clip": write(vectors)}), *words)


def test_unsuitable_paths_are_refused(tmp_path):
    (tmp_path / "a.bin").touch()
    (tmp_path / "b.npz").write_bytes(b"hello")
    for name, words in (("none", "no such"), ("a.bin", ".bin"), ("b.npz", "unreadable")):
        refuses(lambda name=name: joining.join(corpus(), {"clip": tmp_path / name}), words)
    refuses(lambda: joining.join(corpus(), {"text": tmp_path}), "modality text: ", "small already")


def test_an_id_with_and_without_suffix_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, vector in VECTORS.items():
            archive.writestr(f"{name}.npy", npy(vector))
        archive.writestr("c0/u0", npy(np.ones(4)))
    refuses(lambda: joining.join(corpus(), {"clip": path}), "c0/u0: occurs twice", "'c0/u0.npy'")


def test_ids_do_not_lead_out_of_the_folder(tmp_path):
    np.save(tmp_path / "secret.npy", np.zeros(4))
    (tmp_path / "arrays").mkdir()
    made = corpus(utterance_ids=("../secret", "b", "c", "d", "e", "f"))
    refuses(lambda: joining.join(made, {"clip": tmp_path / "arrays"}), "no array")


def test_named_paths():
    assert joining.named_paths(["a=x=y", "b=z"], "--join") == {"a": "x=y", "b": "z"}
    for texts in (["a"], ["=x"], ["a="], ["a=x", "a=y"]):
        refuses(lambda texts=texts: joining.named_paths(texts, "--join"), "--join")


def without(value, *keys):
    """Parts without some arrays."""
    return {name: {k: v for k, v in part.items() if k not in keys} for name, part in value.items()}


def test_a_modality_of_another_corpus(tmp_path):
    first = read_corpus(dump(tmp_path / "a.pkl", public.mult("raw")))
    npz.write(first, tmp_path / "a.npz")
    path = dump(tmp_path / "b.pkl", without(public.mult("raw"), "audio", "vision"))
    joined = read_corpus(path, join={"speech": tmp_path / "a.npz", "visual": tmp_path / "a.pkl"})
    assert list(joined.dims) == ["text", "speech", "visual"]
    for modality in first.dims:
        np.testing.assert_array_equal(joined.features[modality], first.features[modality])
    several = "a.npz: several modalities (speech, visual, text)"
    refuses(lambda: read_corpus(path, join={"face": tmp_path / "a.npz"}), several)


def test_ids_of_another_form_match_by_number(tmp_path):
    value = without(public.mmsa(), "vision", "vision_lengths")
    path = dump(tmp_path / "mmsa.pkl", value)
    other = {"visual": dump(tmp_path / "mult.pkl", public.mult("raw"))}
    joined, expected = read_corpus(path, join=other), read_corpus(other["visual"])
    np.testing.assert_array_equal(joined.features["visual"], expected.features["visual"])
    assert "visual: utterances of 4 conversations matched by number" in joined.source_notes
    for part in value.values():
        part["id"] = np.array([name.replace("$_$2", "$_$3") for name in part["id"]])
    dump(path, value)
    refuses(lambda: read_corpus(path, join=other), "no utterance of the other")


def test_utterances_that_the_other_corpus_lacks_are_missing(tmp_path):
    value = public.mult("raw")
    del value["test"]
    other = {"text": dump(tmp_path / "a.pkl", value)}
    path = dump(tmp_path / "b.pkl", without(public.mult("raw"), "text"))
    joined = read_corpus(path, join=other)
    assert joined.present["text"].tolist() == [True] * 6 + [False] * 2
    assert not joined.features["text"][6:].any()
    assert "text: 2 utterances without it" in joined.source_notes
    path = dump(tmp_path / "b.pkl", public.misa("vb"))
    refuses(lambda: read_corpus(path, join=other), "a.pkl: no utterance of the other", "ids such")
