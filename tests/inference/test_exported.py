"""The exported functions answer as the models do: whole conversations, and step by step."""

import dataclasses
import datetime
import json

import jax
import numpy as np
import pytest
from jax import export

from configs import clstm_ef
from configs.ablations import no_context
from mman_jax.cli import predict
from mman_jax.data import batching
from mman_jax.errors import InputError
from mman_jax.inference import exported
from tests.inference import trained
from tests.inference.trained import corpus, rows

pytest.importorskip(
    "flatbuffers", reason="jax.export needs flatbuffers: pip install 'mman_jax[export]'"
)


def stepped(step, state, features, present):
    """What the step answers, one utterance of all conversations after the other."""
    count, turns = next(iter(present.values())).shape
    found, states = [], np.broadcast_to(state, (count, len(state)))
    for u in range(turns):
        now = ({m: x[:, u] for m, x in given.items()} for given in (features, present))
        states, probabilities = step(states, *now)
        found.append(probabilities)
    return np.stack(found, axis=1)


def loaded(made):
    return jax.jit(export.deserialize(made.serialize()).call)


SYSTEMS = {
    "single utterances": [dataclasses.replace(trained.model(), context=False)],
    "no_context": [trained.model(no_context)],
    "one-vs-rest": [
        dataclasses.replace(
            trained.model(clstm_ef, seeds, ("no", name), first_seed=seeds), temperature=seeds + 0.5
        )
        for seeds, name in ((1, "happy"), (3, "sad"))
    ],
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_both_functions_answer_as_predict_does(name):
    models, given = SYSTEMS[name], corpus()
    _, expected, _ = predict.answer(models, given)
    features, present, cells = rows(given)
    whole, step = loaded(exported.conversations(models)), loaded(exported.step(models))
    found = np.asarray(whole(features, present))
    np.testing.assert_allclose(found[cells], expected, atol=2e-6)
    state = exported.initial_state(models)
    np.testing.assert_allclose(stepped(step, state, features, present), found, atol=2e-6)
    if len(state):
        # Neither the padding, nor what is missing, nor the number of rows and utterances counts.
        for modality, values in features.items():
            values[~present[modality]] = np.nan
        np.testing.assert_array_equal(whole(features, present)[cells], found[cells])
        some = ({m: x[:1, :2] for m, x in both.items()} for both in (features, present))
        np.testing.assert_allclose(whole(*some), found[:1, :2], atol=2e-6)
        other = whole(features, {m: ~p for m, p in present.items()})
        assert not np.allclose(found, other, atol=1e-3)


@pytest.mark.parametrize("turns", [None, 2.0])
def test_components_are_inside_and_scaling_by_speaker_is_before(turns):
    model, given = trained.by_speaker(turns), corpus()
    features, present, cells = rows(given)
    if turns is not None:
        given = dataclasses.replace(given, speakers=tuple("ab"[i % 2] for i in range(14)))
        plain = dataclasses.replace(model.scaling, components={}, offset={}, causal=True)
        layout = batching.pack(given.lengths, range(3))
        packed = batching.rows(given, layout, plain).features
        for m, x in packed.items():
            scores = batching.gather(layout, np.asarray(x))
            features[m][cells] = model.scaling.mean[m] + scores / model.scaling.scale[m]
    expected = trained.in_turn(model).probabilities(given)
    found = np.asarray(loaded(exported.conversations([model]))(features, present))
    np.testing.assert_allclose(found[cells], expected, atol=2e-6)


def test_they_are_lowered_for_every_platform():
    made = exported.step(SYSTEMS["no_context"])
    assert made.platforms == ("cpu", "cuda", "tpu")
    assert [str(aval.shape[0]) for aval in made.in_avals] == ["b"] * 5


@pytest.fixture
def folder(tmp_path):
    about = {"exported": {"jax": "0.1", "guaranteed_until": "2026-05-01"}}
    (tmp_path / "card.json").write_text(json.dumps(about))
    models = SYSTEMS["no_context"]
    (tmp_path / "conversation.jax").write_bytes(exported.conversations(models).serialize())
    return tmp_path


def test_a_folder_is_loaded_and_its_age_is_reported(folder):
    features, present, cells = rows(corpus())
    loaded_functions = exported.load(folder, datetime.date(2026, 5, 1))
    assert set(loaded_functions) == {"conversation"}
    found = loaded_functions["conversation"](features, present)
    assert found.shape[:2] == cells.shape
    with pytest.warns(UserWarning, match="2026-05-01"):
        exported.load(folder, datetime.date(2026, 5, 2))


def test_functions_that_jax_refuses_are_one_line_with_the_remedy(folder):
    written = (folder / "conversation.jax").read_bytes()
    for damaged in (written[:1000], b""):
        (folder / "conversation.jax").write_bytes(damaged)
        with pytest.raises(InputError, match=r"conversation.jax.*JAX 0.1 wrote it.*safetensors"):
            exported.load(folder, datetime.date(2026, 5, 1))
    (folder / "card.json").write_text("{}")
    with pytest.raises(InputError, match=r"card\.json"):
        exported.load(folder)
