import numpy as np

from mman_jax.demo import clips


def test_actors_have_different_voices():
    people = clips.cast(len(clips.TIMBRES), np.random.default_rng(0))
    assert len({p.voice.split("+")[1] for p in people}) == len({p.name for p in people}) == 12


def test_scripts_mostly_show_their_emotion_in_each_modality():
    random = np.random.default_rng(0)
    people = clips.cast(2, random)
    turns = [turn for _ in range(100) for turn in clips.write_script(people, 8, random)]
    signs = np.array([clips.MOODS[turn.label] for turn in turns])
    for shown in ([turn.voice for turn in turns], [turn.face for turn in turns]):
        assert 0.9 < np.mean(np.sign(shown) == signs) < 0.98
        assert np.mean(np.sign(shown) == -signs) > 0.02
    matches = [any(p in turn.words for p in clips.PHRASES[turn.label]) for turn in turns]
    assert 0.8 < np.mean(matches) < 0.95
    other = {"cheerful": "gloomy", "gloomy": "cheerful"}
    assert not any(p in t.words for t in turns for p in clips.PHRASES[other[t.label]])
