import numpy as np

from mman_jax.demo import actors, script


def test_a_script_shows_its_emotions_most_of_the_time_in_each_modality():
    random = np.random.default_rng(0)
    people = actors.cast(2, random)
    turns = [turn for _ in range(100) for turn in script.write_script(people, 8, random)]
    signs = np.array([script.MOODS[turn.label] for turn in turns])
    for shown in ([turn.voice for turn in turns], [turn.face for turn in turns]):
        assert 0.9 < np.mean(np.sign(shown) == signs) < 0.98
        assert np.mean(np.sign(shown) == -signs) > 0.02
    told = [any(p in turn.words for p in script.PHRASES[turn.label]) for turn in turns]
    assert 0.8 < np.mean(told) < 0.95
    other = {"cheerful": "gloomy", "gloomy": "cheerful"}
    assert not any(p in t.words for t in turns for p in script.PHRASES[other[t.label]])
