import jax
import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.inference.answerer import Answerer, read_states, write_states
from tests.inference import trained

MODELS = [trained.model()]
OWNER = Answerer(MODELS).identity
TWO = ["a", "b"]


@pytest.fixture(scope="module")
def talked():
    """The state before a conversation, and the states of the conversations `TWO`."""
    answerer, given = Answerer(MODELS), {"speech": np.ones(5, np.float32)}
    first, _ = answerer.step(answerer.begin(), given)
    second, _ = answerer.step(first, given)
    return answerer.begin(), jax.tree.map(lambda *x: np.stack(x), first, second)


def test_states_come_back_as_they_were(talked, tmp_path):
    begin, of = talked
    write_states(tmp_path / "s", TWO, of, OWNER, ["d", "c"])
    names, back, gone = read_states(tmp_path / "s", begin, OWNER)
    assert (names, gone) == (TWO, ["d", "c"])
    jax.tree.map(np.testing.assert_array_equal, back, of)
    assert jax.tree.structure(back) == jax.tree.structure(begin)
    write_states(tmp_path / "s", [], None, OWNER)
    names, back, gone = read_states(tmp_path / "s", begin, OWNER)
    assert (names, gone) == ([], [])
    assert {len(leaf) for leaf in jax.tree.leaves(back)} == {0}


def test_an_identity_is_of_the_parameters_the_scaling_and_the_classes():
    others = [
        trained.model(first_seed=1),
        trained.model(seeds=3),
        trained.model(classes=("happy", "sad", "calm")),
    ]
    assert Answerer([trained.model()]).identity == OWNER
    assert len({Answerer([m]).identity for m in (*MODELS, *others)}) == 4


def test_what_are_no_states_of_this_model_is_refused(talked, tmp_path):
    begin, of = talked
    path = tmp_path / "s"

    def packed(states, owner=OWNER):
        write_states(path, TWO, states, owner)
        return path.read_bytes()

    whole = packed(of)

    def refused(content, said, template=begin):
        path.write_bytes(content)
        with pytest.raises(InputError, match=said) as error:
            read_states(path, template, OWNER)
        assert str(path) in str(error.value)

    refused(b"", "unreadable")
    refused(b"nothing of ours", "unreadable")
    refused(whole[: len(whole) // 2], "unreadable")
    refused(packed(of, "other"), "states of another model")
    refused(whole, "other sizes", template=jax.tree.map(lambda x: x[..., None], begin))

    def without_numbers(x):
        return np.full_like(x, np.nan) if x.dtype.kind == "f" else x

    refused(packed(jax.tree.map(without_numbers, of)), "not finite")
    with pytest.raises(InputError, match="no such file"):
        read_states(tmp_path / "none", begin, OWNER)
