from experiments.terminal.screen import Screen


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
