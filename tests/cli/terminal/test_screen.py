"""What a run shows."""

import pytest

from mman_jax.cli.terminal.screen import Screen


def scores(seeds):
    score = {"mean": 0.512, "std": 0.023, "per_seed": [0.5] * seeds}
    part = dict.fromkeys(("accuracy", "unweighted_recall", "weighted_f1"), score)
    return {"test": part | {"majority_accuracy": 0.4}, "validation": part}


@pytest.mark.parametrize("name", ["accelerometer", "a_" + "very_" * 20 + "long_name"])
def test_a_row_of_a_table_is_one_line_whatever_a_modality_is_called(name, capsys, monkeypatch):
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


def test_scores_have_the_names_that_the_protocol_s_field_gives_them(capsys):
    towers = {"speech": scores(1), "text": scores(1)}
    Screen().table(scores(1) | {"system": "mman", "protocol": "iemocap4", "towers": towers})
    head = capsys.readouterr().out.splitlines()[2]
    assert [cell.strip() for cell in head.strip("┃").split("┃")] == [
        "per cent",
        "test WA",
        "UA",
        "weighted F1",
        "valid.",
    ]


VALENCE = {"name": "valence", "scale": "", "centre": 3.0, "spread": 1.0}


def test_errors_of_numbers_are_no_shares(capsys):
    def part(mae):
        return {"mae": {"mean": mae, "std": 0.0, "per_seed": [mae]}, "mean_answer_mae": 1.5}

    told = {"test": part(1.184), "validation": part(1.025), "towers": {}}
    Screen().table(told | {"system": "mman", "protocol": "auto", "targets": [VALENCE]})
    (row,) = (line for line in capsys.readouterr().out.splitlines() if "mman  " in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["mman", "1.184", "1.025"]


def test_items_and_networks_are_lines_in_a_log(capsys):
    with Screen(every=0.0) as screen:
        screen.items(3, "utterances")
        for _ in range(3):
            screen.advance()
        screen.network("visual", 2, 0.12345)
    said = capsys.readouterr().out.splitlines()
    assert said[-2:] == ["3 of 3 utterances", "visual network: epoch 2, loss 0.123"]
    assert len(said) == 4


def test_in_a_log_lines_come_now_and_then(capsys):
    with Screen(every=1000.0) as screen:
        screen.items(3, "utterances")
        for _ in range(3):
            screen.advance()
        screen.network("visual", 2, 0.12345)
    assert not capsys.readouterr().out


def test_on_a_terminal_items_are_a_bar(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Screen() as screen:
        screen.items(3, "utterances")
        for _ in range(3):
            screen.advance()
    said = capsys.readouterr().out
    assert "utterances" in said
    assert "3/3" in said


def test_a_listing_is_as_wide_as_its_rows(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    Screen().listing("tried", ("trial", "loss", "by fold"), [("1", "0.5", "0.123 " * 20)])
    lines = capsys.readouterr().out.splitlines()
    assert any("0.5" in line and line.count("0.123") == 20 for line in lines)
