import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mman_jax.systems import dialogue_rnn as dialogue
from mman_jax.systems.dialogue_rnn import DialogueRNN, DialogueRNNBi
from tests.systems import golden

DIMS = {"text": 4, "speech": 3, "visual": 2}
SIZES = {"history": 6, "party": 5, "emotion": 4, "dense": 3, "parties": 3}
SPEAKERS = [[0, 1, 0, 2], [1, 1, 0]]


def small(kind=DialogueRNN, **settings):
    system = kind(tuple(DIMS), 2, **SIZES | settings)
    return system, golden.params(system, DIMS)


def answers(system, params, **options):
    outputs, batch = golden.conversations(system, params, DIMS, **{"speakers": SPEAKERS} | options)
    return [x["answer"] for x in outputs], batch


@pytest.mark.parametrize(
    ("kind", "settings", "parameters", "expected"),
    [
        (DialogueRNN, {}, 935, ([[0.31863, 0.29028], [0.24275, 0.15323], [0.47202, 0.3533],
         [0.38722, 0.19148]], [[0.1886, 0.06669], [0.30895, 0.09369], [0.43016, 0.10252]])),
        (DialogueRNN, {"listener": True}, 1250, ([[0.31863, 0.29028], [0.26317, 0.23035],
         [0.37644, 0.25075], [0.45499, 0.17584]],
         [[0.1886, 0.06669], [0.30895, 0.09369], [0.36307, 0.04142]])),
        (DialogueRNN, {"listener": True, "attention": "simple"}, 1202,
         ([[0.45626, 0.17157]], [[0.36357, 0.03967]])),
        (DialogueRNNBi, {"emotion_attention": False}, 1892, ([[-0.04988, -0.13671],
         [0.10833, 0.11904], [0.09896, 0.174], [0.17882, 0.14231]],
         [[0.10264, 0.10393], [0.16706, 0.12371], [0.28752, 0.14134]])),
        (DialogueRNNBi, {}, 1964, ([[0.05975, 0.11211], [0.06243, 0.11505], [0.06121, 0.11444],
         [0.06283, 0.11572]], [[0.18791, 0.12342], [0.18816, 0.12347], [0.18778, 0.12339]])),
        (DialogueRNNBi, {"listener": True}, 2594, ([[0.05325, 0.11009], [0.05559, 0.11249],
         [0.0566, 0.11358], [0.05745, 0.11475]],
         [[0.19982, 0.1273], [0.19935, 0.12727], [0.19734, 0.12711]])),
    ],
)  # fmt: skip
def test_golden_numbers(kind, settings, parameters, expected):
    system, params = small(kind, **settings)
    assert golden.count(params) == parameters
    logits, _ = answers(system, params)
    for x, numbers in zip(logits, expected, strict=True):
        np.testing.assert_allclose(x[-len(numbers) :], numbers, atol=2e-4)


def test_the_backward_pass_equals_that_of_the_scan(monkeypatch):
    system, params = small(listener=True)
    _, batch = answers(system, params)

    def loss(params):
        outputs, _ = system.apply({"params": params}, batch)
        return jnp.sum(jnp.sin(outputs["answer"]) * batch.mask[..., None])

    gradients = jax.jit(jax.grad(loss))(params)
    monkeypatch.setattr(dialogue, "recur", lambda *args: dialogue._forward(*args)[0])
    expected = jax.jit(jax.grad(lambda params: loss(params)))(params)
    for x, y in zip(*map(jax.tree.leaves, (gradients, expected)), strict=True):
        np.testing.assert_allclose(x, y, atol=2e-6)


def test_names_and_silent_speakers_do_not_matter():
    system, params = small(listener=True)
    expected, _ = answers(system, params)
    renamed, _ = answers(system, params, speakers=[[7, 3, 7, 5], [0, 0, 9]])
    more = system.clone(parties=5)
    for x, y, z in zip(expected, renamed, answers(more, params)[0], strict=True):
        np.testing.assert_allclose(x, y, atol=1e-6)
        np.testing.assert_allclose(x, z, atol=1e-6)


def test_listeners_are_updated_only_if_asked_and_only_if_there_are_any():
    (off, plain), (on, params) = small(), small(listener=True)
    alone = [[0] * 4, [0] * 3]
    pairs = [(answers(system, p, speakers=alone)[0]) for system, p in ((off, plain), (on, params))]
    for x, y in zip(*pairs, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-6)
    assert np.abs(answers(off, plain)[0][0] - answers(on, params)[0][0]).max() > 1e-3


def test_a_taken_slot_begins_as_a_stranger():
    system, params = small(listener=True)
    few = system.clone(parties=2)
    speakers = [[0, 1, 2, 0], [0, 1, 0]]  # the third speaker takes the slot of the first
    full, _ = answers(system, params, speakers=speakers)
    _, batch = answers(system, params, speakers=speakers)
    slot, new = np.array(batch.speakers), np.array(batch.new_speaker)
    slot[0], new[0] = [0, 1, 0, 1], [True, True, True, True]
    batch = batch._replace(speakers=jnp.asarray(slot), new_speaker=jnp.asarray(new))
    outputs, _ = few.apply({"params": params}, batch)
    np.testing.assert_allclose(outputs["answer"][0, :3], full[0][:3], atol=1e-6)
    assert np.abs(outputs["answer"][0, 3] - full[0][3]).max() > 1e-4  # the first one was forgotten


def test_the_window_bounds_what_attention_sees():
    system, params = small()
    narrow = system.clone(window=1)
    wide, logits = (answers(x, params)[0] for x in (system, narrow))
    np.testing.assert_allclose(logits[0][:2], wide[0][:2], atol=1e-6)
    assert np.abs(logits[0][3] - wide[0][3]).max() > 1e-5


def test_reversing_a_conversation_reverses_the_answers_of_swapped_directions():
    system, params = small(DialogueRNNBi, emotion_attention=False)
    _, batch = answers(system, params)
    row = jax.tree.map(lambda x: x[:1], batch)
    names = {"dialogue_forward": "dialogue_backward", "dialogue_backward": "dialogue_forward"}
    drawn = jax.tree.map(
        lambda x: jnp.asarray(np.random.default_rng(0).normal(size=x.shape), jnp.float32), params
    )
    swapped = {names.get(name, name): x for name, x in drawn.items()}
    kernel = drawn["hidden"]["kernel"]
    swapped["hidden"] = drawn["hidden"] | {"kernel": jnp.concatenate([kernel[4:], kernel[:4]])}
    flipped = jax.tree.map(lambda x: x[:, ::-1], row)._replace(
        reset=row.reset, new_speaker=jnp.array([[True, True, True, False]])
    )
    x, _ = system.apply({"params": drawn}, row)
    y, _ = system.apply({"params": swapped}, flipped)
    np.testing.assert_allclose(x["answer"][:, ::-1], y["answer"], atol=1e-5)
