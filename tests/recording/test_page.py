"""The page of a recording in a real browser."""

import dataclasses
import io
import wave

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import manifest
from mman_jax.recording import page
from mman_jax.recording.turns import Turn, Turns
from tests.report.test_browser import browser, pytestmark  # noqa: F401

SAID = '</script><b>"so", she said'
ANSWER = {
    "label": "sad",
    "probabilities": {"happy": 0.2, "sad": 0.8},
    "attention": {"speech": {"speech": 1.0, "text": 0.0}, "text": {"speech": 0.5, "text": 0.5}},
}
TURNS = [
    Turn(0.5, 1.25, SAID, ["much louder", "higher"], ANSWER),
    Turn(2.0, 3.0, "", [], ANSWER | {"label": "happy", "unfamiliar": True}),
]

FOUND = Turns(TURNS, np.zeros((2, 88), np.float32), ["Faces were not measured: <why>."])


@pytest.fixture
def recording(tmp_path):
    path, content = tmp_path / "a <talk>.wav", io.BytesIO()
    with wave.open(content, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(np.zeros(4 * 8000, "<i2").tobytes())
    path.write_bytes(content.getvalue())
    return path


def test_the_timeline_follows_and_labels_are_saved_as_clips(browser, recording):  # noqa: F811
    from selenium.webdriver.common.action_chains import ActionChains

    text = page.render(recording, FOUND, ["happy", "sad"])
    assert "http" not in text.replace("http-equiv", "")
    (recording.parent / "p.html").write_text(text)
    browser.get((recording.parent / "p.html").as_uri())
    run = browser.execute_script
    script = """const done = arguments[arguments.length - 1];
      if (player.readyState) done(); else player.onloadeddata = () => done();"""
    browser.execute_async_script(script)
    assert run("return rows.length") == 2
    assert run("return document.querySelector('li q').textContent") == SAID
    assert "much louder, higher" in run("return rows[0].textContent")
    unlike = run("return rows.map((row) => row.textContent.includes('unlike the training data'))")
    assert unlike == [False, True]
    assert "listened to speech 75 %, text 25 %" in run("return rows[0].textContent")
    assert run("return [marks[1].style.left, marks[1].style.width]") == ["50%", "25%"]
    # The recording moves on, and with it what is shown.
    for time, shown in ((0.6, [True, False]), (2.5, [False, True]), (1.5, [False, True])):
        browser.execute_async_script(
            "player.onseeked = () => setTimeout(arguments[1], 50);"
            "player.currentTime = arguments[0];",
            time,
        )
        run("follow()")
        assert run("return rows.map((row) => row.classList.contains('now'))") == shown
    ActionChains(browser).send_keys("1").perform()
    run("seek(0)")
    assert run("return player.currentTime") == 0.5
    ActionChains(browser).send_keys("2").perform()
    table = recording.parent / "clips.csv"
    table.write_text(run("return table()"), newline="")
    first, second = manifest.read(table)
    assert (first.transcript, first.label, first.start, first.end) == (SAID, "sad", 0.5, 1.25)
    assert (second.transcript, second.label) == ("", "happy")
    assert first.path == str(recording)
    ActionChains(browser).send_keys("2").perform()  # the same key again takes it back
    assert run("return labels") == ["", "happy"]
    # A label that is given from the start is shown, and can be taken back.
    again = FOUND._replace(turns=[TURNS[0], dataclasses.replace(TURNS[1], label="happy")])
    (recording.parent / "q.html").write_text(page.render(recording, again, ["happy", "sad"]))
    browser.get((recording.parent / "q.html").as_uri())
    shown = "const b = row.querySelector('b'); return [b.hidden, b.textContent];"
    assert run(f"return rows.map((row) => {{ {shown} }})") == [[True, ""], [False, "happy"]]
    assert run("return about.textContent.endsWith('<why>.')")
    assert browser.get_log("browser") == []


def test_a_recording_that_is_too_large_for_a_page_is_refused(recording, monkeypatch):
    monkeypatch.setattr(page, "_LARGEST", 1000)
    with pytest.raises(InputError, match=r"talk>.wav: 0 MiB, which the page would contain"):
        page.render(recording, FOUND, [])
