import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features.manifest import Utterance
from mman_jax.features.measuring import many
from mman_jax.features.measuring.measuring import Measuring
from mman_jax.features.settings import Settings
from mman_jax.features.speech.functionals import OpenSmile
from mman_jax.features.text.transcripts import TfIdfText

SAID = [Utterance("c", f"u{i}", f"{i}.wav", transcript="yes" if i != 1 else "") for i in range(4)]


@pytest.fixture
def work(tmp_path):
    """Of speech and text; the cache has the first utterance's sound."""
    work = Measuring(Settings(speech=OpenSmile(), text=TfIdfText()), str(tmp_path))
    keep(work, SAID[0])
    return work


def keep(work, utterance):
    work.store(work.key(utterance, "speech"), np.full(2, float(utterance.path[0])))


def runner(asked):
    """Measures what it is asked for, but for the last."""

    def run(work, missing):
        asked.extend(missing)
        for utterance in missing:
            if utterance is SAID[3]:
                yield utterance, "damaged"
            else:
                keep(work, utterance)
                yield utterance, None

    return run


@pytest.mark.parametrize("text_may_lack", [False, True])
def test_what_the_cache_lacks_is_measured_and_failures_are_told(work, text_may_lack):
    asked, ended = [], {}
    kept = many.measure(work, SAID, runner(asked), ended.__setitem__, text_may_lack)
    whole = [SAID[0], SAID[1], SAID[2]] if text_may_lack else [SAID[0], SAID[2]]
    assert kept == whole
    assert asked == [u for u in SAID[1:] if text_may_lack or u.transcript]
    assert ended[SAID[3]] == "damaged"
    assert ended[SAID[1]] == (None if text_may_lack else "no transcript")
    found = many.results(work, kept)
    assert [value[0] for value in found["speech"]] == [float(u.path[0]) for u in kept]
    assert [value is None for value in found["text"]] == [not u.transcript for u in kept]


def test_a_listener_can_stop_the_others_and_nothing_left_is_an_error(work):
    asked = []

    def stop(utterance, failure):
        if failure:
            raise InputError(utterance.name, failure)

    with pytest.raises(InputError, match="utterance u1: no transcript"):
        many.measure(work, SAID, runner(asked), stop)
    assert not asked
    with pytest.raises(InputError, match="clips: none of 1 can be used"):
        many.measure(work, SAID[3:], runner(asked))
