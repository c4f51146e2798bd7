import dataclasses
import json
import sys

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import extraction
from mman_jax.features.extraction import Extraction
from mman_jax.features.manifest import Utterance
from mman_jax.features.settings import Settings
from mman_jax.features.speech import functionals
from mman_jax.features.speech.functionals import OpenSmile
from mman_jax.features.text.readers import TimedWords
from mman_jax.features.text.transcripts import CnnText, TfIdfText
from mman_jax.features.visual import resnet3d
from mman_jax.features.visual.windows import ResNetWindows
from mman_jax.files import carded

VISUAL = ResNetWindows(frames=4, windows=2, size=16, width=2, epochs=2)
SETTINGS = {
    "speech": Settings(speech=OpenSmile()),
    "visual": Settings(visual=VISUAL),
    "tfidf": Settings(text=TfIdfText(features=3)),
    "cnn": Settings(text=CnnText(features=6, words=5, frequent=2, epochs=2)),
}
LABELS = np.array([0, 1, 1, 0, -1, 1, 0, 0], np.int32)
WORDS = ("sun", "rain", "snow", "wind", "heat", "ice")


def measured(kind, count=8, seed=0):
    """What `measure` would give, made up."""
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


def fit(kind, vectors, values=None, **more):
    name = SETTINGS[kind].modalities[0]
    values = values or measured(kind)
    return extraction.fit(SETTINGS[kind], {name: values}, LABELS, vectors=vectors, **more)


@pytest.mark.parametrize(
    ("kind", "size"), [("speech", 20), ("visual", 16), ("tfidf", 3), ("cnn", 6)]
)
def test_one_utterance_s_features_are_independent_of_the_others(fitted, kind, size):
    made, name = fitted[kind], SETTINGS[kind].modalities[0]
    values = measured(kind, 5, seed=1)
    together = made.apply(name, values)
    assert together.shape == (5, size)
    assert together.dtype == np.float32
    assert np.abs(together[0] - together[1]).max() > 1e-6
    for i, value in enumerate(values):
        np.testing.assert_allclose(made.apply(name, [value])[0], together[i], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_saved_extraction_gives_the_same(fitted, kind, tmp_path):
    made, name = fitted[kind], SETTINGS[kind].modalities[0]
    made.save(tmp_path / "c.extraction.npz")
    back = Extraction.load(tmp_path / "c.extraction.npz")
    assert back.settings == made.settings
    values = measured(kind, 4, seed=2)
    np.testing.assert_array_equal(back.apply(name, values), made.apply(name, values))
    assert [p.name for p in tmp_path.iterdir()] == ["c.extraction.npz"]


def test_fitting_twice_gives_the_same(fitted, vectors):
    for kind in ("cnn", "visual"):
        again = fit(kind, vectors).fitted
        for name, arrays in fitted[kind].fitted.items():
            for key, array in arrays.items():
                np.testing.assert_array_equal(array, again[name][key])


def test_the_vocabulary_is_training_s_and_the_file_s_most_frequent(vectors):
    values = [np.array("sun rain")] * 4 + [np.array("rain unseen")] * 4
    found = fit("cnn", vectors, values).fitted["text"]["vocabulary"].tolist()
    assert found == ["a", "rain", "sun", "the"]


def test_unlabelled_utterances_do_not_train_the_networks(fitted, vectors):
    values = measured("cnn")
    values[4] = np.array("sun")  # the one without a label; no new word
    arrays = fit("cnn", vectors, values).fitted["text"]
    for key, array in fitted["cnn"].fitted["text"].items():
        np.testing.assert_array_equal(array, arrays[key])


def test_a_place_that_cannot_be_written_is_refused_and_nothing_is_left(tmp_path):
    made = Extraction(SETTINGS["speech"], {"speech": {"mean": np.zeros(3, np.float32)}})
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.npz").mkdir()
    for place in ("none/x.npz", "file/x.npz", "folder.npz"):
        with pytest.raises(InputError, match="cannot be written"):
            made.save(tmp_path / place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.npz"]


def test_given_weights_are_used_and_travel(tmp_path):
    own = fit("visual", None).fitted["visual"]
    weights = {key: value for key, value in own.items() if "classes" not in key}
    np.savez(tmp_path / "w.npz", **weights)
    read = extraction.read_weights(tmp_path / "w.npz")
    made = extraction.fit(SETTINGS["visual"], {"visual": []}, LABELS[:0], weights=read)
    assert set(made.pretrained) == set(weights)
    made.save(tmp_path / "c.extraction.npz")
    back = extraction.read_weights(tmp_path / "c.extraction.npz")
    assert all(np.array_equal(back[key], value) for key, value in weights.items())
    assert fit("visual", None).pretrained is None


def test_what_needs_training_utterances_and_labels():
    for kind, fitting, labels in (
        ("speech", (False, False), (False, False)),
        ("visual", (True, False), (True, False)),
        ("tfidf", (True, True), (False, False)),
        ("cnn", (True, True), (True, True)),
    ):
        settings = SETTINGS[kind]
        assert tuple(settings.needs_fitting(pretrained) for pretrained in (False, True)) == fitting
        assert tuple(settings.needs_labels(pretrained) for pretrained in (False, True)) == labels


def test_a_reduction_of_an_earlier_version_is_applied(tmp_path):
    random, made = np.random.default_rng(0), SETTINGS["speech"]
    directions = np.linalg.qr(random.normal(size=(20, 3)))[0]
    mean, scale, centre = random.normal(size=20), random.uniform(1, 2, 20), random.normal(size=20)
    arrays = {"mean": mean, "scale": scale, "centre": centre, "components": directions}
    Extraction(made, {"speech": arrays}).save(tmp_path / "x.npz")
    flat, card = carded.read(tmp_path / "x.npz", "", "settings")
    card["speech"]["components"] = 3
    carded.write(tmp_path / "x.npz", flat, card, "settings")
    back, values = Extraction.load(tmp_path / "x.npz"), measured("speech", 4)
    assert back.fitted_modalities == ["speech"]
    expected = (np.clip((np.stack(values) - mean) * scale, -20, 20) - centre) @ directions
    np.testing.assert_allclose(back.apply("speech", values), expected, rtol=1e-5, atol=1e-5)


def test_modalities_that_were_fitted(fitted):
    names = {kind: made.fitted_modalities for kind, made in fitted.items()}
    assert names == {"speech": [], "visual": ["visual"], "tfidf": ["text"], "cnn": ["text"]}
    weights = {k: x for k, x in fitted["visual"].fitted["visual"].items() if "classes" not in k}
    assert Extraction(SETTINGS["visual"], {"visual": weights}).fitted_modalities == []


def test_weights_of_another_width_are_refused():
    weights = {"params/stem_conv/kernel": np.zeros((3, 7, 7, 3, 5), np.float32)}
    with pytest.raises(InputError, match=r"w\.npz: a network of width 5; expected 2"):
        SETTINGS["visual"].check(weights, "w.npz")


@pytest.mark.parametrize(
    ("library", "settings", "said"),
    [
        ("av", SETTINGS["speech"], "PyAV is missing"),
        ("av", SETTINGS["visual"], "PyAV is missing"),
        ("opensmile", SETTINGS["speech"], "opensmile is missing"),
        ("cv2", Settings(visual=ResNetWindows(crop="upper_body")), "OpenCV, which .* is missing"),
    ],
)
def test_a_missing_library_is_named_before_any_clip_is_read(library, settings, said, monkeypatch):
    pytest.importorskip("av", reason="clips need PyAV: pip install 'mman_jax[media]'")
    functionals.opensmile_extractor.cache_clear()
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=said):
        settings.check()
    # Text needs none; nor does a picture that is not cropped need OpenCV.
    SETTINGS["tfidf"].check()
    if library == "cv2":
        SETTINGS["visual"].check()


def test_settings_that_cannot_be_are_refused_by_the_file_s_name(fitted, tmp_path):
    fitted["speech"].save(tmp_path / "c.npz")
    with np.load(tmp_path / "c.npz") as file:
        arrays = dict(file)
    card = json.loads(str(arrays["settings"]))
    card["speech"]["feature_set"] = "mfcc"
    np.savez(tmp_path / "c.npz", **arrays | {"settings": np.array(json.dumps(card))})
    with pytest.raises(InputError, match=r"c\.npz: no settings .*'mfcc'.*expected"):
        Extraction.load(tmp_path / "c.npz")


def test_settings_survive_json():
    settings = Settings(OpenSmile("egemaps"), VISUAL, CnnText(), seed=3)
    assert Settings.from_json(settings.to_json()) == settings
    assert Settings.from_json(SETTINGS["speech"].to_json()).modalities == ("speech",)


def test_no_transcript_and_no_labels_are_refused(vectors):
    with pytest.raises(InputError, match="conversation c, utterance u: no transcript"):
        SETTINGS["tfidf"].text.measure(Utterance("c", "u", "clip.mp4"))
    values = {"text": measured("cnn")}
    for labels, said in ((LABELS * 0 - 1, "no labelled"), (LABELS * 0, "at least 2")):
        with pytest.raises(InputError, match=said):
            extraction.fit(SETTINGS["cnn"], values, labels, vectors=vectors)


def test_no_vectors_are_refused():
    with pytest.raises(InputError, match="text: no word vectors; expected a word2vec file, or"):
        fit("cnn", None)


def test_sound_that_is_too_short_is_refused_by_the_clip_s_name(tmp_path):
    pytest.importorskip("av", reason="clips need PyAV: pip install 'mman_jax[media]'")
    from tests.features import clips

    path = str(clips.write(tmp_path / "a.wav", seconds=0.05, picture=False))
    with pytest.raises(InputError, match=r"a\.wav: speech: 0\.050 s of sound; expected at least"):
        SETTINGS["speech"].speech.measure(Utterance("c", "u", path))


def test_a_clip_through_given_weights(fitted, tmp_path):
    pytest.importorskip("av", reason="clips need PyAV: pip install 'mman_jax[media]'")
    from tests.features import clips

    own = fitted["visual"]
    made = Extraction(
        SETTINGS["visual"],
        {"visual": {k: x for k, x in own.fitted["visual"].items() if "classes" not in k}},
    )
    path = str(clips.write(tmp_path / "a.mkv", seconds=0.5, sound=False))
    utterance = Utterance("c", "u", path)
    clips_seen = VISUAL.measure(utterance)
    measured = made.measure("visual", utterance)
    assert measured.shape == (2, 16)
    np.testing.assert_allclose(
        measured, VISUAL.describe(own.fitted["visual"], clips_seen), rtol=1e-5
    )
    np.testing.assert_array_equal(made.features(utterance)["visual"], measured.mean(0))


def test_vectors_of_other_words_are_refused(vectors):
    with pytest.raises(InputError, match="no word of the training transcripts"):
        fit("cnn", vectors, [np.array("qqq zzz")] * 8)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"hello"])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    for read in (Extraction.load, extraction.read_weights):
        with pytest.raises(InputError, match=r"x\.npz: unreadable"):
            read(tmp_path / "x.npz")
    np.savez(tmp_path / "y.npz", a=np.zeros(2))
    with pytest.raises(InputError, match="no weights of a 3D ResNet among a"):
        extraction.read_weights(tmp_path / "y.npz")
    with pytest.raises(InputError, match=r"y\.npz: no settings"):
        Extraction.load(tmp_path / "y.npz")


def test_weights_of_another_network_are_refused_by_name(tmp_path):
    whole = {k: np.zeros(s, np.float32) for k, s in resnet3d.shapes(2).items()}
    kernel, more = "params/layer2_0/conv1/kernel", "params/classes/bias"
    for changes, said in (
        ({kernel: None}, rf"w\.npz: no weight '{kernel}', of another network"),
        ({more: np.zeros(4)}, rf"w\.npz: a weight '{more}', of another network"),
        ({kernel: np.zeros((3, 3, 3, 2, 5))}, rf"{kernel}: shape .*5\), .*expected .*2, 4\)"),
        ({"params/stem_conv/kernel": np.zeros(())}, "of another network"),
    ):
        arrays = {k: x for k, x in (whole | changes).items() if x is not None}
        np.savez(tmp_path / "w.npz", **arrays)
        with pytest.raises(InputError, match=said):
            extraction.read_weights(tmp_path / "w.npz")


def test_a_real_clip_from_end_to_end(tmp_path):
    pytest.importorskip("opensmile", reason="needs openSMILE: pip install 'mman_jax[speech]'")
    from tests.features import clips

    path = str(clips.write(tmp_path / "a.mp4"))
    utterance = Utterance("c", "u", path, transcript="sun and rain")
    settings = Settings(OpenSmile("egemaps"), VISUAL, TfIdfText(features=2))
    random = np.random.default_rng(0)
    values = {
        "speech": list(random.normal(size=(8, 88)).astype(np.float32)),
        "visual": measured("visual"),
        "text": measured("tfidf"),
    }
    made = extraction.fit(settings, values, LABELS)
    features = made.features(utterance)
    assert {name: x.shape for name, x in features.items()} == {
        "speech": (88,),
        "visual": (16,),
        "text": (2,),
    }
    later = dataclasses.replace(utterance, start=0.5)
    other = made.features(later)
    assert np.abs(features["speech"] - other["speech"]).max() > 1e-6
    np.testing.assert_array_equal(features["text"], other["text"])


UTTERANCES = [Utterance("c", f"u{i}", "c.wav") for i in range(3)]


def test_words_have_the_vectors_of_the_file():
    table = {"vocabulary": np.array(["it's", "sun"]), "vectors": np.eye(2, 3, dtype=np.float32)}
    (found,) = CnnText().word_vectors(table, [["Sun,", "rain", "It\u2019s"]])
    np.testing.assert_array_equal(found, [[0, 1, 0], [0, 0, 0], [1, 0, 0]])


def test_without_a_file_words_are_where_tfidf_places_them():
    settings = Settings(text=TfIdfText(features=2))
    texts = ["sun and rain", "rain and wind", "sun", "wind and snow"]
    made = extraction.fit(settings, {"text": texts}, LABELS[:4])
    fitted = made.fitted["text"]
    first, second = made.settings.text.word_vectors(fitted, [["rain", "hail"], ["Sun"]])
    found = np.concatenate([first, second])
    row = fitted["components"][fitted["vocabulary"].tolist().index("rain")]
    np.testing.assert_allclose(found[0], row, rtol=1e-6)
    assert not found[1].any()
    # A transcript is where the weighted sum of its words is.
    weights = [fitted["idf"][fitted["vocabulary"].tolist().index(word)] for word in ("rain", "sun")]
    both = weights @ found[[0, 2]] / np.linalg.norm(weights)
    np.testing.assert_allclose(made.apply("text", ["sun rain"])[0], both, rtol=1e-5)


def test_sequences_of_several_utterances():
    table = {"vocabulary": np.array(["sun"]), "vectors": np.ones((1, 2), np.float32)}
    settings = Settings(speech=OpenSmile(), text=CnnText())
    made = Extraction(settings, {"speech": {}, "text": table})
    frames = [np.full((n, 25), n, np.float32) for n in (3, 1, 2)]
    words = {UTTERANCES[2]: TimedWords(("sun", "rain"), np.array([[0, 0.5], [0.5, 1]]))}
    measured = {"speech": frames}  # which cells of speech do not read
    found = made.sequences(UTTERANCES, measured, {"speech": frames}, words)
    assert found.keys() == {"speech", "text"}
    assert found["text"].lengths.tolist() == [0, 0, 2]
    assert found["text"].names == ("sun", "rain")
    assert found["text"].values.tolist() == [[1, 1], [0, 0]]
    np.testing.assert_array_equal(found["text"].intervals, [[0, 0.5], [0.5, 1]])
    assert found["speech"].lengths.tolist() == [3, 1, 2]
    np.testing.assert_allclose(found["speech"].intervals[:, 0], [0, 0.01, 0.02, 0, 0, 0.01])
    assert found["speech"].values[:, 0].tolist() == [3, 3, 3, 1, 2, 2]
    assert made.sequences(UTTERANCES, measured, {}, {}) == {}


def test_of_windows_each_by_itself():
    made = Extraction(Settings(visual=VISUAL), {"visual": {"params/stem_conv/kernel": np.ones(1)}})
    measured = [np.arange(4, dtype=np.float32).reshape(2, 2), np.ones((1, 2), np.float32)]
    times = [np.array([[0, 0.2], [0.3, 0.5]]), np.array([[0.1, 0.3]])]
    found = made.sequences(UTTERANCES[:2], {"visual": measured}, {"visual": times}, {})["visual"]
    np.testing.assert_array_equal(found.values, [[0, 1], [2, 3], [1, 1]])
    np.testing.assert_array_equal(found.intervals, np.concatenate(times))
    np.testing.assert_array_equal(made.apply("visual", measured), [[1, 2], [1, 1]])
