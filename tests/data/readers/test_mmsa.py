import tracemalloc

import numpy as np
import pytest

from mman_jax.data.readers.read import read_corpus
from tests.data.readers import public
from tests.data.readers.public import change, dump
from tests.data.small import refuses


def read(tmp_path, value, pool="mean"):
    return read_corpus(dump(tmp_path / "x.pkl", value), pool=pool)


# In the file, the clips of each video are in reverse order.
IDS = ("va$_$1", "va$_$2", "vb$_$1", "vb$_$2", "vc$_$1", "vc$_$2", "vd$_$1", "vd$_$2")
ROWS = (1, 0, 3, 2, 1, 0, 1, 0)  # of each part's arrays


def means(steps):
    """The means of the first column, whose frames are 10 n + 1 to 10 n + size."""
    sizes = [1 + n % (steps - 1) for n in ROWS]
    return [10 * n + (size + 1) / 2 for n, size in zip(ROWS, sizes, strict=True)]


def test_order_labels_and_means_by_hand(tmp_path):
    corpus = read(tmp_path, public.mmsa())
    assert corpus.utterance_ids == IDS
    assert corpus.conversation_ids == ("va", "vb", "vc", "vd")
    assert corpus.split == ("train", "train", "valid", "test")
    assert corpus.dims == {"speech": 2, "visual": 3, "text": 4}
    assert corpus.label_names == ("Negative", "Neutral", "Positive")
    assert corpus.labels.tolist() == [0, 1, 1, 2, 0, 1, 0, 1]
    assert corpus.targets["sentiment"].tolist() == [-1.5, 0, 0, 2, -1.5, 0, -1.5, 0]
    for modality, steps in (("speech", 6), ("visual", 4), ("text", 5)):
        np.testing.assert_allclose(corpus.features[modality][:, 0], means(steps))
    part = read(tmp_path, public.mmsa()["train"])
    assert (part.split, len(part.labels)) == (None, 4)


@pytest.mark.parametrize(
    "ids",
    [
        list,
        lambda names: np.array(names, object),
        lambda names: [name.encode() for name in names],
        lambda names: np.array(names, "S"),
    ],
)
def test_ids_of_any_type(tmp_path, ids):
    assert read(tmp_path, public.mmsa(ids=ids)).utterance_ids == IDS


@pytest.mark.parametrize(("side", "residue"), [("back", 1), ("front", -2)])
def test_padding_on_either_side_is_cut_by_length(tmp_path, side, residue):
    value = public.mmsa(front=side == "front")
    for part in value.values():
        part["vision"][0, residue] = 99.0  # row 0 has one frame
    corpus = read(tmp_path, value)
    np.testing.assert_allclose(corpus.features["visual"][:, 0], means(4))
    note = f"visual: mean of the frames; padding in {side} by vision_lengths"
    assert note in corpus.source_notes


def test_aligned_modalities_have_the_mask_s_length(tmp_path):
    value = public.mmsa(aligned=True)
    value["train"]["audio"][3, 1] = 0  # a frame of zeros inside the mask counts
    corpus = read(tmp_path, value)
    # Utterance 3 of train has frames 31 to 34, of which 32 is 0.
    assert corpus.features["speech"][2, 0] == (31 + 33 + 34) / 4
    assert corpus.features["text"][2, 0] == 32.5
    assert "mask of text_bert" in " ".join(corpus.source_notes)


def test_values_that_are_not_finite_and_utterances_without_frames(tmp_path):
    value = public.mmsa()
    value["test"]["audio"][1, :2, 0] = -np.inf, np.nan
    value["valid"]["audio_lengths"][0] = 0
    corpus = read(tmp_path, value)
    assert corpus.features["speech"][6, 0] == 0
    assert "speech: 2 values are NaN or infinite, replaced by 0" in corpus.source_notes
    assert corpus.present["speech"].tolist() == [True] * 5 + [False, True, True]
    assert "visual" not in corpus.present


def test_ratings_by_modality_and_files_with_fewer_keys(tmp_path):
    ratings = ["sentiment", "sentiment_text", "sentiment_audio", "sentiment_vision"]
    assert list(read(tmp_path, public.mmsa(sims=True)).targets) == ratings
    value = public.mmsa() | {"config": {"audio": {"tool": "librosa"}}}
    for part in ("train", "valid", "test"):
        for key in ("vision", "vision_lengths", "annotations", "text"):
            del value[part][key]
    corpus = read(tmp_path, value)
    assert list(corpus.dims) == ["speech"]
    assert corpus.label_names == ("negative", "neutral", "positive")
    assert corpus.labels.tolist() == [0, 1, 1, 2, 0, 1, 0, 1]
    for part in ("train", "valid", "test"):
        del value[part]["regression_labels"]
    assert read(tmp_path, value).label_names == ("0", "1", "2")


def test_a_video_in_two_parts_is_two_conversations(tmp_path):
    corpus = read(tmp_path, change("test", "id", np.array(["va$_$3", "vd$_$1"]))(public.mmsa()))
    assert corpus.conversation_ids == ("va:train", "vb", "vc", "va:test", "vd")
    assert corpus.split[3] == "test"


def test_other_ways_of_pooling(tmp_path):
    both = read(tmp_path, public.mmsa(), pool="mean_std")
    assert both.dims == {"speech": 4, "visual": 6, "text": 8}
    last = read(tmp_path, public.mmsa(), pool="last")
    np.testing.assert_array_equal(last.features["speech"][:, 0], [10 * n + 1 + n % 5 for n in ROWS])


def test_annotations_that_differ_from_the_sign_are_reported(tmp_path):
    value = public.mmsa()
    value["train"]["annotations"][1] = "Positive"
    corpus = read(tmp_path, value)
    assert corpus.labels[0] == 2
    assert "labels: annotations, which differ from the sign for 1" in corpus.source_notes


REFUSED = {
    "no ids": (change("valid", "id", None), ["valid", "no key 'id'"]),
    "an id": (change("valid", "id", ["vc$_$2", "vc"]), ["valid: id: row 1", "'vc'", "$_$"]),
    "an id of numbers": (change("valid", "id", [1.5, 2.5]), ["valid: id: row 0", "float"]),
    "ids": (change("valid", "id", ["vc$_$2"]), ["valid: id", "1 values", "2"]),
    "an id twice": (change("valid", "id", ["vc$_$2"] * 2), ["vc$_$2", "twice"]),
    "a part without": (change("test", "audio", None), ["test", "no key 'audio'"]),
    "beyond": (change("test", "audio_lengths", [1, 7]), ["test: audio_lengths: row 1", "7", "6"]),
    "below": (change("test", "audio_lengths", [-1, 1]), ["row 0", "length -1"]),
    "fewer lengths": (change("test", "audio_lengths", [1]), ["audio_lengths", "(1,)", "2 numbers"]),
    "lengths of text": (change("test", "audio_lengths", ["1", "2"]), ["audio_lengths", "numbers"]),
    "rank": (change("test", "audio", np.zeros((2, 3, 4, 5))), ["test: audio", "(2, 3, 4, 5)"]),
    "text": (change("test", "audio", np.array(["a", "b"])), ["test: audio", "<U1"]),
    "a list": (change("test", "audio", [1, 2]), ["test: audio", "a list"]),
    "count": (change("test", "vision", np.zeros((3, 4, 3))), ["test: vision", "3 utterances", "2"]),
    "width": (change("test", "audio", np.zeros((2, 6, 9))), ["(2, 6, 9)", "as many features"]),
    "no rows": (lambda v: v | {"valid": {k: a[:0] for k, a in v["valid"].items()}},
                ["valid", "no utterances"]),
    "no modality": (lambda v: v | {"valid": {"id": []}}, ["valid", "no modality"]),
    "labels": (change("train", "annotations", np.arange(4)), ["annotations: row 0", "label 0"]),
    "ratings": (change("train", "regression_labels", np.array(["a"] * 4)), ["regression_labels"]),
    "infinite": (change("train", "regression_labels", np.full(4, np.inf)), ["infinite number"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_malformed_files_are_refused(tmp_path, name):
    breaking, words = REFUSED[name]
    refuses(lambda: read(tmp_path, breaking(public.mmsa())), "x.pkl", *words)


def test_a_large_array_is_pooled_from_the_file(tmp_path, monkeypatch):
    value = public.mmsa()["train"]
    value["audio"] = np.random.default_rng(0).normal(size=(4, 300_000, 2))  # 19 MB
    value["audio_lengths"] = [300_000, 10, 5, 1]
    path = dump(tmp_path / "x.pkl", {"train": value})
    monkeypatch.setattr("mman_jax.data.validation._CHUNK_VALUES", 1)
    tracemalloc.start()
    corpus = read_corpus(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(corpus.features["speech"][1], value["audio"][0].mean(0), atol=1e-6)
    assert peak < value["audio"].nbytes * 0.75  # one row at a time, and its sums
