"""Corpora of any modalities, sizes and protocols are trained on."""

import numpy as np
import pytest

from configs import clstm_text
from mman_jax.cli import predict
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import npz
from mman_jax.trial import corpora
from tests import iemocap_pickle, tiny
from tests.trial.test_runner import check_scores, on, run


@pytest.mark.usefixtures("blank_pictures")
def test_iemocap_s_shape_trains_under_other_protocols(tmp_path):
    # The paper's own, of four classes, trains in `test_study`.
    path = tmp_path / "IEMOCAP_features_raw.pkl"
    iemocap_pickle.write(path, dims=(4, 3, 5))
    counts = {}
    for protocol in ("iemocap6", "binary4"):
        config = on(path, tiny.shrink(clstm_text.get_config(), epochs=1), protocol=protocol)
        results = run(config, tmp_path / protocol)
        tasks = results.get("tasks", {protocol: results})
        counts[protocol] = {int(np.sum(t["test"]["confusion"])) for t in tasks.values()}
        if protocol == "binary4":
            assert set(tasks) == {"happy", "sad", "neutral", "angry"}
            majority = [round(100 * t["test"]["majority_accuracy"], 2) for t in tasks.values()]
            assert majority == [84.73, 74.02, 59.28, 81.97]
            classes, probabilities, _ = predict.answer(
                predict.load_models(tmp_path / protocol), corpora.load_corpus(config.data)
            )
            assert sorted(classes) == ["angry", "happy", "neutral", "sad"]
            assert probabilities.shape == (7433, 4)
    assert counts == {"iemocap6": {1623}, "binary4": {943}}


def numbered_corpus(dims, lengths=(1, 3, 2, 4, 1, 2)):
    random = np.random.default_rng(0)
    total = sum(lengths)
    return Corpus(
        features={m: random.normal(size=(total, d)).astype(np.float32) for m, d in dims.items()},
        labels=np.arange(total, dtype=np.int32) % 2,
        label_names=("no", "yes"),
        lengths=np.asarray(lengths, np.int32),
        conversation_ids=tuple(f"c{i}" for i in range(len(lengths))),
        utterance_ids=tuple(f"u{i}" for i in range(total)),
        split=("train", "train", "train", "train", "valid", "test"),
    )


@pytest.mark.parametrize(
    ("config", "dims"),
    [
        (tiny.small("clstm_mma"), {"a": 3, "b": 1, "c": 5, "d": 2}),
        (tiny.recipe(epochs=1), {"only": 1}),
    ],
    ids=["four", "one"],  # two: everywhere else
)
def test_any_modalities_and_sizes(config, dims, tmp_path):
    npz.write(numbered_corpus(dims), tmp_path / "corpus.npz")
    results = run(on(tmp_path / "corpus.npz", config), tmp_path / "run")
    assert results["corpus"]["dimensions"] == dims
    assert set(results["towers"]) == ({"only"} if len(dims) == 1 else {"mma"})
    check_scores(results, 1)
