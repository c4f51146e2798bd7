import zipfile

import numpy as np
import pytest

from mman_jax.cli import convert
from mman_jax.data.readers import joining, npz
from mman_jax.errors import InputError
from tests.data.small import corpus

IDS = ("c0/u0", "c0/u1", "c1/u0", "c2/u0", "c2/u1", "c2/u2")
VECTORS = {name: np.arange(4.0) + i for i, name in enumerate(IDS)}


def archive(path, vectors):
    np.savez(path, **vectors)
    return path


def folder(path, vectors):
    for name, vector in vectors.items():
        target = path / f"{name}.npy"
        target.parent.mkdir(parents=True, exist_ok=True)
        np.save(target, vector)
    return path


@pytest.mark.parametrize(("write", "name"), [(archive, "a.npz"), (folder, "arrays")])
def test_by_conversation_and_utterance(tmp_path, write, name):
    more = {**VECTORS, "c9/u9": np.zeros(99), "u0": np.zeros(99)}
    joined = joining.join(corpus(), {"wav2vec": write(tmp_path / name, more)})
    assert joined.dims == {"speech": 2, "text": 3, "wav2vec": 4}
    assert joined.features["wav2vec"].dtype == np.float32
    np.testing.assert_array_equal(joined.features["wav2vec"][:, 0], np.arange(6))


@pytest.mark.parametrize(("write", "name"), [(archive, "a.npz"), (folder, "arrays")])
def test_by_utterance_alone_where_unique(tmp_path, write, name):
    ids = tuple("abcdef")
    vectors = {letter: np.array([i], np.float16) for i, letter in enumerate(ids)}
    joined = joining.join(corpus(utterance_ids=ids), {"clip": write(tmp_path / name, vectors)})
    np.testing.assert_array_equal(joined.features["clip"], np.arange(6)[:, None])


def test_a_manifest_is_joined_to(tmp_path):
    rows = ["conversation_id,utterance_id,path,label"]
    rows += [f"{name.replace('/', ',')},none.mp4,{'ab'[i % 2]}" for i, name in enumerate(IDS)]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    archive(tmp_path / "a.npz", VECTORS)
    made = convert.read(str(tmp_path / "m.csv"), {"clip": tmp_path / "a.npz"})
    assert made.dims == {"clip": 4}
    assert made.label_names == ("a", "b")
    assert made.lengths.tolist() == [2, 1, 3]
    npz.write(made, tmp_path / "c.npz")
    np.testing.assert_array_equal(npz.read(tmp_path / "c.npz").features["clip"][:, 0], np.arange(6))
    with pytest.raises(InputError, match=r"m\.csv: a manifest, which holds no features.*--join"):
        convert.read(str(tmp_path / "m.csv"), {})


REFUSED = {
    "missing": ({"c2/u0": None}, "conversation c2, utterance u0, modality clip: no array"),
    "ambiguous": ({"c0/u0": None, "u0": np.zeros(4)}, "utterance u0, modality clip: no array"),
    "another size": ({"c1/u0": np.zeros(3)}, r"conversation c1, utterance u0.*3 features.* 4,"),
    "frames of another size": ({"c1/u0": np.zeros((5, 3))}, r"c1, utterance u0.*3 features.* 4,"),
    "rank 3": ({"c1/u0": np.zeros((2, 5, 4))}, r"\(2, 5, 4\); expected one vector.*or frames"),
    "no numbers": ({"c1/u0": np.array(["a"])}, "<U1"),
    "empty": ({"c0/u0": np.zeros(0)}, r"shape \(0,\)"),
    "not finite": ({"c1/u0": np.array([0, np.inf, 0, 0])}, "conversation c1, utterance u0.*inf"),
    "objects": ({"c1/u0": np.array([None, 1])}, "conversation c1, utterance u0.*unreadable"),
}


@pytest.mark.parametrize(("write", "where"), [(archive, "a.npz"), (folder, "arrays")])
@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, write, where, name):
    changes, said = REFUSED[name]
    vectors = {k: v for k, v in {**VECTORS, **changes}.items() if v is not None}
    with pytest.raises(InputError, match=said):
        joining.join(corpus(), {"clip": write(tmp_path / where, vectors)})


def test_places_refused(tmp_path):
    (tmp_path / "a.bin").touch()
    (tmp_path / "b.npz").write_bytes(b"hello")
    for path, said in (("none", "no such"), ("a.bin", r"\.bin"), ("b.npz", "unreadable")):
        with pytest.raises(InputError, match=said):
            joining.join(corpus(), {"clip": tmp_path / path})
    with pytest.raises(InputError, match="modality text: a modality of small already"):
        joining.join(corpus(), {"text": archive(tmp_path / "c.npz", VECTORS)})


def test_an_archive_that_holds_an_id_with_and_without_its_suffix_is_refused(tmp_path):
    path = archive(tmp_path / "a.npz", {**VECTORS, "c0/u0.npy": np.ones(4)})
    with zipfile.ZipFile(path) as made:
        contents = {name: made.read(name) for name in made.namelist()}
    contents["c0/u0"] = contents.pop("c0/u0.npy.npy")
    with zipfile.ZipFile(path, "w") as made:
        for name, content in contents.items():
            made.writestr(name, content)
    with pytest.raises(InputError, match=r"c0/u0: occurs twice, as 'c0/u0' and as 'c0/u0\.npy'"):
        joining.join(corpus(), {"clip": path})


def test_an_id_does_not_lead_out_of_the_folder(tmp_path):
    np.save(tmp_path / "secret.npy", np.zeros(4))
    (tmp_path / "arrays").mkdir()
    ids = ("../secret", "b", "c", "d", "e", "f")
    with pytest.raises(InputError, match="no array"):
        joining.join(corpus(utterance_ids=ids), {"clip": tmp_path / "arrays"})


def test_named_paths():
    assert joining.named_paths(["a=x=y", "b=z"], "--join") == {"a": "x=y", "b": "z"}
    for texts in (["a"], ["=x"], ["a="], ["a=x", "a=y"]):
        with pytest.raises(InputError, match="--join"):
            joining.named_paths(texts, "--join")
