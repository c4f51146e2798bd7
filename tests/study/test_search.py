import builtins

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.study import space
from mman_jax.study.search import Row, Search, best, library
from mman_jax.study.trials import Trials, opened

pytest.importorskip("optuna", reason="pip install 'mman_jax[sweep]'")

OWNERS = (space.ALL_TOWERS, "speech", "text")


def search(trials=100, seed=0):
    fields = {owner: space.fields(owner, space.NAMES) for owner in OWNERS}
    first = {o: {f.name: f.near(f.low if f.low else 0) for f in own} for o, own in fields.items()}
    return Search(fields, first, seed, trials)


def row(values, speech, text, pruned=False):
    return Row(values, {"speech": np.array(speech), "text": np.array(text)}, pruned)


def scored(values):
    """A loss that dropout of one tower and the learning rate of the other decide."""
    speech = abs(values["speech"]["dropout"] - 0.5)
    text = abs(np.log10(values["text"]["learning_rate"]) + 3)
    return row(values, [[speech, speech]] * 3, [[text, text]] * 3)


def tried(made, count):
    rows = []
    for _ in range(count):
        rows.append(scored(made.draw(rows)))
    return rows


def test_what_is_drawn_is_in_the_space_and_rounded():
    made = search()
    for drawn in (r.values for r in tried(made, 12)):
        for owner, own in drawn.items():
            fields = made.fields[owner]
            assert set(own) == {f.name for f in fields}
            assert all(f.near(own[f.name]) == own[f.name] for f in fields)
    assert len({str(r.values) for r in tried(made, 9)}) == 9


def test_the_first_trial_is_the_recipe_and_the_last_has_the_best_of_each_owner():
    made = search(trials=6)
    rows = tried(made, 6)
    assert rows[0].values == made.first
    assert all(rows[5].values[o] == best(rows[:5], o).values[o] for o in OWNERS)


def test_nothing_is_combined_before_anything_has_ended():
    made = search(trials=2)
    assert made.draw([], ahead=1) != made.first


def test_each_tower_s_study_learns_from_its_own_loss():
    rows = tried(search(), 60)
    early, late = rows[:15], [r for r in rows[40:]]
    for owner in ("speech", "text"):
        assert np.median([r.loss(owner) for r in late]) < np.median([r.loss(owner) for r in early])


def test_a_search_depends_on_its_rows_and_seed_alone():
    made = search()
    rows = tried(made, 14)
    assert search().draw(rows) == made.draw(rows) == search().draw(list(rows))
    assert made.draw(rows) != made.draw(rows, ahead=1)
    assert search(seed=1).draw(rows) != made.draw(rows)


def test_a_trial_not_among_the_best_third_after_its_first_fold_is_hopeless():
    made = search()
    rows = [row(made.first, [[x, x], [9, 9]], [[x, x], [9, 9]]) for x in (1.0, 2.0, 3.0, 4.0, 5.0)]

    def after_one_fold(speech, text):
        return made.hopeless(rows, {"speech": np.array([[speech]]), "text": np.array([[text]])})

    assert after_one_fold(2.5, 2.5)
    assert not after_one_fold(2.2, 2.2)
    assert not after_one_fold(0.5, 3.9)  # by the mean over the towers
    assert after_one_fold(np.inf, 1.0)
    assert not made.hopeless(rows[:3], {"speech": np.array([[9.0]])})  # too few to compare with
    assert not made.hopeless(rows, {"speech": np.array([[2.2], [99.0]])})  # it was asked before


def test_the_bar_does_not_rise_with_what_it_lets_through():
    made, random = search(), np.random.default_rng(0)
    rows, gone_on = [], 0
    for value in random.permutation(np.linspace(1, 2, 60)):
        pruned = made.hopeless(rows, {"speech": np.array([[value]]), "text": np.array([[value]])})
        rows.append(row(made.first, [[value]] * 3, [[value]] * 3, pruned))
        gone_on += not pruned
    assert 4 + 56 / 5 < gone_on < 4 + 56 / 2


def test_the_best_trial_is_one_that_was_not_given_up():
    made = search()
    rows = [row(made.first, [[0.1]], [[0.1]], pruned=True), row(made.first, [[1.0]], [[2.0]])]
    assert best(rows) is rows[1]
    assert rows[1].loss(space.ALL_TOWERS) == 1.5


def test_rows_on_disk_are_the_rows_and_the_search_goes_on_as_if_never_interrupted(tmp_path):
    made = search()
    rows = tried(made, 11)
    rows.insert(3, row(made.draw(rows[:3]), [[np.inf, 1.0]], [[2.0, 3.0]], pruned=True))
    rows.append(row(made.draw(rows), [[np.inf, 1.0]] * 3, [[2.0, 3.0]] * 3))  # diverged
    for part in (rows[:5], rows[5:]):  # two starts
        with opened(tmp_path / "trials.db") as storage:
            kept = Trials(storage, "towers", made)
            for one in part:
                kept.add(one)
    with opened(tmp_path / "trials.db") as storage:
        read = Trials(storage, "towers", made).rows
        assert Trials(storage, "another", made).rows == []
    assert [r.values for r in read] == [r.values for r in rows]
    assert [r.pruned for r in read] == [r.pruned for r in rows]
    for one, other in zip(read, rows, strict=True):
        np.testing.assert_equal(dict(one.losses), dict(other.losses))
    assert made.draw(read) == made.draw(rows)


def test_a_trial_without_its_losses_is_one_line(tmp_path):
    with opened(tmp_path / "trials.db") as storage:
        Trials(storage, "towers", search())._study.ask()
        with pytest.raises(InputError, match=r"trials\.db: towers: trial 1: no losses"):
            _ = Trials(storage, "towers", search()).rows


def test_what_is_no_storage_is_one_line(tmp_path):
    path = tmp_path / "trials.db"
    path.write_text("something else\n" * 100)
    with pytest.raises(InputError, match=r"trials\.db: cannot be used"), opened(path):
        pass


def test_without_optuna_the_extra_is_named(monkeypatch):
    found = builtins.__import__

    def without(name, *rest):
        if name == "optuna":
            raise ImportError(name)
        return found(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"Optuna is not installed.*mman_jax\[sweep\]"):
        library()
