import numpy as np

from mman_jax.demo import actors


def test_no_two_actors_of_the_demo_have_one_voice():
    people = actors.cast(len(actors.TIMBRES), np.random.default_rng(0))
    assert len({p.voice.split("+")[1] for p in people}) == len({p.name for p in people}) == 12
