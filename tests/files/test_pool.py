import os
import signal

import pytest

from mman_jax.files import pool


def work(item):
    """Fails on 'bad' items and dies on 'deadly' ones."""
    if item.startswith("deadly"):
        os.kill(os.getpid(), signal.SIGKILL)
    return f"{item} is bad" if item.startswith("bad") else None


@pytest.mark.e2e
@pytest.mark.parametrize("processes", [1, 2])
def test_an_item_that_kills_its_process_is_reported_and_the_others_finish(processes):
    items = ["a", "deadly1", "b", "bad", "c", "deadly2", "d", "e"]
    outcomes = dict(pool.run(work, items, processes))
    failures = {"bad": "bad is bad", "deadly1": pool.DIED, "deadly2": pool.DIED}
    assert outcomes == dict.fromkeys(items) | failures


def test_a_pool_can_be_left_early():
    outcomes = pool.run(work, ["a", "b", "c", "d"], 1)
    assert next(outcomes) == ("a", None)
    outcomes.close()
    assert list(pool.run(work, [], 2)) == []
