import importlib.util
import json
import pickle
import time

import jax
import numpy as np
import pytest

from experiments.benchmark import commands, peers, serving, systems, tpu, watched
from experiments.benchmark.measure import conversations, parts
from mman_jax.data.readers.read import read_corpus
from mman_jax.errors import InputError
from mman_jax.inference.answerer import Answerer
from mman_jax.systems import build
from mman_jax.training.learner import make_learner
from mman_jax.training.mesh import make_mesh
from mman_jax.trial import config
from mman_jax.trial.stored import load_models
from tests.children import run


def printed(*arguments):
    ended = run(*arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.e2e
def test_lines_have_the_rate_of_useful_work(tmp_path):
    (tmp_path / "lengths.json").write_text('{"train": [3, 2, 2]}')
    lengths = f"--lengths={tmp_path}/lengths.json"
    line = json.loads(printed("experiments.bench", "--case=epoch", lengths))
    assert line["case"] == "epoch"
    assert line["utterances"] == 7
    assert line["parameters"] == 4_392_116  # the four towers of MMAN, without the fusion's 68
    assert line["utterances_per_second"] == pytest.approx(7 / line["seconds"])
    work = 6 * 4_392_116 * 7 / line["seconds"] / 1e9
    assert line["useful_gflop_per_second"] == pytest.approx(work)
    ratio = work / line["matmul_peak_gflop_per_second"]
    assert line["useful_over_peak"] == pytest.approx(ratio)
    assert set(line["versions"]) == {"jax", "python"}


@pytest.mark.parametrize(
    ("flags", "found"),
    [(["--case=epochs"], "'epoch'"), (["--case=read", "--peer"], "--peer: given with --case=read")],
)
def test_unusable_cases_are_refused(flags, found):
    ended = run("experiments.bench", *flags)
    assert ended.returncode == 2
    assert found in ended.stderr


@pytest.mark.parametrize(("network", "count"), [("towers", 4_392_116), ("mult", 1_069_832)])
def test_peers_have_the_size_of_the_systems(network, count):
    torch = pytest.importorskip("torch", reason="the peers need the extra torch")
    module = getattr(peers, network)(torch)
    assert sum(p.numel() for p in module.parameters()) == count


@pytest.mark.e2e
@pytest.mark.parametrize("mode", peers.MODES)
def test_peers_run(mode, tmp_path):
    pytest.importorskip("torch", reason="the peers need the extra torch")
    (tmp_path / "lengths.json").write_text('{"train": [3, 1, 2]}')
    flags = (f"--mode={mode}", f"--lengths={tmp_path}/lengths.json")
    line = json.loads(printed("experiments.benchmark.peers", *flags))
    assert line["mode"] == mode
    assert line["utterances_per_second"] == pytest.approx(6 / line["seconds"])


def test_the_large_file_is_readable(tmp_path, monkeypatch):
    sizes = {"text": (5, 3), "audio": (4, 2), "vision": (3, 2)}
    monkeypatch.setattr(commands, "SIZES", sizes)
    commands.write_pickle(tmp_path / "x.pkl", {"train": 17, "valid": 2, "test": 9})
    corpus = read_corpus(tmp_path / "x.pkl")
    assert corpus.dims == {"speech": 2, "visual": 2, "text": 3}
    assert (len(corpus.labels), corpus.split.count("train")) == (28, 3)
    parts = pickle.loads((tmp_path / "x.pkl").read_bytes())
    assert all(part[key].flags.c_contiguous for part in parts.values() for key in sizes)


def test_the_untrained_model_predicts(tmp_path):
    serving.write_untrained(tmp_path)
    answerer = Answerer(load_models(tmp_path))
    _, answer = answerer.step(answerer.begin(), {})
    assert set(answer.probabilities) == set("abcd")


def test_large_programs_are_listed_and_small_ones_summed():
    event, watch = "/jax/core/compile/", watched.Watch()
    for name, seconds in (("big", 2.0), ("big", 0.5), ("tiny", 0.01)):
        watch.compiled(event + "jaxpr_trace_duration", 0.03, fun_name=name)
        watch.compiled(event + "jaxpr_to_mlir_module_duration", 0.02, fun_name=f"jit({name})")
        watch.compiled(event + "backend_compile_duration", seconds, fun_name=f"jit({name})")
    watch.compiled("/jax/compilation_cache/cache_retrieval_time_sec", 9.0)
    record = {"parts": [], "programs": watch.programs}
    lines = list(commands.measurements(record, command="run"))
    *big, small = [(line["part"], pytest.approx(line["seconds"])) for line in lines]
    assert big == [("program", 2.05), ("program", 0.55)]
    assert small == ("smaller programs", 0.06)
    assert lines[-1]["programs"] == 1


def test_the_end_of_the_first_epoch_is_recorded_once(capsys):
    watch = watched.Watch()
    with watch.listening():
        print("towers: epoch 1/3  loss 1")
        print("fusion: epoch 1/3  loss 1")
    timed = watch.timed("restoring", lambda x: time.sleep(0.2) or x)
    assert timed(3) == 3
    first, restored = watch.parts
    assert [first["part"], restored["part"]] == ["first epoch", "restoring"]
    assert restored["seconds"] >= 0.2 > restored["cpu_seconds"]
    assert "fusion" in capsys.readouterr().out


def test_a_watched_command(tmp_path):
    record = tmp_path / "record.json"
    text = printed("experiments.benchmark.watched", record, "predict", "--help")
    assert "--checkpoint" in text
    parts = [part["part"] for part in json.loads(record.read_text())["parts"]]
    assert parts == ["imports", "whole"]


def test_seconds_of_a_sweep():
    output = """\
inside training, by 3 groups: 1 validates, the other 2 train
all, trial 1/2: all 1.3012, 30 s; batch=30
towers, trial 1/2: speech 1.3012, text 1.1000, 12 s; dropout=0.3 hidden=300; dropout=0.3
towers, trial 2/2: speech 1.2812, text 1.1200 (pruned), 8 s; dropout=0.1 hidden=30; dropout=0.2
"""
    assert commands.trial_seconds(output) == {"all": [30], "towers": [12, 8]}


def test_operations_of_a_loop_count_as_often_as_it_runs():
    def program(x, matrices):
        x, _ = jax.lax.scan(lambda x, matrix: (x @ matrix, None), x, matrices)
        return jax.lax.cond(x[0, 0] > 0, lambda: x @ x.T, lambda: x[:, :1] @ x[:, :1].T)

    traced = jax.jit(program).trace(np.ones((2, 3), np.float32), np.ones((5, 3, 3), np.float32))
    assert tpu.operations(traced.jaxpr.jaxpr) == 5 * 2 * 2 * 3 * 3 + 2 * 2 * 2 * 3


def test_the_program_of_a_frozen_fusion_is_traced_on_a_mesh():
    rows = parts(conversations(np.array([2, 3]), dims={"a": 2, "b": 3}, classes=2))
    settings = config.of("mman")
    system = build(config.network(settings), ["a", "b"], 2)
    trainer = make_learner(system, settings.train, rows, classes=2, mesh=make_mesh(1))
    traced = tpu._trace(trainer, rows, "fusion", make_mesh(1))
    assert 0 < tpu.operations(traced.jaxpr.jaxpr) < 1e6


@pytest.mark.skipif(bool(importlib.util.find_spec("libtpu")), reason="libtpu is installed")
def test_a_missing_compiler_is_named():
    with pytest.raises(InputError) as error:
        next(tpu.case_tpu(np.array([2])))
    assert error.value.place == "libtpu"


def test_the_speed_of_an_estimator():
    line = systems.measure("linear")
    assert line["system"] == "linear"
    assert line["seconds"] > 0
    assert line["parameters"] > 0
