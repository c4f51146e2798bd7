"""Tables that the paper lacks, with cells computed by hand."""

from mman_jax.report import analyses
from mman_jax.tasks.score import MINUS, NONE
from tests.report import fake


def test_comparisons():
    row = ("cLSTM-MMA", "cLSTM-LF", f"{MINUS}0.12", f"{MINUS}1.12 to +0.88", "< 0.001", "0.031")
    assert analyses.comparisons(fake.make())[0].rows[1] == (*row, "90", "55")


def test_positions_and_an_empty_bin():
    results = fake.make()
    results["positions"]["accuracy"]["mman"][3] = None
    table = analyses.positions(results)
    assert table.head == ("system", "1", "2 to 5", "6 to 20", "21 on")
    assert ("MMAN", "52.0", "55.0", "58.0", NONE) in table.rows
    assert table.rows[-1] == ("utterances", "31", "124", "460", "1008")


def test_ablations_are_compared_with_their_baseline():
    rows = analyses.ablations(fake.make(ablations=3))[0].rows
    assert [cells[0] for cells in rows] == [f"MMAN, variant {index}" for index in range(3)]
    # The first pair is (ablation, baseline), the second one (baseline, ablation).
    assert rows[0][4:] == ("MMAN", f"{MINUS}3.40", f"{MINUS}4.40 to {MINUS}2.40", "< 0.001")
    assert rows[1][4:] == ("MMAN", f"{MINUS}0.50", f"{MINUS}1.50 to +0.50", "< 0.001")
    assert rows[2][5:] == (NONE, NONE, NONE)


def test_missing_modalities():
    results = fake.make()
    del results["missing"]["mman"]["visual"]
    rows = analyses.missing(results)[0].rows
    assert rows[0][1:3] == ("60.0 ± 0.5", f"45.0 ± 0.5 ({MINUS}15.0)")
    lower = f"45.0 ± 0.5 ({MINUS}17.0)"
    assert rows[1] == ("MMAN", "62.0 ± 0.5", lower, NONE, lower)


def test_scores_by_the_utterances_of_context():
    results = fake.make()
    assert analyses.context(results) == ()
    gain = {"accuracy": 0.02, "interval": [-0.01, 0.05]}
    results["systems"]["mman"]["context"] = {
        "0": {
            "test": {"accuracy": fake.score(0.6) | {"interval": [0.5, 0.7]}},
            "cut": 1629,
            "difference": gain,
        },
        "1": {"test": {"accuracy": fake.score(0.61)}, "cut": 1598, "difference": gain},
        "300": {"test": {"accuracy": fake.score(0.62)}, "cut": 0, "difference": gain},
    }
    (table,) = analyses.context(results)
    assert table.head == ("system", "none", "last 1", "all", "all over none")
    cells = ("60.0 [50.0, 70.0]", "61.0", "62.0")
    assert table.rows[0] == ("MMAN", *cells, f"+2.00 ({MINUS}1.00 to +5.00)")
    assert table.rows[1][1:] == ("1629", "1598", "", "")


def test_evidence_of_the_synthetic_corpus():
    table = analyses.evidence(fake.make(synthetic=True))
    assert table.caption.startswith("SYNTHETIC")
    assert table.rows[-3] == ("MMAN", "81.0", "80.0")
    assert [cells[1:] for cells in table.rows[-2:]] == [("48.0", NONE), (NONE, "70.0")]
    assert table.notes[1] == "joint: only two together tell"


def test_scores_by_class():
    results = fake.make()
    table = analyses.by_class(results)[-1]
    assert table.name == "classes_mman"
    assert table.caption.startswith("MMAN: ")
    assert table.rows[1] == ("sad", "51.0 ± 0.5", "60.0 ± 0.5", "55.0 ± 0.5", "100")
    assert table.rows[-1][2:4] == ("60.0 ± 0.5", "59.0 ± 0.5")  # unweighted recall, macro F1
    for system in results["systems"].values():
        del system["test"]["per_class"]
    assert analyses.by_class(results) == ()


def test_calibration():
    (figure, table), (again, _) = (analyses.calibration(fake.make(), "SYNTHETIC") for _ in range(2))
    assert figure.png.startswith(b"\x89PNG")
    assert figure.png == again.png
    assert table.rows[0][1:] == ("1.25", "12.3", "4.5", "12.3", "4.5")
    assert analyses.calibration({"systems": {}}) == ()


def test_scores_by_group():
    results = fake.make()
    gender, speaker = analyses.by_group(results)
    assert gender.head[:4] == ("gender", "utterances", "conversations", "cLSTM-Speech")
    assert gender.rows[0][:4] == ("f", "40", "4", "52.0 ± 0.5")
    assert [row[3] for row in gender.rows[2:]] == ["f over m", "+6.0", f"{MINUS}1.0 to +13.0"]
    assert len(speaker.rows) == 14
    assert speaker.folded
    assert "s00, s01" in speaker.notes[0]  # single conversations, which the gap leaves out
    for system in results["systems"].values():
        del system["groups"]
    assert analyses.by_group(results) == ()


def test_cost_of_selecting_on_the_test_part():
    first = analyses.selection(fake.make())[0].rows[0]
    assert first == ("cLSTM-Speech", "50.0 ± 0.5", "51.2 ± 0.5", "+1.2", "9 to 11")
    assert analyses.selection(fake.make(seeds=1))[0].rows[0][-1] == "9"


def test_retraining_is_compared_with_the_selected_model():
    results = fake.make()
    assert analyses.refit(results) == ()
    system = results["systems"]["clstm_speech"]
    system["before_refit"] = {"test": {"accuracy": fake.score(0.51, 2)}}
    (table,) = analyses.refit(results)
    assert table.rows == (("cLSTM-Speech", "51.0 ± 0.5", "50.0 ± 0.5", f"{MINUS}1.00"),)
    # Selection is that of the model that had not learnt from the validation part.
    assert analyses.selection(results)[0].rows[0][1:4] == ("51.0 ± 0.5", "51.2 ± 0.5", "+0.2")


def test_numbers_have_errors_and_concordance():
    mae, ccc, before = (fake.score(x, 1) | {"mean": x, "std": 0.0} for x in (0.9, 0.6, 1.0))
    system = {"title": "T", "test": {"mae": mae, "ccc": ccc}, "test_oracle": {"ccc": ccc}}
    system |= {"best_epoch": [3], "before_refit": {"test": {"mae": before, "ccc": ccc}}}
    target = {"name": "sentiment", "scale": "", "centre": 0.0, "spread": 1.0}
    results = {"targets": [target], "systems": {"t": system}}
    assert analyses.refit(results)[0].rows == (("T", "1.000", "0.900", "0.100"),)
    (table,) = analyses.selection(results)
    assert "test CCC" in table.caption
    assert table.rows == (("T", "0.600", "0.600", "0.000", "3"),)
