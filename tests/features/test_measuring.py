import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import measuring
from mman_jax.features.manifest import Utterance
from mman_jax.features.measuring import Measuring
from mman_jax.features.settings import Settings
from mman_jax.features.speech.functionals import OpenSmile
from mman_jax.features.text.transcripts import TfIdfText

CLIPS = [Utterance("c", f"u{i}", f"{i}.wav", transcript="yes" if i != 1 else "") for i in range(4)]


@pytest.fixture
def work(tmp_path):
    """Measures speech and text; the speech of the first utterance is cached."""
    work = Measuring(Settings(speech=OpenSmile(), text=TfIdfText()), str(tmp_path))
    store(work, CLIPS[0])
    return work


def store(work, utterance):
    work.store(work.key(utterance, "speech"), np.full(2, float(utterance.path[0])))


def runner(asked):
    """Measures all utterances but the last."""

    def run(work, missing):
        asked.extend(missing)
        for utterance in missing:
            if utterance is not CLIPS[3]:
                store(work, utterance)
            yield utterance, "damaged" if utterance is CLIPS[3] else None

    return run


@pytest.mark.parametrize("text_may_lack", [False, True])
def test_uncached_utterances_are_measured_and_failures_reported(work, text_may_lack):
    asked, ended = [], {}
    used = measuring.measure(work, CLIPS, runner(asked), ended.__setitem__, text_may_lack)
    assert used == ([*CLIPS[:3]] if text_may_lack else [CLIPS[0], CLIPS[2]])
    assert asked == [u for u in CLIPS[1:] if text_may_lack or u.transcript]
    assert ended[CLIPS[3]] == "damaged"
    assert ended[CLIPS[1]] == (None if text_may_lack else "no transcript")
    results = measuring.results(work, used)
    assert [value[0] for value in results["speech"]] == [float(u.path[0]) for u in used]
    assert [value is None for value in results["text"]] == [not u.transcript for u in used]


def test_errors_stop_the_others(work):
    asked = []

    def stop(utterance, failure):
        if failure:
            raise InputError(utterance.name, failure)

    with pytest.raises(InputError, match="utterance u1: no transcript"):
        measuring.measure(work, CLIPS, runner(asked), stop)
    assert not asked
    with pytest.raises(InputError, match="clips: none of 1"):
        measuring.measure(work, CLIPS[3:], runner(asked))
