"""Check of a system's life cycle: training, freezing, resuming, saving, loading and exporting."""

import importlib.util
import tempfile
from typing import Any

import jax
import numpy as np

from mman_jax.data import speakers
from mman_jax.data.batching import gather
from mman_jax.data.cells.utterances import Utterances
from mman_jax.data.corpus import Corpus
from mman_jax.data.parts import Parts, prepare
from mman_jax.inference import exported
from mman_jax.inference.model import Model
from mman_jax.tasks import tasks
from mman_jax.testing.systems import Case, training_settings
from mman_jax.training import checkpoints, optimizer
from mman_jax.training.learner import Fitting
from mman_jax.training.mesh import compiling, make_mesh
from mman_jax.training.optimizer import plain
from mman_jax.training.trainer import Trainer

_LENGTHS = {"train": (4, 3, 5, 2), "valid": (3, 2), "test": (4, 3)}  # of conversations
_CYCLE = "life cycle"


def check_life_cycle(case: Case) -> None:
    """Requires training, freezing, resuming, saving, loading and exporting to be consistent."""
    corpus, fits = _corpus(case), case.system_class.learns_by == "fitting"
    cells = Utterances.make(corpus, places=case.system.places)
    parts, name = prepare(corpus, cells=cells), case.system_class.__name__
    network, systems = {"system": name} | plain(case.settings or {}), {name: case.system_class}
    with compiling(quickly=True), tempfile.TemporaryDirectory() as folder:
        params, logits = (_fit if fits else _train)(case, parts)
        arguments = jax.tree.map(np.asarray, params), parts.scaling, network, corpus.dims
        Model(*arguments, corpus.label_names, systems=systems).save(folder)
        model = Model.load(folder, systems)
        layout, probabilities = parts.layouts["test"], model.probabilities(corpus)
        expected = gather(layout, np.asarray(jax.nn.softmax(logits)).mean(0))
        actual = probabilities[corpus.utterances_of(layout.conversations)]
        case.require_close(actual, expected, _CYCLE, "the loaded model differs from the trainer")
        if not fits and importlib.util.find_spec("flatbuffers"):  # jax.export needs it
            _check_export(case, model, corpus, probabilities)


def _train(case: Case, parts: Parts) -> tuple[Any, np.ndarray]:
    """Trains two seeds; returns their parameters and their logits on the test part."""
    (task,) = tasks(parts.corpus, "auto")
    labels, seeds = parts.labels(task), [case.seed, case.seed + 1]
    mesh = make_mesh(len(seeds), "jit", 1, 1)
    trainer = Trainer(case.system, training_settings(case), parts.rows, case.outputs, mesh)
    before = jax.tree.map(np.array, trainer.start(trainer.stages[0], seeds).params)
    snapshots = []
    for snapshot in trainer.run(labels, seeds):  # the next epoch overwrites the state
        snapshots.append(snapshot._replace(state=jax.tree.map(np.array, snapshot.state)))
    for stage in trainer.stages:
        in_stage = [snapshot for snapshot in snapshots if snapshot.stage == stage]
        after, moved = in_stage[-1].state.params, set()
        groups = jax.tree.leaves(trainer.stage(stage).groups)
        pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
        for group, (old, new) in zip(groups, pairs, strict=True):
            case.require(np.isfinite(new).all(), _CYCLE, f"{stage!r} gives non-finite parameters")
            moved |= set() if np.array_equal(old, new) else {group}
        case.require(optimizer.FROZEN not in moved, _CYCLE, f"{stage!r} changes frozen parameters")
        still = ", ".join(sorted({*groups} - {optimizer.FROZEN} - moved))
        case.require(not still, _CYCLE, f"{stage!r} does not train {still}")
        before = in_stage[-1].state.best
        packed = checkpoints.pack(in_stage[0])
        start = checkpoints.unpack(*packed, trainer.stages, trainer.template)
        *_, resumed = trainer.run(labels, seeds, start)
        actual, expected = ((x.state, x.finished) for x in (resumed, snapshots[-1]))
        problem = f"resuming in {stage!r} changes the results"
        case.require_equal(actual, expected, _CYCLE, problem)
    return before, trainer.answers(before)[case.system.head]["test"]


def _fit(case: Case, parts: Parts) -> tuple[Any, np.ndarray]:
    """Fits two seeds of an estimator; returns their parameters and logits on the test part."""
    (task,) = tasks(parts.corpus, "auto")
    fitting = Fitting(case.system, parts.rows)
    (snapshot,) = fitting.run(parts.labels(task), [case.seed, case.seed + 1])
    params = snapshot.state.best
    return params, fitting.answers(params)[case.system.head]["test"]


def _check_export(case: Case, model: Model, corpus: Corpus, probabilities: np.ndarray) -> None:
    """Requires exported functions to predict the first conversation as the model does."""
    from jax import export

    def loaded(function):
        return jax.jit(export.deserialize(function.serialize()).call)

    length, both = int(corpus.lengths[0]), (corpus.features, corpus.present)
    features, present = ({m: x[None, :length] for m, x in values.items()} for values in both)
    inputs: list[dict[str, np.ndarray]] = [features, present]
    if case.system.places:
        slots, new = speakers.places(corpus, [0], case.system.places)
        inputs.append({"speakers": slots[None], "new_speaker": new[None]})
    predictions = [loaded(exported.conversations([model]))(*inputs)[0]]
    if case.system.causal and case.system.streams:
        step, state, turns = loaded(exported.step([model])), exported.initial_state([model]), []
        state = state[None]
        for u in range(length):
            now = ({m: x[:, u] for m, x in values.items()} for values in inputs)
            state, turn = step(state, *now)
            turns.append(turn[0])
        predictions.append(np.stack(turns))
    expected = [probabilities[:length]] * len(predictions)
    case.require_close(predictions, expected, _CYCLE, "an exported function differs from the model")


def _corpus(case: Case) -> Corpus:
    """Returns a random corpus with all three parts, in which modalities are sometimes missing."""
    random, split = np.random.default_rng(case.seed), [p for p in _LENGTHS for _ in _LENGTHS[p]]
    lengths = np.array([n for part in _LENGTHS.values() for n in part], np.int32)
    count = lengths.sum()
    present = {m: random.random(count) < 0.8 for m in case.dims}
    features = {m: random.normal(size=(count, d)) for m, d in case.dims.items()}
    return Corpus(
        features={m: (x * present[m][:, None]).astype(np.float32) for m, x in features.items()},
        labels=np.arange(count, dtype=np.int32) % case.outputs,
        label_names=tuple(f"class_{n}" for n in range(case.outputs)),
        lengths=lengths,
        conversation_ids=tuple(f"conversation_{n}" for n in range(len(lengths))),
        utterance_ids=tuple(f"utterance_{u}" for n in lengths for u in range(n)),
        split=tuple(split),
        speakers=tuple("ab"[n % 5 < 2] for n in range(count)),
        present=present,
    )
