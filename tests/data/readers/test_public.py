"""Every public layout, in every form that pickles have: the same corpus, which an archive keeps."""

import numpy as np
import pytest

from mman_jax.data.readers import npz
from mman_jax.data.readers.read import read_corpus
from mman_jax.errors import InputError
from tests.data.readers import public, public_folders
from tests.iemocap_pickle import python2_pickle


def same(one, other):
    assert one.fingerprint() == other.fingerprint()
    assert one.source_notes == other.source_notes


@pytest.mark.parametrize("name", public.PICKLES)
def test_a_pickle_of_any_protocol_is_one_corpus_and_is_kept(tmp_path, name):
    value = public.PICKLES[name]()
    first = read_corpus(public.dump(tmp_path / "x", value, 4))
    assert first.source_notes[0].startswith("read as ")
    for protocol in (0, 1, 2, 3, 5):
        same(first, read_corpus(public.dump(tmp_path / "x", value, protocol)))
    npz.write(first, tmp_path / "x.npz")
    same(first, read_corpus(tmp_path / "x.npz"))


def plain(value):
    """The same without what Python 2's writer here does not write: lists for arrays of text."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "OUS":
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(item) for item in value)
    return value


@pytest.mark.parametrize("name", ["mmsa", "mult mosi", "misa", "meld vectors", "bc-lstm"])
def test_python_2(tmp_path, name):
    value = plain(public.PICKLES[name]())
    first = read_corpus(public.dump(tmp_path / "x", value))
    lengths = {"audio_lengths", "vision_lengths"}
    if name == "mmsa":
        value = {p: {k: v for k, v in f.items() if k not in lengths} for p, f in value.items()}
        first = read_corpus(public.dump(tmp_path / "x", value))
    (tmp_path / "y").write_bytes(python2_pickle(value))
    second = read_corpus(tmp_path / "y")
    assert first.fingerprint() == second.fingerprint()


@pytest.mark.parametrize("name", public_folders.FOLDERS)
def test_a_folder_is_a_corpus_and_is_kept(tmp_path, name):
    corpus = read_corpus(public_folders.lay(tmp_path / "folder", public_folders.FOLDERS[name]()))
    npz.write(corpus, tmp_path / "x.npz")
    same(corpus, read_corpus(tmp_path / "x.npz"))


@pytest.mark.parametrize("name", public.PICKLES)
def test_truncated(tmp_path, name):
    content = public.dump(tmp_path / "x.pkl", public.PICKLES[name]()).read_bytes()
    for stop in np.linspace(1, len(content) - 1, 12, dtype=int).tolist():
        (tmp_path / "x.pkl").write_bytes(content[:stop])
        with pytest.raises(InputError, match=r"x\.pkl: [^\n]*$"):
            read_corpus(tmp_path / "x.pkl")


def test_a_modality_of_another_corpus(tmp_path):
    corpus = read_corpus(public.dump(tmp_path / "a.pkl", public.mult("raw")))
    npz.write(corpus, tmp_path / "a.npz")
    value = public.mult("raw")
    for part in value.values():
        del part["audio"], part["vision"]
    path = public.dump(tmp_path / "b.pkl", value)
    joined = read_corpus(path, join={"speech": tmp_path / "a.npz", "visual": tmp_path / "a.pkl"})
    assert list(joined.dims) == ["text", "speech", "visual"]
    for modality in corpus.dims:
        np.testing.assert_array_equal(joined.features[modality], corpus.features[modality])
    with pytest.raises(InputError, match=r"a\.npz: several modalities \(speech, visual, text\)"):
        read_corpus(path, join={"face": tmp_path / "a.npz"})


def test_ids_of_another_form_match_by_number_where_the_numbers_are_the_same(tmp_path):
    path = public.dump(tmp_path / "mmsa.pkl", public.mmsa())
    public.dump(tmp_path / "mult.pkl", public.mult("raw"))
    value = public.mmsa()
    for part in value.values():
        del part["vision"], part["vision_lengths"]
    path = public.dump(tmp_path / "mmsa.pkl", value)
    joined = read_corpus(path, join={"visual": tmp_path / "mult.pkl"})
    other = read_corpus(tmp_path / "mult.pkl")
    np.testing.assert_array_equal(joined.features["visual"], other.features["visual"])
    assert "visual: utterances of 4 conversations matched by number" in joined.source_notes
    for part in value.values():
        part["id"] = np.array([name.replace("$_$2", "$_$3") for name in part["id"]])
    public.dump(path, value)
    with pytest.raises(InputError, match="no utterance of the other"):
        read_corpus(path, join={"visual": tmp_path / "mult.pkl"})


def test_a_corpus_that_lacks_utterances_or_has_none(tmp_path):
    value = public.mult("raw")
    del value["test"]
    public.dump(tmp_path / "a.pkl", value)
    path = public.dump(tmp_path / "b.pkl", public.misa("vb"))
    with pytest.raises(InputError, match=r"a\.pkl: no utterance of the other; expected ids such"):
        read_corpus(path, join={"text": tmp_path / "a.pkl"})
    whole = public.mult("raw")
    for part in whole.values():
        del part["text"]
    path = public.dump(tmp_path / "b.pkl", whole)
    joined = read_corpus(path, join={"text": tmp_path / "a.pkl"})
    assert joined.present["text"].tolist() == [True] * 6 + [False] * 2
    assert not joined.features["text"][6:].any()
    assert "text: 2 utterances without it" in joined.source_notes


def test_another_way_of_pooling(tmp_path):
    with pytest.raises(InputError, match="pool: 'max'"):
        read_corpus(public.dump(tmp_path / "x.pkl", public.misa()), pool="max")
