from mman_jax.report import analyses
from tests.report import fake

NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


def test_comparisons():
    assert analyses.comparisons(fake.make()).rows[1] == (
        "cLSTM-MMA", "cLSTM-LF", f"{MINUS}0.12", f"{MINUS}1.12 to +0.88", "< 0.001", "0.031",
        "90", "55",
    )  # fmt: skip


def test_positions_name_their_bins_and_may_be_empty():
    results = fake.make()
    results["positions"]["accuracy"]["mman"][3] = None
    table = analyses.positions(results)
    assert table.head == ("system", "1", "2 to 5", "6 to 20", "21 on")
    (mman,) = [cells for cells in table.rows if cells[0] == "MMAN"]
    assert mman == ("MMAN", "52.0", "55.0", "58.0", NONE)
    assert table.rows[-1] == ("utterances", "31", "124", "460", "1008")


def test_ablations_are_measured_against_what_they_vary_either_way_round():
    rows = analyses.ablations(fake.make(ablations=3)).rows
    assert [cells[0] for cells in rows] == [f"MMAN, variant {index}" for index in range(3)]
    # The first pair is (ablation, baseline); the second (baseline, ablation), so it is turned.
    assert rows[0][4:] == ("MMAN", f"{MINUS}3.40", f"{MINUS}4.40 to {MINUS}2.40", "< 0.001")
    assert rows[1][4:] == ("MMAN", f"{MINUS}0.50", f"{MINUS}1.50 to +0.50", "< 0.001")
    assert rows[2][5:] == (NONE, NONE, NONE)


def test_missing_modalities():
    results = fake.make()
    del results["missing"]["mman"]["visual"]
    rows = analyses.missing(results).rows
    assert rows[0][1:3] == ("60.0 ± 0.5", f"45.0 ± 0.5 ({MINUS}15.0)")
    assert rows[1] == (
        "MMAN", "62.0 ± 0.5", f"45.0 ± 0.5 ({MINUS}17.0)", NONE, f"45.0 ± 0.5 ({MINUS}17.0)",
    )  # fmt: skip


def test_evidence_is_labelled_synthetic():
    table = analyses.evidence(fake.make(synthetic=True))
    assert table.caption.startswith("SYNTHETIC")
    assert table.rows[-3:] == (
        ("MMAN", "81.0", "80.0"),
        ("chance: answers drawn as often as the labels", "48.0", NONE),
        ("the labels themselves", NONE, "70.0"),
    )
    assert table.notes[1] == "joint: only two together tell"
