from experiments.benchmark import serving
from mman_jax.inference.answerer import Answerer
from mman_jax.trial.stored import load_models


def test_the_model_that_is_served_answers(tmp_path):
    serving.untrained(tmp_path)
    answerer = Answerer(load_models(tmp_path))
    _, answer = answerer.step(answerer.begin(), {})
    assert set(answer.probabilities) == set("abcd")
