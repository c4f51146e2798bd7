import dataclasses
import json

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import extraction
from mman_jax.features.extraction import Extraction
from mman_jax.features.manifest import Utterance
from mman_jax.features.settings import Settings
from mman_jax.features.speech.functionals import OpenSmile
from mman_jax.features.text.readers import TimedWords
from mman_jax.features.text.transcripts import CnnText, TfIdfText
from mman_jax.features.visual import resnet3d
from mman_jax.features.visual.windows import ResNetWindows
from mman_jax.files.arrays import read_carded, write_carded

VISUAL = ResNetWindows(frames=4, windows=2, size=16, width=2, epochs=1)
SETTINGS = {
    "speech": Settings(speech=OpenSmile()),
    "visual": Settings(visual=VISUAL),
    "tfidf": Settings(text=TfIdfText(features=3)),
    "cnn": Settings(text=CnnText(features=6, words=5, frequent=2, epochs=2)),
}
LABELS = np.array([0, 1, 1, 0, -1, 1, 0, 0], np.int32)
WORDS = ("sun", "rain", "snow", "wind", "heat", "ice")
UTTERANCES = [Utterance("c", f"u{i}", "c.wav") for i in range(3)]


def measured(kind, count=8, seed=0):
    """Invented results of `Extractor.measure`."""
    random = np.random.default_rng(seed)
    if kind == "speech":
        return list(random.normal(size=(count, 20)).astype(np.float32))
    if kind == "visual":
        shapes = [(1 + i % 2, 4, 16, 16, 3) for i in range(count)]
        return [random.integers(0, 256, shape).astype(np.uint8) for shape in shapes]
    return [np.array(" ".join(random.choice(WORDS, 4))) for _ in range(count)]


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    path = tmp_path_factory.mktemp("vectors") / "v.txt"
    random = np.random.default_rng(0)
    lines = [f"{w} {' '.join(map(str, random.normal(size=4)))}\n" for w in ("the", "a", *WORDS)]
    path.write_text(f"{len(lines)} 4\n" + "".join(lines))
    return path


@pytest.fixture(scope="module")
def fitted(vectors):
    return {kind: fit(kind, vectors) for kind in SETTINGS}


def fit(kind, vectors=None, values=None, labels=LABELS, **more):
    name = SETTINGS[kind].modalities[0]
    values = values or measured(kind)
    return extraction.fit(SETTINGS[kind], {name: values}, labels, vectors=vectors, **more)


def weights(extraction):
    """The arrays of a network for pictures without its classes."""
    return {k: x for k, x in extraction.fitted["visual"].items() if "classes" not in k}


@pytest.mark.parametrize(
    ("kind", "size"), [("speech", 20), ("visual", 16), ("tfidf", 3), ("cnn", 6)]
)
def test_features_are_independent_of_other_utterances_and_survive_saving(
    fitted, kind, size, tmp_path
):
    extractor, name = fitted[kind], SETTINGS[kind].modalities[0]
    values = measured(kind, 5, seed=1)
    features = extractor.apply(name, values)
    assert features.shape == (5, size)
    assert features.dtype == np.float32
    assert np.abs(features[0] - features[1]).max() > 1e-6
    alone = [extractor.apply(name, [value])[0] for value in values]
    np.testing.assert_allclose(alone, features, rtol=1e-5, atol=1e-6)
    extractor.save(tmp_path / "c.extraction.npz")
    loaded = Extraction.load(tmp_path / "c.extraction.npz")
    assert loaded.settings == extractor.settings
    np.testing.assert_array_equal(loaded.apply(name, values), features)
    assert [p.name for p in tmp_path.iterdir()] == ["c.extraction.npz"]


def test_fitting_is_reproducible_and_ignores_unlabelled_utterances(fitted, vectors):
    changed = measured("cnn")
    changed[4] = np.array("sun")  # without a label, and no new word
    again = fit("cnn", vectors, changed).fitted["text"]
    for key, array in fitted["cnn"].fitted["text"].items():
        np.testing.assert_array_equal(array, again[key])


def test_vocabulary_has_the_words_of_training_and_the_most_frequent_of_the_file(vectors):
    values = [np.array("sun rain")] * 4 + [np.array("rain unseen")] * 4
    vocabulary = fit("cnn", vectors, values).fitted["text"]["vocabulary"].tolist()
    assert vocabulary == ["a", "rain", "sun", "the"]


def test_pretrained_weights_are_used_and_saved(fitted, tmp_path):
    assert fitted["visual"].pretrained is None
    pretrained = weights(fitted["visual"])
    np.savez(tmp_path / "w.npz", **pretrained)
    read = extraction.read_weights(tmp_path / "w.npz")
    extractor = extraction.fit(SETTINGS["visual"], {"visual": []}, LABELS[:0], weights=read)
    assert set(extractor.pretrained) == set(pretrained)
    extractor.save(tmp_path / "c.extraction.npz")
    saved = extraction.read_weights(tmp_path / "c.extraction.npz")
    assert all(np.array_equal(saved[key], value) for key, value in pretrained.items())


def test_reductions_of_an_earlier_version_are_applied(tmp_path):
    random = np.random.default_rng(0)
    directions = np.linalg.qr(random.normal(size=(20, 3)))[0]
    mean, scale, centre = random.normal(size=20), random.uniform(1, 2, 20), random.normal(size=20)
    arrays = {"mean": mean, "scale": scale, "centre": centre, "components": directions}
    Extraction(SETTINGS["speech"], {"speech": arrays}).save(tmp_path / "x.npz")
    flat, card = read_carded(tmp_path / "x.npz", "", "settings")
    card["speech"]["components"] = 3
    write_carded(tmp_path / "x.npz", flat, card, "settings")
    loaded, values = Extraction.load(tmp_path / "x.npz"), measured("speech", 4)
    assert loaded.fitted_modalities == ["speech"]
    expected = (np.clip((np.stack(values) - mean) * scale, -20, 20) - centre) @ directions
    np.testing.assert_allclose(loaded.apply("speech", values), expected, rtol=1e-5, atol=1e-5)


def test_modalities_that_were_fitted(fitted):
    names = {kind: extractor.fitted_modalities for kind, extractor in fitted.items()}
    assert names == {"speech": [], "visual": ["visual"], "tfidf": ["text"], "cnn": ["text"]}
    pretrained = {"visual": weights(fitted["visual"])}
    assert Extraction(SETTINGS["visual"], pretrained).fitted_modalities == []


def test_unusable_training_data_is_refused(vectors):
    with pytest.raises(InputError, match="conversation c, utterance u0: no transcript"):
        SETTINGS["tfidf"].text.measure(UTTERANCES[0])
    for labels, found in ((LABELS * 0 - 1, "no labelled"), (LABELS * 0, "at least 2")):
        with pytest.raises(InputError, match=found):
            fit("cnn", vectors, labels=labels)
    with pytest.raises(InputError, match="text: no word vectors"):
        fit("cnn")
    with pytest.raises(InputError, match="no word of the training transcripts"):
        fit("cnn", vectors, [np.array("qqq zzz")] * 8)


def test_unwritable_paths_are_refused_and_nothing_is_left(tmp_path):
    extractor = Extraction(SETTINGS["speech"], {"speech": {"mean": np.zeros(3, np.float32)}})
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.npz").mkdir()
    for place in ("none/x.npz", "file/x.npz", "folder.npz"):
        with pytest.raises(InputError, match="cannot be written"):
            extractor.save(tmp_path / place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.npz"]


def test_unreadable_files_are_refused(fitted, tmp_path):
    for name, content in (("a.npz", b""), ("b.npz", b"PK\x03\x04 no"), ("c.npz", b"hello")):
        (tmp_path / name).write_bytes(content)
        for read in (Extraction.load, extraction.read_weights):
            with pytest.raises(InputError, match=f"{name}: unreadable"):
                read(tmp_path / name)
    np.savez(tmp_path / "d.npz", a=np.zeros(2))
    with pytest.raises(InputError, match=r"d\.npz: no weights"):
        extraction.read_weights(tmp_path / "d.npz")
    with pytest.raises(InputError, match=r"d\.npz: no settings"):
        Extraction.load(tmp_path / "d.npz")
    fitted["speech"].save(tmp_path / "e.npz")
    with np.load(tmp_path / "e.npz") as file:
        arrays = dict(file)
    card = json.loads(str(arrays["settings"]))
    card["speech"]["feature_set"] = "mfcc"
    np.savez(tmp_path / "e.npz", **arrays | {"settings": np.array(json.dumps(card))})
    with pytest.raises(InputError, match=r"e\.npz: no settings .*'mfcc'"):
        Extraction.load(tmp_path / "e.npz")


def test_weights_of_other_networks_are_refused(tmp_path):
    valid = {k: np.zeros(s, np.float32) for k, s in resnet3d.shapes(2).items()}
    kernel, more = "params/layer2_0/conv1/kernel", "params/classes/bias"
    for changes, found in (
        ({kernel: None}, f"no weight '{kernel}'"),
        ({more: np.zeros(4)}, f"a weight '{more}'"),
        ({kernel: np.zeros((3, 3, 3, 2, 5))}, rf"{kernel}: shape .*5\), .*expected .*2, 4\)"),
        ({kernel: valid[kernel] + np.inf}, f"{kernel}: float32 values, or some"),
        ({"params/stem_conv/kernel": np.zeros(())}, "of another network"),
    ):
        arrays = {k: x for k, x in (valid | changes).items() if x is not None}
        np.savez(tmp_path / "w.npz", **arrays)
        with pytest.raises(InputError, match=rf"w\.npz: .*{found}"):
            extraction.read_weights(tmp_path / "w.npz")
    other_width = {"params/stem_conv/kernel": np.zeros((3, 7, 7, 3, 5), np.float32)}
    with pytest.raises(InputError, match=r"w\.npz: a network of width 5; expected 2"):
        SETTINGS["visual"].check(other_width, "w.npz")


def test_sound_that_is_too_short_is_refused_by_the_name_of_its_clip(tmp_path):
    from tests.features import clips

    path = str(clips.write(tmp_path / "a.wav", seconds=0.05, picture=False))
    with pytest.raises(InputError, match=r"a\.wav: speech: 0\.050 s"):
        SETTINGS["speech"].speech.measure(Utterance("c", "u", path))


def test_features_of_a_clip(fitted, tmp_path):
    pytest.importorskip("opensmile", reason="needs openSMILE: pip install 'mman_jax[speech]'")
    from tests.features import clips

    utterance = Utterance("c", "u", str(clips.write(tmp_path / "a.mp4")), transcript="sun and rain")
    settings = Settings(OpenSmile("egemaps"), VISUAL, TfIdfText(features=2))
    random = np.random.default_rng(0)
    speech = list(random.normal(size=(8, 88)).astype(np.float32))
    values = {"speech": speech, "visual": measured("visual"), "text": measured("tfidf")}
    extractor = extraction.fit(settings, values, LABELS)
    features = extractor.features(utterance)
    assert [features[m].shape for m in ("speech", "visual", "text")] == [(88,), (16,), (2,)]
    later = extractor.features(dataclasses.replace(utterance, start=0.5))
    assert np.abs(features["speech"] - later["speech"]).max() > 1e-6
    np.testing.assert_array_equal(features["text"], later["text"])
    # Pretrained weights describe windows at once, and features are their mean.
    pretrained = Extraction(SETTINGS["visual"], {"visual": weights(fitted["visual"])})
    described = pretrained.measure("visual", utterance)
    assert described.shape == (2, 16)
    windows = VISUAL.measure(utterance)
    expected = VISUAL.describe(fitted["visual"].fitted["visual"], windows)
    np.testing.assert_allclose(described, expected, rtol=1e-5)
    np.testing.assert_array_equal(pretrained.features(utterance)["visual"], described.mean(0))


def test_words_have_the_vectors_of_the_file():
    table = {"vocabulary": np.array(["it's", "sun"]), "vectors": np.eye(2, 3, dtype=np.float32)}
    (vectors,) = CnnText().word_vectors(table, [["Sun,", "rain", "It\u2019s"]])
    np.testing.assert_array_equal(vectors, [[0, 1, 0], [0, 0, 0], [1, 0, 0]])


def test_without_a_file_words_have_their_place_in_tfidf():
    settings = Settings(text=TfIdfText(features=2))
    texts = ["sun and rain", "rain and wind", "sun", "wind and snow"]
    extractor = extraction.fit(settings, {"text": texts}, LABELS[:4])
    fitted = extractor.fitted["text"]
    first, second = settings.text.word_vectors(fitted, [["rain", "hail"], ["Sun"]])
    vectors = np.concatenate([first, second])
    rain, sun = (fitted["vocabulary"].tolist().index(word) for word in ("rain", "sun"))
    np.testing.assert_allclose(vectors[0], fitted["components"][rain], rtol=1e-6)
    assert not vectors[1].any()
    # A transcript is the weighted sum of its words.
    idf = fitted["idf"][[rain, sun]]
    both = idf @ vectors[[0, 2]] / np.linalg.norm(idf)
    np.testing.assert_allclose(extractor.apply("text", ["sun rain"])[0], both, rtol=1e-5)


def test_sequences_of_speech_and_words():
    table = {"vocabulary": np.array(["sun"]), "vectors": np.ones((1, 2), np.float32)}
    settings = Settings(speech=OpenSmile(), text=CnnText())
    extractor = Extraction(settings, {"speech": {}, "text": table})
    frames = {"speech": [np.full((n, 25), n, np.float32) for n in (3, 1, 2)]}
    words = {UTTERANCES[2]: TimedWords(("sun", "rain"), np.array([[0, 0.5], [0.5, 1]]))}
    sequences = extractor.sequences(UTTERANCES, frames, frames, words)
    speech, text = sequences["speech"], sequences["text"]
    assert text.lengths.tolist() == [0, 0, 2]
    assert text.names == ("sun", "rain")
    assert text.values.tolist() == [[1, 1], [0, 0]]
    np.testing.assert_array_equal(text.intervals, [[0, 0.5], [0.5, 1]])
    assert speech.lengths.tolist() == [3, 1, 2]
    np.testing.assert_allclose(speech.intervals[:, 0], [0, 0.01, 0.02, 0, 0, 0.01])
    assert speech.values[:, 0].tolist() == [3, 3, 3, 1, 2, 2]
    assert extractor.sequences(UTTERANCES, frames, {}, {}) == {}


def test_sequences_of_windows():
    pretrained = {"visual": {"params/stem_conv/kernel": np.ones(1)}}
    extractor = Extraction(SETTINGS["visual"], pretrained)
    windows = [np.arange(4, dtype=np.float32).reshape(2, 2), np.ones((1, 2), np.float32)]
    times = [np.array([[0, 0.2], [0.3, 0.5]]), np.array([[0.1, 0.3]])]
    sequences = extractor.sequences(UTTERANCES[:2], {"visual": windows}, {"visual": times}, {})
    np.testing.assert_array_equal(sequences["visual"].values, [[0, 1], [2, 3], [1, 1]])
    np.testing.assert_array_equal(sequences["visual"].intervals, np.concatenate(times))
    np.testing.assert_array_equal(extractor.apply("visual", windows), [[1, 2], [1, 1]])
