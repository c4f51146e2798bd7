"""The page in a real browser, as wide as a desk's and as narrow as a telephone's."""

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
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="NO BROWSER: the report's page is not tested (apt install chromium chromium-driver)",
)

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
HEIGHT = 900
CASES = {
    "widest": fake.make(
        fake.EMOTIONS, ("speech", "visual", "text", "physiology"), ablations=12, synthetic=True
    ),
    "iemocap": fake.make(iemocap=True),
    "least, of words without a gap": fake.make(
        ["x" * 200, "<b>&|\"'</b>", "`$_*", "y"], ("speech", "text"), seeds=1, ablations=0
    )
    | {"missing": None, "revision": None},
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture(scope="module", params=list(CASES))
def case(request, tmp_path_factory):
    """A page's address and what it must show."""
    document = contents.document(CASES[request.param])
    page = tmp_path_factory.mktemp("report") / "report.html"
    page.write_text(html.render(document))
    return page.as_uri(), document


def opened(browser, address, width):
    size = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(address)
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.execute_script("return window.innerWidth") == width


BOXES = """
return [...document.querySelectorAll(arguments[0])].map(e => {
  const box = e.getBoundingClientRect();
  return {id: e.id || e.closest('[id]').id, width: box.width, height: box.height,
          shown: e.checkVisibility({visibilityProperty: true, opacityProperty: true}),
          whole: e.tagName != 'IMG' || (e.complete && e.naturalWidth > 0)};
})
"""


@pytest.mark.parametrize("width", [375, 1280])
def test_everything_is_seen_and_the_page_never_scrolls_sideways(browser, case, width):
    address, document = case
    opened(browser, address, width)
    blocks = [block for section in document.sections for block in section.blocks]
    wanted = {
        "table": [block.name for block in blocks if isinstance(block, Table)],
        "img": [figure.name for figure in document.figures],
        "section": [section.name for section in document.sections],
    }
    for kind, names in wanted.items():
        boxes = browser.execute_script(BOXES, kind)
        assert [box["id"] for box in boxes] == names
        for box in boxes:
            assert box["shown"], box
            assert box["whole"], box
            assert min(box["width"], box["height"]) > 20, box
    # A wide picture is not shrunk until nobody can read it: its box scrolls.
    narrowest = min(box["width"] for box in browser.execute_script(BOXES, "img"))
    assert narrowest > 500
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script("return document.scrollingElement.scrollWidth") <= width
    assert browser.get_log("browser") == []


def test_what_is_wider_than_a_telephone_scrolls_in_its_own_box(browser, case):
    address, _ = case
    opened(browser, address, 375)
    hidden = browser.execute_script("""
      return [...document.querySelectorAll('table, img, pre')].filter(e => {
        const box = e.closest('.box');
        const past = e.scrollWidth > box.clientWidth || e.offsetWidth > box.clientWidth;
        return past && getComputedStyle(box).overflowX != 'auto';
      }).map(e => e.outerHTML.slice(0, 80))
    """)
    assert hidden == []
    wide = browser.execute_script("""
      const box = document.querySelector('#systems').closest('.box');
      box.scrollLeft = 10000;
      return [box.scrollLeft, box.scrollWidth - box.clientWidth];
    """)
    assert wide[0] > 0
    assert wide[0] == pytest.approx(wide[1], abs=2)


def test_links_lead_to_sections(browser, case):
    address, document = case
    opened(browser, address, 1280)
    targets = browser.execute_script(
        "return [...document.links].map(a => document.querySelector(a.hash)?.id)"
    )
    assert targets == [section.name for section in document.sections]


def test_nothing_is_fetched_and_no_script_is_needed(browser, case):
    address, _ = case
    opened(browser, address, 1280)
    fetched = browser.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name.slice(0, 10))"
    )
    assert set(fetched) <= {"data:image"}
    assert browser.execute_script("return document.scripts.length") == 0
