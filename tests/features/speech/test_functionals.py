import sys

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import media
from mman_jax.features.speech import functionals as speech
from tests.features.clips import wave

pytest.importorskip(
    "opensmile", reason="functionals need openSMILE: pip install 'mman_jax[speech]'"
)
LOUDNESS, PITCH = 0, 10  # columns of descriptors


@pytest.fixture
def samples():
    return wave(1.0, 200.0).astype(np.float32)


@pytest.mark.parametrize(("feature_set", "size"), [("compare", 6373), ("egemaps", 88)])
def test_sizes(samples, feature_set, size):
    found = speech.functionals(samples, feature_set)
    assert found.shape == (size,)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


def test_pitch_is_heard(samples):
    names = list(speech.opensmile_extractor("egemaps").feature_names)
    column = names.index("F0semitoneFrom27.5Hz_sma3nz_amean")
    for pitch in (150.0, 200.0, 300.0):
        # A pulse train has the harmonics that the pitch tracker looks for.
        times = np.arange(16000) / 16000
        pulses = sum(np.sin(2 * np.pi * k * pitch * times) for k in range(1, 9)) / 16
        found = speech.functionals(pulses.astype(np.float32), "egemaps")[column]
        assert abs(found - 12 * np.log2(pitch / 27.5)) < 0.5


def test_an_utterance_does_not_depend_on_those_before(samples):
    alone = speech.functionals(samples, "egemaps")
    speech.functionals(wave(0.5, 900.0, noise=3).astype(np.float32), "egemaps")
    np.testing.assert_array_equal(speech.functionals(samples, "egemaps"), alone)


@pytest.mark.parametrize("count", [0, 1, 959])
def test_too_short(count, samples):
    for measure in (speech.functionals, speech.descriptors):
        with pytest.raises(InputError, match=r"0\.\d+ s of sound"):
            measure(samples[:count])
    assert speech.functionals(samples[:960], "egemaps").shape == (88,)


def test_silence_is_finite():
    assert np.isfinite(speech.functionals(np.zeros(16000, np.float32))).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [(dict(feature_set="egemap"), "'egemaps'"), (dict(components=-1), "components")],
)
def test_settings_refused(changes, said):
    with pytest.raises(InputError, match=said):
        speech.OpenSmile(**changes)


def test_what_is_louder_than_full_scale_is_as_loud_as_that(samples):
    # Decoders of lossy sound give such samples; as 16-bit numbers they would turn over.
    loud = speech.functionals(4 * samples, "egemaps")
    cut = np.clip(4 * samples, -1, 32767 / 32768)
    np.testing.assert_array_equal(loud, speech.functionals(cut, "egemaps"))
    whole = speech.functionals(np.ones(16000, np.float32), "egemaps")
    almost = speech.functionals(np.full(16000, 0.999, np.float32), "egemaps")
    np.testing.assert_allclose(whole, almost, rtol=0.01, atol=0.01)


def test_functionals_that_are_not_finite_are_refused(samples, monkeypatch):
    monkeypatch.setattr(
        speech, "opensmile_extractor", lambda _: lambda *_: np.array([[1.0, np.inf]])
    )
    with pytest.raises(InputError, match="speech: functionals that are not finite"):
        speech.functionals(samples)


def test_without_opensmile_the_extra_is_named(samples, monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    speech.opensmile_extractor.cache_clear()
    with pytest.raises(InputError, match=r"opensmile is missing; expected .*'mman_jax\[speech\]'"):
        speech.functionals(samples)


def test_a_measurement_depends_on_the_feature_set_and_not_on_the_reduction():
    few, many = (speech.OpenSmile("egemaps", components) for components in (0, 5))
    assert few.measured_by == many.measured_by == {"feature_set": "egemaps"}


def test_each_frame_is_of_its_own_time():
    rate = media.SAMPLE_RATE
    time = np.arange(rate) / rate
    tone = sum(np.sin(2 * np.pi * 150 * n * time) / n for n in (1, 2, 3))
    samples = np.where((time > 0.4) & (time < 0.7), 0.3 * tone, 0).astype(np.float32)
    found = speech.descriptors(samples)
    assert found.shape[1] == 25
    assert found.dtype == np.float32
    times = speech.descriptor_times(len(found))
    assert 0.9 < times[-1, 1] <= 1.0
    np.testing.assert_allclose(np.diff(times[:, 0]), 0.01)
    middle = times.mean(1)
    inside, outside = (middle > 0.45) & (middle < 0.65), (middle < 0.35) | (middle > 0.75)
    assert found[inside, LOUDNESS].min() > 10 * found[outside, LOUDNESS].max()
    # Semitones above 27.5 Hz, as the name of the column has it.
    np.testing.assert_allclose(found[inside, PITCH], 12 * np.log2(150 / 27.5), atol=0.5)


def table(count, size, seed=0):
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(count, size)) @ random.normal(size=(size, size))
    return (mixed * random.uniform(0.1, 50, size) + random.normal(size=size)).astype(np.float32)


@pytest.mark.parametrize(("count", "size", "components"), [(60, 12, 5), (9, 40, 4), (13, 12, 12)])
def test_a_reduction_against_numpy_s_svd(count, size, components):
    features = table(count, size)
    wide = features.astype(np.float64)
    scores = (wide - wide.mean(0)) / wide.std(0)
    _, values, directions = np.linalg.svd(scores - scores.mean(0), full_matrices=False)
    fitted = speech.fit_reduction(features, components)
    # The same subspace and the same variance of each component; a direction may be its opposite.
    overlap = np.abs(fitted["components"].T @ directions[:components].T)
    np.testing.assert_allclose(overlap, np.eye(components), atol=1e-6)
    applied = speech.reduce(features, fitted)
    assert applied.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(applied, axis=0), values[:components], rtol=1e-4)
    np.testing.assert_allclose(applied.mean(0), 0, atol=1e-4)


@pytest.mark.parametrize(("count", "size"), [(5, 40), (50, 4)])
def test_no_more_components_than_the_training_utterances_give(count, size):
    fitted = speech.fit_reduction(table(count, size), 100)
    assert speech.reduce(table(3, size), fitted).shape == (3, min(count - 1, size))
    np.testing.assert_allclose(
        fitted["components"].T @ fitted["components"], np.eye(min(count - 1, size)), atol=1e-9
    )


def test_one_utterance_alone_gives_what_it_gives_among_others():
    features = table(30, 50)
    fitted = speech.fit_reduction(features[:20], 8)
    alone = np.concatenate([speech.reduce(features[i : i + 1], fitted) for i in range(30)])
    np.testing.assert_allclose(alone, speech.reduce(features, fitted), rtol=1e-5, atol=1e-5)


def test_constant_columns_stay_bounded():
    features = table(20, 6)
    features[:, 2] = 7.0
    fitted = speech.fit_reduction(features, 5)
    features[0, 2] = 1e30
    assert np.isfinite(speech.reduce(features, fitted)).all()
    assert np.abs(speech.reduce(features, fitted)).max() < 20 * np.sqrt(6) + 1


def test_the_same_every_time_and_signs_are_settled():
    features = table(20, 30)
    first, second = speech.fit_reduction(features, 6), speech.fit_reduction(features, 6)
    np.testing.assert_array_equal(first["components"], second["components"])
    largest = np.abs(first["components"]).argmax(0)
    assert (first["components"][largest, np.arange(6)] > 0).all()


def test_reductions_refused():
    with pytest.raises(InputError, match="1 training utterances; expected at least 2"):
        speech.fit_reduction(table(1, 4), 2)
    with pytest.raises(InputError, match="3 features; expected 4"):
        speech.reduce(table(1, 3), speech.fit_reduction(table(5, 4), 2))
