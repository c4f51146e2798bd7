"""The page of a recording in a browser."""

import dataclasses
import json
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.io import wavfile

from mman_jax.errors import InputError
from mman_jax.features import manifest
from mman_jax.features.text import subtitles
from mman_jax.recording import labels, page
from mman_jax.recording.turns import Turn, Turns
from mman_jax.service import web
from mman_jax.service.audio import AudioInput
from tests.report.test_browser import browser, pytestmark, run  # noqa: F401
from tests.service.test_web import serving

SAID = '</script><b>"so", she said'
ANSWER = {
    "label": "sad",
    "probabilities": {"happy": 0.2, "sad": 0.8},
    "attention": {"speech": {"speech": 1.0, "text": 0.0}, "text": {"speech": 0.5, "text": 0.5}},
}
TURNS = [
    Turn(0.5, 1.25, SAID, ["much louder", "higher"], ANSWER),
    Turn(2.0, 3.0, "", [], ANSWER | {"label": "happy", "unfamiliar": True}, speaker="speaker 2"),
]
LABELS = ("sad", "happy", "")
FOUND = Turns(
    TURNS, np.zeros((2, 88), np.float32), ["Faces were not measured: <why>."], [0, 50, 100]
)


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "a <talk>.wav"
    wavfile.write(path, 8000, np.zeros(4 * 8000, np.int16))
    return path


def test_the_timeline_follows_and_labels_are_saved_as_clips(browser, run, recording):  # noqa: F811
    from selenium.webdriver.common.action_chains import ActionChains

    def press(key):
        ActionChains(browser).send_keys(key).perform()

    def show(turns):
        text = page.render(recording, turns, ["happy", "sad"])
        assert "http" not in text.replace("http-equiv", "")
        (recording.parent / "p.html").write_text(text)
        browser.get((recording.parent / "p.html").as_uri())

    show(FOUND)
    browser.execute_async_script(
        """const done = arguments[arguments.length - 1];
        if (player.readyState) done(); else player.onloadeddata = () => done();"""
    )
    assert run("return rows.length") == 2
    assert run("return document.querySelector('li q').textContent") == SAID
    assert "much louder, higher" in run("return rows[0].textContent")
    unlike = run("return rows.map((row) => row.textContent.includes('unlike the training data'))")
    assert unlike == [False, True]
    assert "listened to speech 75 %, text 25 %" in run("return rows[0].textContent")
    assert run("return [marks[1].style.left, marks[1].style.width]") == ["50%", "25%"]
    # The marked turn follows the recording.
    for time, marked in ((0.6, [True, False]), (2.5, [False, True]), (1.5, [False, True])):
        browser.execute_async_script(
            "player.onseeked = () => setTimeout(arguments[1], 50);"
            "player.currentTime = arguments[0];",
            time,
        )
        run("follow()")
        assert run("return rows.map((row) => row.classList.contains('now'))") == marked
    press("1")
    run("seek(0)")
    assert run("return player.currentTime") == 0.5
    press("2")
    table = recording.parent / "clips.csv"
    table.write_text(run("return table()"), newline="")
    first, second = manifest.read(table)
    assert (first.transcript, first.label, first.start, first.end) == (SAID, "sad", 0.5, 1.25)
    assert (second.transcript, second.label) == ("", "happy")
    assert first.path == str(recording)
    press("2")  # the same key removes the label
    assert run("return labels") == ["", "happy"]
    # Labels and the typed names survive a reload.
    run("typed.value = 'sad, happy'; typed.dispatchEvent(new Event('change'))")
    show(FOUND)
    assert run("return [labels, names()]") == [["", "happy"], ["sad", "happy"]]
    assert run("return document.querySelectorAll('#curves polyline').length") == 2
    saved = json.loads(run("return json()"))
    assert [turn["label"] for turn in saved["turns"]] == ["", "happy"]
    (recording.parent / "a.srt").write_text(run("return subtitles()"))
    read = subtitles.read(recording.parent / "a.srt")
    assert read[0].words.endswith(" [sad]")  # a prediction
    assert read[1] == (2.0, 3.0, "speaker 2: (happy)")
    document = ElementTree.fromstring(run("return elan()"))
    values = [value.text for value in document.iter("ANNOTATION_VALUE")]
    assert values == [SAID, "sad", "happy", "happy"]
    times = [int(slot.get("TIME_VALUE")) for slot in document.iter("TIME_SLOT")]
    assert times == [500, 1250, 2000, 3000]
    # Labels from the start are shown.
    show(FOUND._replace(turns=[TURNS[0], dataclasses.replace(TURNS[1], label="happy")]))
    hidden = "const b = row.querySelector('b'); return [b.hidden, b.textContent];"
    assert run(f"return rows.map((row) => {{ {hidden} }})") == [[True, ""], [False, "happy"]]
    assert run("return about.textContent.endsWith('<why>.')")
    assert browser.get_log("browser") == []


def test_saved_turns_are_read_again(browser, run, recording):  # noqa: F811
    talk = [
        Turn(
            i + 0.25, i + 1.0, f"word {i}", [], ANSWER, ["sad", "happy", ""][i % 3], "Ann" * (i % 2)
        )
        for i in range(6)
    ]
    found = Turns(talk, np.zeros((6, 88), np.float32), [])
    (recording.parent / "p.html").write_text(page.render(recording, found, ["happy", "sad"]))
    browser.get((recording.parent / "p.html").as_uri())
    for suffix, made in (("csv", "table"), ("json", "json"), ("srt", "subtitles"), ("eaf", "elan")):
        path = recording.parent / f"saved.{suffix}"
        path.write_text(run(f"return {made}()"), newline="")
        saved = labels.read(path, recording)
        assert [(t.start, t.end, t.label) for t in saved] == [
            (t.start, t.end, t.label) for t in talk
        ]
        if suffix != "srt":  # there the speaker is a part of the words
            assert [(t.words, t.speaker) for t in saved] == [(t.words, t.speaker) for t in talk]


def test_turns_are_split_joined_and_moved(browser, run, recording):  # noqa: F811
    from selenium.webdriver.common.action_chains import ActionChains

    def press(key, time):
        seek = "player.onseeked = () => arguments[1](); player.currentTime = arguments[0];"
        browser.execute_async_script(seek, time)
        ActionChains(browser).send_keys(key).perform()

    def turns():
        table = recording.parent / "clips.csv"
        table.write_text(run("return table()"), newline="")
        return [(u.start, u.end, u.transcript, u.label) for u in manifest.read(table)]

    words = "one two three four"
    talk = [Turn(0.0, 2.0, words, ["louder"], ANSWER), Turn(2.5, 3.5, "five", [], ANSWER)]
    text = page.render(recording, FOUND._replace(turns=talk), ["happy", "sad"])
    (recording.parent / "edited.html").write_text(text)
    browser.get((recording.parent / "edited.html").as_uri())
    run("localStorage.clear()")
    browser.refresh()
    run("seek(0)")
    press("1", 0.0)
    press("s", 0.5)
    after = [(0.0, 0.5, "one", "happy"), (0.5, 2.0, "two three four", "happy")]
    last = (2.5, 3.5, "five", "")
    assert turns() == [*after, last]
    shown = run("return [rows.length, marks.length, marks[1].style.left, rows[1].textContent]")
    assert shown[:3] == [3, 3, "12.5%"]
    assert "new borders, not measured" in shown[3]
    assert "sad" not in shown[3]  # the prediction was of another sound
    press("s", 0.55)  # too close to the border
    press("[", 1.0)
    press("]", 2.2)
    press("[", 2.3)  # after its end
    assert turns() == [after[0], (1.0, 2.2, "two three four", "happy"), last]
    browser.refresh()  # the browser has kept them
    assert turns() == [after[0], (1.0, 2.2, "two three four", "happy"), last]
    run("seek(0)")
    press("j", 0.2)
    assert turns() == [(0.0, 2.2, words, "happy"), last]
    press("j", 0.2)
    assert turns() == [(0.0, 3.5, words + " five", "")]  # of two labels none is right
    press("j", 0.2)
    assert len(turns()) == 1
    assert json.loads(run("return json()"))["turns"][0]["end"] == 3.5
    assert "00:00:03,500" in run("return subtitles()")
    assert 'TIME_VALUE="3500"' in run("return elan()")
    assert browser.get_log("browser") == []


def test_the_start_page_sends_a_recording_and_shows_the_answer(browser, recording):  # noqa: F811
    pytest.importorskip("uvicorn", reason="the service needs it: pip install 'mman_jax[serve]'")
    from selenium.webdriver.support.wait import WebDriverWait

    def look(path):
        if not path.read_bytes():
            raise InputError(path, "nothing", "something")
        return page.render(path, FOUND, ["happy", "sad"])

    start = page.render_start(token=True)
    assert "Article 50(3)" in start
    assert "://" not in start
    site = web.Site(start, look)
    with serving(audio=AudioInput(None), token="secret", site=site) as port:
        browser.get(f"http://127.0.0.1:{port}/")
        empty = recording.with_name("empty.wav")
        empty.write_bytes(b"")
        for token, path, shown in (
            ("wrong", recording, "no token, or a wrong one"),
            ("secret", empty, "body: nothing; expected something"),
        ):
            browser.execute_script("token.value = arguments[0]", token)
            browser.find_element("id", "file").send_keys(str(path))
            WebDriverWait(browser, 20).until(lambda _, shown=shown: shown in text(browser))
        browser.find_element("id", "file").send_keys(str(recording))
        WebDriverWait(browser, 20).until(lambda _: browser.title == "a <talk>.wav")
        assert browser.execute_script("return rows.length") == 2
        assert browser.execute_script("return player.error") is None
    browser.get_log("browser")  # in which the refusals are


def text(browser):  # noqa: F811
    return browser.find_element("id", "about").text


def test_recordings_too_large_for_a_page_are_refused(recording, monkeypatch):
    monkeypatch.setattr(page, "_LARGEST", 1000)
    with pytest.raises(InputError, match=r"talk>\.wav: 0 MiB"):
        page.render(recording, FOUND, [])
