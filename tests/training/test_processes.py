import jax
import pytest

from mman_jax.errors import InputError
from mman_jax.training import processes


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("127.0.0.1:4567,2,0", ("127.0.0.1:4567", 2, 0)),
        ("host.example:1,16,15", ("host.example:1", 16, 15)),
        ("127.0.0.1:65535,2,1", ("127.0.0.1:65535", 2, 1)),
        ("[::1]:4567,1,0", ("[::1]:4567", 1, 0)),
    ],
)
def test_address_processes_and_id_are_read(given, meant):
    assert processes.parse(given) == meant


@pytest.mark.parametrize(
    "given",
    [
        "Auto", "127.0.0.1:4567", "127.0.0.1:4567,2", "127.0.0.1,2,0", ":4567,2,0",
        "127.0.0.1:4567,2,2", "127.0.0.1:4567,2,-1", "127.0.0.1:4567,0,0", "127.0.0.1:0,2,0",
        "127.0.0.1:65536,2,0", "127.0.0.1:4567,two,0", "127.0.0.1:4567,2,0,0", "127.0.0.1:4567,²,0",
    ],
)  # fmt: skip
def test_anything_else_is_refused_in_one_line(given):
    with pytest.raises(InputError, match=r"distributed: .*; expected 'auto', or") as caught:
        processes.join(given)
    assert repr(given) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_process_on_its_own_joins_nothing_and_keeps_its_values():
    processes.join("")
    assert processes.is_first()
    assert processes.agree(True) is True
    assert processes.agree(False) is False
    processes.wait("here")


def test_auto_where_nothing_tells_of_others_is_refused(monkeypatch):
    def initialize():
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with pytest.raises(InputError) as caught:
        processes.join("auto")
    assert str(caught.value) == (
        "distributed: 'auto', but no other processes can be found "
        "(coordinator_address should be defined.); expected ADDRESS:PORT,PROCESSES,ID"
    )
