"""The page in a browser, on a wide screen and on a telephone."""

import shutil

import pytest

from mman_jax.report import contents, html
from mman_jax.report.document import Table
from tests.report import fake

webdriver = pytest.importorskip(
    "selenium.webdriver", reason="no selenium: pip install 'mman_jax[test]'"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="NO BROWSER: the report's page is not tested (apt install chromium chromium-driver)",
    ),
]

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
BOXES = """
return [...document.querySelectorAll(arguments[0])].map(e => {
  const box = e.getBoundingClientRect();
  return {id: e.id || e.closest('[id]').id, width: box.width, height: box.height,
          shown: e.checkVisibility({visibilityProperty: true, opacityProperty: true}),
          loaded: e.tagName != 'IMG' || (e.complete && e.naturalWidth > 0),
          pixels: [e.naturalWidth, e.naturalHeight], size: [e.width, e.height]};
})
"""
CUT_OFF = """
return [...document.querySelectorAll('table, img, pre')].filter(e => {
  const box = e.closest('.box');
  const past = e.scrollWidth > box.clientWidth || e.offsetWidth > box.clientWidth;
  return past && getComputedStyle(box).overflowX != 'auto';
}).map(e => e.outerHTML.slice(0, 80))
"""
SCROLL = """
const box = document.querySelector('#systems').closest('.box');
box.scrollLeft = 10000;
return [box.scrollLeft, box.scrollWidth - box.clientWidth];
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture
def run(browser):
    return browser.execute_script


@pytest.fixture(params=[375, 1280])
def width(request, browser):
    """The width of the screen in pixels."""
    size = {"width": request.param, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    return request.param


@pytest.fixture(scope="module", params=["synthetic", "escapes"])
def document(request):
    return contents.document(fake.CASES[request.param])


def test_everything_is_visible(browser, run, document, width, tmp_path):
    (tmp_path / "report.html").write_text(html.render(document))
    browser.get((tmp_path / "report.html").as_uri())
    run("document.querySelectorAll('details').forEach(d => d.open = true)")
    blocks = [block for section in document.sections for block in section.blocks]
    sections = [section.name for section in document.sections]
    expected = {
        "table": [block.name for block in blocks if isinstance(block, Table)],
        "img": [figure.name for figure in document.figures],
        "section": sections,
    }
    for kind, names in expected.items():
        boxes = run(BOXES, kind)
        assert [box["id"] for box in boxes] == names
        for box in boxes:
            assert box["shown"], box
            assert box["loaded"], box
            assert min(box["width"], box["height"]) > 20, box
    # 150 pixels of a picture are 96 of the page; on narrow screens wide ones shrink to 820.
    for picture in run(BOXES, "img"):
        natural = picture["pixels"][0] / 150 * 96
        assert 500 < min(natural, 820) - 1 <= picture["size"][0] <= natural + 1
    assert run(CUT_OFF) == []
    if width == 375:
        left, most = run(SCROLL)
        assert left > 0
        assert left == pytest.approx(most, abs=2)
    # The page itself does not scroll sideways.
    assert run("return document.documentElement.scrollWidth") <= width
    assert run("return document.scrollingElement.scrollWidth") <= width
    links = run("return [...document.links].map(a => document.querySelector(a.hash)?.id)")
    assert links == sections
    loaded = run("return performance.getEntriesByType('resource').map(e => e.name.slice(0, 10))")
    assert set(loaded) <= {"data:image"}
    assert browser.get_log("browser") == []
