import pytest

from mman_jax.data.readers.items import parse_name

NAMES = {
    "Ses01F_impro01_F000": ("Ses01F_impro01", None, "Ses01_F", "Ses01"),
    "Ses05M_script01_1b_M012": ("Ses05M_script01_1b", None, "Ses05_M", "Ses05"),
    "dia3_utt12": ("0003", 12, None, None),
    "val_dia0_utt1": ("1039", 1, None, None),
    "test_dia279_utt0": ("1432", 0, None, None),
    "_a-b$_$10": ("_a-b", 10, None, None),
    "03b_S[7]": ("03b_S", 7, None, None),
    "c_d_2": ("c_d", 2, None, None),
    **dict.fromkeys(("", "video", "a[x]", "a$_$b", "_1", "a_", "a_9999999999", "sample_00000001")),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_known_corpora_are_parsed(name):
    assert parse_name(name) == NAMES[name]


def test_the_part_of_a_dialogue_and_numbers_may_be_given():
    assert parse_name("dia2_utt0", "test").conversation == "1155"
    assert parse_name("train_dia2_utt0", "test").conversation == "0002"
    assert parse_name("0001_000351", numbered=False) is None
    assert parse_name("va[3]", numbered=False) == ("va", 3, None, None)
