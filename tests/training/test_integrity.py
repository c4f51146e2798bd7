import json
import os

import pytest

from mman_jax.errors import InputError
from mman_jax.training import integrity


@pytest.fixture
def signed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"1234")
    (tmp_path / "y").write_bytes(b"")
    integrity.sign(tmp_path)
    return tmp_path


def test_what_was_signed_is_whole_and_may_be_signed_again(signed):
    integrity.check(signed)
    integrity.sign(signed)
    integrity.check(signed)
    assert sorted(p.name for p in signed.iterdir()) == ["a", integrity.NAME, "y"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: (f / "a" / "x").write_bytes(b"1235"), "a/x: a damaged file"),
        (lambda f: (f / "y").write_bytes(b"1"), "y: a damaged file"),
        (lambda f: (f / "y").unlink(), "y: a missing file"),
        (lambda f: (f / "z").write_bytes(b""), "z: a unknown file"),
        (lambda f: (f / "y").rename(f / "a" / "y"), "a/y: a unknown file"),
        (lambda f: (f / integrity.NAME).unlink(), "no digests.json"),
        (lambda f: (f / integrity.NAME).write_text("{"), "digests.json: unreadable"),
        (lambda f: (f / integrity.NAME).write_text("[" * 9999), "digests.json: unreadable"),
        (lambda f: os.truncate(f / integrity.NAME, 16 << 20), "digests.json: unreadable (Extra"),
        (
            lambda f: os.truncate(f / integrity.NAME, (16 << 20) + 1),
            "digests.json: unreadable (16777217 bytes); expected the digests of a checkpoint",
        ),
        (lambda f: (f / integrity.NAME).write_text("[]"), "digests.json: a list"),
        (lambda f: (f / integrity.NAME).write_text(json.dumps({"y": 1})), "a/x: a unknown file"),
    ],
)
def test_any_change_is_named(signed, change, said):
    change(signed)
    with pytest.raises(InputError) as error:
        integrity.check(signed)
    assert said in str(error.value)
    assert str(signed) in str(error.value)


def test_a_place_that_cannot_be_written_is_the_caller_s_to_name(tmp_path):
    with pytest.raises(FileNotFoundError):
        integrity.sign(tmp_path / "none")
