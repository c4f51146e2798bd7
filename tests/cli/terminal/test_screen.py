"""Output of a run on a terminal and in a log."""

import pytest

from mman_jax.cli.terminal.screen import Screen


def scores(seeds):
    score = {"mean": 0.512, "std": 0.023, "per_seed": [0.5] * seeds}
    part = dict.fromkeys(("accuracy", "unweighted_recall", "weighted_f1"), score)
    return {"test": part | {"majority_accuracy": 0.4}, "validation": part}


def cells(row, border):
    return [cell.strip() for cell in row.strip(border).split(border)]


@pytest.mark.parametrize("name", ["accelerometer", "a_" + "very_" * 20 + "long_name"])
def test_rows_are_one_line_for_any_name_of_a_modality(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    towers = {modality: scores(10) for modality in (name, "text")}
    Screen().table(scores(10) | {"system": "mman", "protocol": "auto", "towers": towers})
    lines = capsys.readouterr().out.splitlines()
    for tower in towers:
        (row,) = (line for line in lines if f"tower {tower} " in line)
        assert row.count("51.2 ± 2.3") == 4
    (head,) = (line for line in lines if "unweighted recall" in line)
    assert "test accuracy" in head
    assert "…" not in "".join(lines)


def test_protocols_name_the_scores(capsys):
    towers = {"speech": scores(1), "text": scores(1)}
    Screen().table(scores(1) | {"system": "mman", "protocol": "iemocap4", "towers": towers})
    head = capsys.readouterr().out.splitlines()[2]
    assert cells(head, "┃") == ["per cent", "test WA", "UA", "weighted F1", "valid."]


def test_the_baseline_is_a_row_with_intervals_and_the_last_line_says_if_it_is_not_beaten(capsys):
    results = scores(2) | {"system": "mman", "protocol": "auto", "towers": {}}
    results["resampled"] = {"unit": "speakers", "count": 10}
    results["test"]["accuracy"] = results["test"]["accuracy"] | {"interval": [0.45, 0.57]}
    difference = {"accuracy": -0.012, "interval": [-0.04, 0.016]}
    results["baseline"] = scores(1) | {"system": "linear", "difference": difference}
    Screen().table(results)
    lines = capsys.readouterr().out.splitlines()
    assert any("│ mman " in line and "51.2 ± 2.3 [45.0, 57.0]" in line for line in lines)
    (row,) = (line for line in lines if "linear baseline" in line and "│" in line)
    assert row.count("51.2") == 4
    assert "95 % intervals in brackets: 10 speakers resampled" in lines
    minus = "\N{MINUS SIGN}"
    assert f"{minus}1.2 points (95 % interval {minus}4.0 to +1.6, 10 speakers" in lines[-1]
    results["baseline"]["difference"] = {"accuracy": 0.1, "interval": [0.04, 0.16]}
    Screen().table(results)
    assert "not better" not in capsys.readouterr().out


def test_errors_of_numbers_are_not_percentages(capsys):
    def part(mae):
        score = {"mae": {"mean": mae, "std": 0.0, "per_seed": [mae, mae]}}
        return score | {"mean_answer_mae": 1.5, "by_target": {"valence": score}}

    target = {"name": "valence", "scale": "", "centre": 3.0, "spread": 1.0}
    results = {"test": part(1.184), "validation": part(1.025), "towers": {}, "targets": [target]}
    ensemble = {"test": {"mae": {"mean": 1.1}}}
    Screen().table(results | {"system": "mman", "protocol": "auto", "ensemble": ensemble})
    rows = [cells(line, "│") for line in capsys.readouterr().out.splitlines() if "│" in line]
    assert rows[0] == ["mman", "1.184 ± 0.000", "1.025 ± 0.000"]
    assert rows[1] == ["ensemble of the seeds", "1.100", ""]
    assert rows[2] == ["target valence", "1.184 ± 0.000", ""]


def show(every=0.0):
    with Screen(every=every) as screen:
        screen.items(3, "utterances")
        for _ in range(3):
            screen.advance()
        screen.network("visual", 2, 0.12345)


def test_a_log_has_lines_at_an_interval(capsys):
    show()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[-2:] == ["3 of 3 utterances", "visual network: epoch 2, loss 0.123"]
    show(every=1000.0)
    assert not capsys.readouterr().out


def test_a_terminal_has_a_bar(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    show()
    output = capsys.readouterr().out
    assert "utterances" in output
    assert "3/3" in output


def test_listings_are_as_wide_as_their_rows(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    Screen().listing("tried", ("trial", "loss", "by fold"), [("1", "0.5", "0.123 " * 20)])
    lines = capsys.readouterr().out.splitlines()
    assert any("0.5" in line and line.count("0.123") == 20 for line in lines)
