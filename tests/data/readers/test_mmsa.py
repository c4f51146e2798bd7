import tracemalloc

import numpy as np
import pytest

from mman_jax.data.readers import pooling
from mman_jax.data.readers.read import read_corpus
from mman_jax.files import unpickler
from tests.data.readers import public
from tests.data.readers.public import dump, refuses


def read(tmp_path, value, protocol=4, pool="mean"):
    return read_corpus(dump(tmp_path / "x.pkl", value, protocol), pool=pool)


# Utterances of train, in the file's order, are va 2, va 1, vb 2, vb 1; of the others 2, 1.
IDS = ("va$_$1", "va$_$2", "vb$_$1", "vb$_$2", "vc$_$1", "vc$_$2", "vd$_$1", "vd$_$2")
ROWS = (1, 0, 3, 2, 1, 0, 1, 0)  # in the part's arrays


def means(steps):
    """What the first column's frames average to: 10 n + 1 ... 10 n + size."""
    sizes = [1 + n % (steps - 1) for n in ROWS]
    return [10 * n + (size + 1) / 2 for n, size in zip(ROWS, sizes, strict=True)]


@pytest.mark.parametrize("protocol", range(6))
def test_order_labels_and_means_by_hand(tmp_path, protocol):
    corpus = read(tmp_path, public.mmsa(), protocol)
    assert corpus.utterance_ids == IDS
    assert corpus.conversation_ids == ("va", "vb", "vc", "vd")
    assert corpus.split == ("train", "train", "valid", "test")
    assert corpus.dims == {"speech": 2, "visual": 3, "text": 4}
    assert corpus.label_names == ("Negative", "Neutral", "Positive")
    assert corpus.labels.tolist() == [0, 1, 1, 2, 0, 1, 0, 1]
    assert corpus.targets["sentiment"].tolist() == [-1.5, 0, 0, 2, -1.5, 0, -1.5, 0]
    for modality, steps in (("speech", 6), ("visual", 4), ("text", 5)):
        np.testing.assert_allclose(corpus.features[modality][:, 0], means(steps))


@pytest.mark.parametrize(
    "ids",
    [
        np.array,
        list,
        lambda n: np.array(n, object),
        lambda names: [name.encode() for name in names],
        lambda names: np.array(names, "S"),
    ],
)
def test_ids_of_any_kind(tmp_path, ids):
    assert read(tmp_path, public.mmsa(ids=ids)).utterance_ids == IDS


@pytest.mark.parametrize("front", [False, True])
def test_padding_on_either_side_and_residue_beyond_the_length(tmp_path, front):
    value = public.mmsa(front=front)
    for part in value.values():
        vision = part["vision"]
        vision[0, 1 if not front else -2] = 99.0  # row 0 has one frame
    corpus = read(tmp_path, value)
    np.testing.assert_allclose(corpus.features["visual"][:, 0], means(4))
    side = "front" if front else "back"
    assert any(f"visual: mean of the frames; padding in {side} by vision_lengths" == note
               for note in corpus.source_notes)  # fmt: skip


def test_aligned_by_the_mask(tmp_path):
    value = public.mmsa(aligned=True)
    value["train"]["audio"][3, 1] = 0  # a frame of zeros inside the mask counts
    corpus = read(tmp_path, value)
    # Utterance 3 of train has frames 31 to 34, of which 32 is 0 now.
    assert corpus.features["speech"][2, 0] == (31 + 33 + 34) / 4
    assert corpus.features["text"][2, 0] == 32.5
    assert "mask of text_bert" in " ".join(corpus.source_notes)


def test_infinity_and_nan_are_zero_and_said(tmp_path):
    value = public.mmsa()
    value["test"]["audio"][1, 0, 0] = -np.inf
    value["test"]["audio"][1, 1, 0] = np.nan
    corpus = read(tmp_path, value)
    assert corpus.features["speech"][6, 0] == 0
    assert "speech: 2 values NaN or infinite, taken as 0" in corpus.source_notes


def test_an_utterance_of_no_frames_lacks_the_modality(tmp_path):
    value = public.mmsa()
    value["valid"]["audio_lengths"][0] = 0
    corpus = read(tmp_path, value)
    assert corpus.present["speech"].tolist() == [True] * 5 + [False, True, True]
    assert "visual" not in corpus.present


def test_sims_and_what_fet_leaves_out(tmp_path):
    corpus = read(tmp_path, public.mmsa(sims=True))
    assert list(corpus.targets) == [
        "sentiment", "sentiment_text", "sentiment_audio", "sentiment_vision"
    ]  # fmt: skip
    value = public.mmsa() | {"config": {"audio": {"tool": "librosa"}}}
    for part in ("train", "valid", "test"):
        for key in ("vision", "vision_lengths", "annotations", "text"):
            del value[part][key]
    corpus = read(tmp_path, value)
    assert list(corpus.dims) == ["speech"]
    assert corpus.label_names == ("negative", "neutral", "positive")
    assert corpus.labels.tolist() == [0, 1, 1, 2, 0, 1, 0, 1]


def test_a_file_without_parts(tmp_path):
    corpus = read(tmp_path, public.mmsa()["train"])
    assert corpus.split is None
    assert len(corpus.labels) == 4


def test_a_video_in_two_parts_is_two_conversations(tmp_path):
    value = public.mmsa()
    value["test"]["id"] = np.array(["va$_$3", "vd$_$1"])
    corpus = read(tmp_path, value)
    assert corpus.conversation_ids == ("va:train", "vb", "vc", "va:test", "vd")
    assert corpus.split[3] == "test"


def test_mean_and_deviation_and_last(tmp_path):
    both = read(tmp_path, public.mmsa(), pool="mean_std")
    assert both.dims == {"speech": 4, "visual": 6, "text": 8}
    last = read(tmp_path, public.mmsa(), pool="last")
    np.testing.assert_array_equal(last.features["speech"][:, 0], [10 * n + 1 + n % 5 for n in ROWS])


def test_annotations_that_differ_from_the_sign_are_counted(tmp_path):
    value = public.mmsa()
    value["train"]["annotations"][1] = "Positive"
    corpus = read(tmp_path, value)
    assert corpus.labels[0] == 2
    assert "labels: annotations, which differ from the sign for 1" in corpus.source_notes


def change(part, key, value):
    def apply(made):
        if value is None:
            del made[part][key]
        else:
            made[part][key] = value(made[part].get(key)) if callable(value) else value
        return made

    return apply


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
    "width": (change("test", "audio", np.zeros((2, 6, 9))), ["audio", "(2, 6, 9)", "as many"]),
    "no rows": (lambda v: v | {"valid": {k: a[:0] for k, a in v["valid"].items()}},
                ["valid", "no utterances"]),
    "no modality": (lambda v: v | {"valid": {"id": []}}, ["valid", "no modality"]),
    "labels": (change("train", "annotations", np.arange(4)), ["annotations: row 0", "label 0"]),
    "ratings": (change("train", "regression_labels", np.array(["a"] * 4)), ["regression_labels"]),
    "infinite": (change("train", "regression_labels", np.full(4, np.inf)), ["infinite number"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    breaking, words = REFUSED[name]
    refuses(lambda: read(tmp_path, breaking(public.mmsa())), ["x.pkl", *words])


def test_a_large_array_is_pooled_from_the_file(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    value = public.mmsa()["train"]
    value["audio"] = rng.normal(size=(4, 300_000, 2))  # 19 MB: it stays in the file
    value["audio_lengths"] = [300_000, 10, 5, 1]
    path = dump(tmp_path / "x.pkl", {"train": value})
    monkeypatch.setattr(pooling, "_CHUNK_VALUES", 1)
    monkeypatch.setattr(unpickler, "_IN_MEMORY", 0)
    tracemalloc.start()
    corpus = read_corpus(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(corpus.features["speech"][1], value["audio"][0].mean(0), atol=1e-6)
    assert peak < value["audio"].nbytes * 0.75  # a row at a time, and what pools it


def test_classes_without_names_or_ratings_are_numbers(tmp_path):
    made = public.mmsa()
    for fields in made.values():
        del fields["regression_labels"], fields["annotations"]
    corpus = read_corpus(public.dump(tmp_path / "x.pkl", made))
    assert corpus.label_names == ("0", "1", "2")
    assert sorted(set(corpus.labels.tolist())) == [0, 1, 2]
