import jax
import pytest

from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.readers import npz
from mman_jax.study.inner import prepare_inner
from mman_jax.study.side_by_side import in_order, opened
from tests import tiny

SCREEN = Screen(quiet=True)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_results_come_in_order_and_the_next_knows_all_but_the_last(width):
    taken, known = [], []

    def begun():
        for number in range(6):
            known.append(len(taken))
            yield lambda number=number: number

    for result in in_order(begun(), width):
        taken.append(result)
    assert taken == list(range(6))
    assert known == [max(0, number - width + 1) for number in range(6)]


def where(inner, number, screen):
    return number, len(inner.held.names), len(jax.devices())


def failing(inner, screen):
    raise ValueError("as it was raised")


def test_what_processes_do_is_what_this_one_does(tmp_path):
    npz.write(tiny.corpus().select_modalities(["speech"]), tmp_path / "corpus.npz")
    config = tiny.recipe(dropout=0.3, epochs=1)
    config.data.path = str(tmp_path / "corpus.npz")
    inner = prepare_inner(config, "3")
    found = []
    for count in (1, 2):
        with opened(inner, SCREEN, config, "3", count, "") as workers:
            waiting = [workers.begin(where, number) for number in range(3)]
            found.append([result() for result in waiting])
            with pytest.raises(ValueError, match="as it was raised"):
                workers.begin(failing)()
    for own in found:
        assert all(seconds >= 0 for _, seconds in own)
    assert [x for x, _ in found[0]] == [x for x, _ in found[1]]
    assert [x[0] for x, _ in found[1]] == [0, 1, 2]
