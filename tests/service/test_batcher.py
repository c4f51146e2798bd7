"""Utterances that wait for answers, without a network."""

import asyncio
import contextlib
import functools
import time

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.inference.answerer import Answerer
from mman_jax.service.batcher import Batcher, Pace
from mman_jax.service.slots import SlotStates, SlotTable
from tests.inference import trained
from tests.inference.trained import LENGTHS, corpus, there

ANSWERER = Answerer([trained.model()])


@contextlib.asynccontextmanager
async def running(count=3, idle=100.0, waiting=100, **more):
    states = SlotStates(ANSWERER, count, sizes=(1, 2))
    batcher = Batcher(states, SlotTable(count, idle), waiting, **more)
    batcher.start(asyncio.get_running_loop())
    try:
        yield batcher
    finally:
        await asyncio.to_thread(batcher.stop)


def asynchronous(test):
    @functools.wraps(test)
    def run(*args, **kwargs):
        asyncio.run(test(*args, **kwargs))

    return run


def probabilities(replies):
    assert {status for status, _ in replies} == {200}, replies
    return [list(said["probabilities"].values()) for _, said in replies]


@asynchronous
async def test_all_that_is_asked_at_once_is_answered_in_order_and_as_in_a_file():
    given, owners = corpus(), np.repeat(np.arange(3), LENGTHS)
    expected = ANSWERER.models[0].probabilities(given)
    for leaves in (None, 1):  # who goes away takes no answer of others along
        async with running() as batcher:
            asked = [
                asyncio.create_task(batcher.ask(f"c{owners[i]}", there(given, i)))
                for i in range(len(owners))
            ]
            await asyncio.sleep(0)
            if leaves is not None:
                asked[leaves].cancel()
            replies = await asyncio.gather(*asked, return_exceptions=True)
        kept = [i for i in range(len(owners)) if i != leaves]
        replies = [replies[i] for i in kept]
        found = probabilities(replies)
        assert [said["conversation"] for _, said in replies] == [f"c{owners[i]}" for i in kept]
        np.testing.assert_allclose(found, expected[kept], atol=3e-6)  # six decimals
    numbers = [n + 1 for length in LENGTHS for n in range(length)]
    assert [said["utterance"] for _, said in replies] == [numbers[i] for i in kept]


@asynchronous
async def test_an_utterance_that_is_counted_is_taken_once():
    async with running() as batcher:
        status, said = await batcher.ask("a", {}, 1)
        assert (status, said["utterance"]) == (200, 1)
        for number in (1, 3):
            status, said = await batcher.ask("a", {}, number)
            assert (status, said["utterances"]) == (409, 1)
        assert (await batcher.ask("b", {}, 2))[0] == 409
        assert len(batcher.table) == 1  # who is refused takes no place
        assert (await batcher.ask("a", {}, 2))[0] == 200


@asynchronous
async def test_places_that_run_out_and_who_has_to_make_room():
    async with running(count=2) as batcher:
        for name in ("a", "b"):
            assert (await batcher.ask(name, {}))[0] == 200
        status, said = await batcher.ask("c", {})
        assert status == 429
        assert "all 2 places for conversations are taken" in said["error"]
        batcher.table.idle_seconds = 0.0
        await asyncio.sleep(0.01)
        assert "forgotten" not in (await batcher.ask("c", {}))[1]
        status, said = await batcher.ask("a", {}, 2)  # a client that counts, and knows nothing
        assert (status, said["utterances"], said["forgotten"]) == (409, 0, True)
        status, said = await batcher.ask("a", {})
        assert (status, said["utterance"], said["forgotten"]) == (200, 1, True)
        assert (await batcher.ask("a", None)) == (200, {"conversation": "a", "end": True})
        assert (await batcher.ask("a", None))[0] == 404
        assert batcher.metrics.forgotten == 1


@asynchronous
async def test_who_is_known_makes_no_room_for_who_comes_in_the_same_moment():
    async with running(count=2, idle=0.0) as batcher:
        for name in ("a", "b"):
            assert (await batcher.ask(name, {}, 1))[0] == 200
        await asyncio.sleep(0.01)
        with batcher._news:
            asked = [asyncio.ensure_future(batcher.ask(*x)) for x in (("c", {}), ("a", {}, 2))]
            await asyncio.sleep(0)
        (new, _), (status, said) = await asyncio.gather(*asked)
        assert (new, status, said["utterance"]) == (200, 200, 2)  # b, who is silent, has to go
        assert "b" in batcher.table.gone


@asynchronous
async def test_more_than_may_wait_is_told_to_come_again_and_then_is_answered():
    async with running(waiting=4) as batcher:
        replies = await asyncio.gather(*(batcher.ask("abc"[n % 3], {}) for n in range(40)))
        statuses = [status for status, _ in replies]
        assert set(statuses) == {200, 429}
        assert statuses.count(200) >= 4
        assert (await batcher.ask("a", {}))[0] == 200


def test_the_wait_is_that_of_the_steps_before_and_of_a_late_event_loop():
    pace = Pace(4)
    assert pace.wait(1000, True) == 0.0  # nothing is known yet: nobody is refused
    pace.add(2.0)
    assert [pace.wait(n, False) for n in (0, 3, 4, 9)] == [0.0, 0.0, 2.0, 4.0]
    assert pace.wait(4, stepping=True) == 4.0
    for _ in range(40):
        pace.add(0.5)  # another load: the past is forgotten
    assert pace.wait(8, False) == pytest.approx(1.0, abs=1e-4)
    pace.delay = 0.25
    assert pace.wait(0, False) == 0.25


@asynchronous
async def test_who_would_wait_for_too_long_is_refused_at_once_and_nobody_else(monkeypatch):
    async with running(longest_wait=0.5) as batcher:
        step = batcher._states.step

        def slow(*given):
            time.sleep(0.3)
            return step(*given)

        monkeypatch.setattr(batcher._states, "step", slow)
        assert (await batcher.ask("a", {}))[0] == 200  # from which the duration is known
        assert batcher.refusal() is None
        asked = [asyncio.create_task(batcher.ask(name, {})) for name in "abc"]
        await asyncio.sleep(0.1)  # a step of two, and one that waits for it and another step
        began = time.monotonic()
        batcher.table.idle_seconds = 0.0
        assert batcher.refusal() is None
        late = asyncio.create_task(batcher.ask("a", {}))
        await asyncio.sleep(0)
        status, said = await batcher.ask("b", {})
        assert (status, said["retry_after"]) == (503, 1)
        assert "it would wait for 0.6 s or more" in said["error"]
        assert time.monotonic() - began < 0.1
        assert [status for status, _ in await asyncio.gather(*asked, late)] == [200] * 4
        # A loop that is late is what bodies wait for; an idle service takes everybody.
        time.sleep(0.6)
        await asyncio.sleep(0.01)
        assert batcher.refusal()[0] == 503
        await asyncio.sleep(0.1)
        batcher._longest_wait = 0.1  # less than a step
        assert (await batcher.ask("a", {}))[0] == 200


@asynchronous
async def test_who_had_to_make_room_is_told_after_a_restart(tmp_path):
    async with running(count=2, path=tmp_path / "states", idle=0.0) as batcher:
        for name in ("a", "b", "c"):  # a has to go
            assert (await batcher.ask(name, {}))[0] == 200
            await asyncio.sleep(0.01)
    async with running(count=1, path=tmp_path / "states", idle=0.0) as batcher:  # b, too: less room
        for name, known in (("c", False), ("b", True), ("a", True), ("d", False)):
            said = (await batcher.ask(name, {}))[1]
            assert said.get("forgotten", False) == known, name
            await asyncio.sleep(0.01)


@asynchronous
async def test_conversations_go_on_after_a_restart_also_of_a_killed_one(tmp_path):
    given, kept, found = corpus(), tmp_path / "states", []
    for first, killed in ((0, False), (2, True), (4, False)):
        async with running(path=kept, every=0.0) as batcher:
            for i in (first, first + 1):
                found.append(await batcher.ask("a", there(given, i), i + 1))
            copy = kept.read_bytes()
        if killed:  # what the last save left, whatever a proper end would have written
            kept.write_bytes(copy)
    expected = ANSWERER.models[0].probabilities(given)[:6]
    np.testing.assert_allclose(probabilities(found), expected, atol=3e-6)
    kept.write_bytes(b"something else")
    with pytest.raises(InputError, match="unreadable"):
        async with running(path=kept):
            pass


@asynchronous
async def test_a_step_that_fails_and_a_disk_that_is_full_end_nothing(tmp_path, monkeypatch, capfd):
    failed = []

    def full(*_):
        failed.append(1)
        raise InputError("states", "no space")

    async with running(path=tmp_path / "states", every=0.0) as batcher:
        assert (await batcher.ask("a", {}))[0] == 200
        with monkeypatch.context() as broken:
            broken.setattr(batcher._states, "step", lambda *_: 1 / 0)
            for name in "ab":
                assert (await batcher.ask(name, {}))[0] == 500
            assert len(batcher.table) == 1
            batcher.table.remember(["c"])
            assert (await batcher.ask("c", {}))[0] == 500
        assert "c" in batcher.table.gone  # it is still to be told
        with monkeypatch.context() as broken:
            broken.setattr("mman_jax.service.slots.write_states", full)
            for number in (2, 3):  # nobody is told that what is not on the disk is there
                status, said = await batcher.ask("a", {})
                assert (status, said["utterance"]) == (503, number)
                assert "could not be saved" in said["error"]
            await asyncio.sleep(0.2)
            status, said = await batcher.ask("a", None)
            assert (status, said["end"]) == (503, True)
            assert said["error"].startswith("it is forgotten here, but that could not be saved")
            assert len(failed) == 3  # and not again and again meanwhile
        status, said = await batcher.ask("a", {})
        assert (status, said["utterance"]) == (200, 1)
    said = capfd.readouterr().err
    assert "ZeroDivisionError" in said
    assert said.count("error: states: no space") == 1


@pytest.mark.parametrize("seconds", [1e10, float("inf")])
@asynchronous
async def test_a_save_in_a_thousand_years_is_waited_for(seconds, tmp_path):
    async with running(path=tmp_path / "states", every=seconds) as batcher:
        for number in (1, 2):
            assert (await batcher.ask("a", {}))[1]["utterance"] == number
            await asyncio.sleep(0.05)  # it waits meanwhile
