from mman_jax.report import analyses
from mman_jax.tasks.score import MINUS
from tests.report import fake

TARGET = {"name": "sentiment", "scale": "", "centre": 0.0, "spread": 1.0}


def test_the_cost_of_selecting_on_the_test_part():
    first = analyses.selection(fake.make()).rows[0]
    assert first == ("cLSTM-Speech", "50.0 ± 0.5", "51.2 ± 0.5", "+1.2", "9 to 11")
    assert analyses.selection(fake.make(seeds=1)).rows[0][-1] == "9"


def test_training_again_is_told_beside_the_choice():
    results = fake.make()
    assert analyses.refit(results) == ()
    system = results["systems"]["clstm_speech"]
    system["before_refit"] = {"test": {"accuracy": fake.score(0.51, 2)}}
    (table,) = analyses.refit(results)
    assert table.rows == (("cLSTM-Speech", "51.0 ± 0.5", "50.0 ± 0.5", f"{MINUS}1.00"),)
    # What was picked on validation is the one before it learnt from validation.
    assert analyses.selection(results).rows[0][1:4] == ("51.0 ± 0.5", "51.2 ± 0.5", "+0.2")


def test_numbers_are_told_by_their_errors_and_concordance():
    mae, ccc = ({"mean": x, "std": 0.0, "per_seed": [x]} for x in (0.9, 0.6))
    system = {"title": "T", "test": {"mae": mae, "ccc": ccc}, "test_oracle": {"ccc": ccc}}
    system |= {
        "best_epoch": [3],
        "before_refit": {"test": {"mae": mae | {"mean": 1.0}, "ccc": ccc}},
    }
    results = {"targets": [TARGET], "systems": {"t": system}}
    assert analyses.refit(results)[0].rows == (("T", "1.000", "0.900", "0.100"),)
    table = analyses.selection(results)
    assert "test CCC" in table.caption
    assert table.rows == (("T", "0.600", "0.600", "0.000", "3"),)
