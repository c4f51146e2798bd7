import json

import pytest

from tests.children import run


def test_a_line_says_what_was_measured_and_on_what(tmp_path):
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
