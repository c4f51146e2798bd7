import json
import pickle
import time

import pytest

from experiments.benchmark import commands, peers, serving, watched
from mman_jax.data.readers.read import read_corpus
from mman_jax.inference.answerer import Answerer
from mman_jax.trial.stored import load_models
from tests.children import run


def test_a_line_has_the_rate_of_useful_work(tmp_path):
    (tmp_path / "lengths.json").write_text('{"train": [3, 2, 2]}')
    ended = run("experiments.bench", "--case=epoch", f"--lengths={tmp_path}/lengths.json")
    assert ended.returncode == 0, ended.stderr
    (line,) = [json.loads(text) for text in ended.stdout.splitlines()]
    assert line["case"] == "epoch"
    assert line["utterances"] == 7
    assert line["parameters"] == 4_392_116  # the four towers of MMAN, without the fusion's 68
    assert line["utterances_per_second"] == pytest.approx(7 / line["seconds"])
    work = 6 * 4_392_116 * 7 / line["seconds"] / 1e9
    assert line["useful_gflop_per_second"] == pytest.approx(work)
    ratio = work / line["matmul_peak_gflop_per_second"]
    assert line["useful_over_peak"] == pytest.approx(ratio)
    assert set(line["versions"]) == {"jax", "python"}


def test_an_unknown_case_is_refused_with_the_near_match():
    ended = run("experiments.bench", "--case=epochs")
    assert ended.returncode == 2
    assert "'epoch'" in ended.stderr


@pytest.mark.parametrize(("network", "count"), [("towers", 4_392_116), ("mult", 1_069_832)])
def test_the_peers_have_the_size_of_the_systems(network, count):
    torch = pytest.importorskip("torch", reason="the peers need the extra torch")
    module = getattr(peers, network)(torch)
    assert sum(p.numel() for p in module.parameters()) == count


@pytest.mark.parametrize("mode", peers.MODES)
def test_the_peer_runs(mode, tmp_path):
    pytest.importorskip("torch", reason="the peers need the extra torch")
    (tmp_path / "lengths.json").write_text('{"train": [3, 1, 2]}')
    lengths = f"--lengths={tmp_path}/lengths.json"
    ended = run("experiments.benchmark.peers", f"--mode={mode}", lengths)
    assert ended.returncode == 0, ended.stderr
    line = json.loads(ended.stdout)
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


def test_programs_are_separate_and_small_ones_are_summed():
    event = "/jax/core/compile/"
    watch = watched.Watch()
    programs = [("big", "jit(big)", 2.0), ("big", "jit(big)", 0.5), ("tiny", "jit(tiny)", 0.01)]
    for traced, name, seconds in programs:
        watch.compiled(event + "jaxpr_trace_duration", 0.03, fun_name=traced)
        watch.compiled(event + "jaxpr_to_mlir_module_duration", 0.02, fun_name=name)
        watch.compiled(event + "backend_compile_duration", seconds, fun_name=name)
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
    called = watch.timed("restoring", lambda x: time.sleep(0.2) or x)
    assert called(3) == 3
    first, restored = watch.parts
    assert first["part"] == "first epoch"
    assert restored["part"] == "restoring"
    assert restored["seconds"] >= 0.2 > restored["cpu_seconds"]
    assert "fusion" in capsys.readouterr().out


def test_a_watched_command_runs(tmp_path):
    record = tmp_path / "record.json"
    ended = run("experiments.benchmark.watched", record, "predict", "--help")
    assert ended.returncode == 0, ended.stderr
    assert "--checkpoint" in ended.stdout
    parts = [part["part"] for part in json.loads(record.read_text())["parts"]]
    assert parts == ["imports", "whole"]


def test_seconds_are_those_that_a_sweep_prints():
    output = """\
inside training, by 3 groups: 1 validates, the 2 others train
all, trial 1/2: all 1.3012, 30 s; batch=30
towers, trial 1/2: speech 1.3012, text 1.1000, 12 s; dropout=0.3 hidden=300; dropout=0.3
towers, trial 2/2: speech 1.2812, text 1.1200 (pruned), 8 s; dropout=0.1 hidden=30; dropout=0.2
"""
    assert commands.trial_seconds(output) == {"all": [30], "towers": [12, 8]}
