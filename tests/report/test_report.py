"""The files that are written: the page and the Markdown hold the same, whatever names there are."""

import base64
import functools
import io
import json
import re
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt
from PIL import Image

from mman_jax import report
from mman_jax.errors import InputError
from mman_jax.report import contents, html, markdown
from mman_jax.report.document import Code, Document, Paragraph, Section, Table
from tests.report import fake

NASTY = [
    "<b>&|",
    "`code` *bold* _under_",
    "[a](b) $x$ ~~c~~ # d",
    "\"'\\|</td><script>x()</script>",
]


class Page(HTMLParser):
    """What a browser would find: tables of texts, pictures, and all other text."""

    def __init__(self, page):
        super().__init__()
        self.tables, self.images, self.tags, self.text = [], [], [], ""
        self.cell = None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.cell = True
        elif tag == "img":
            self.images.append(dict(attributes))

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.cell = None

    def handle_data(self, data):
        if self.cell:
            self.tables[-1][-1][-1] += data
        else:
            self.text += data


def as_html(text):
    return Page(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text))


def plain(results):
    """Results as `experiments.paper` reads and writes them."""
    return json.loads(json.dumps(results, allow_nan=False))


CASES = {
    "iemocap": fake.make(iemocap=True),
    "synthetic": fake.make(fake.EMOTIONS, ("a", "b", "c", "d"), ablations=12, synthetic=True),
    "least": fake.make(("negative", "positive"), ("speech", "text"), seeds=1, ablations=0)
    | {"missing": None, "revision": None, "comparisons": [], "claims": []},
    "nasty": fake.make(NASTY, ("<i>$", "b|_"), ablations=1),
}


@functools.cache  # the pictures take their time
def made(name):
    return contents.document(plain(CASES[name]))


@pytest.fixture(scope="module", params=list(CASES))
def case(request, tmp_path_factory):
    """A document and the folder that holds it, written."""
    document, folder = made(request.param), tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contents, "document", lambda results: document)
        report.write({}, folder)
    return document, folder


def expected_tables(document):
    blocks = [block for section in document.sections for block in section.blocks]
    tables = [block for block in blocks if isinstance(block, Table)]
    return [
        [[getattr(cell, "text", cell) for cell in row] for row in (table.head, *table.rows)]
        for table in tables
    ]


def test_page_and_markdown_hold_every_cell(case):
    document, folder = case
    expected = expected_tables(document)
    assert Page((folder / "report.html").read_text()).tables == expected
    assert as_html((folder / "report.md").read_text()).tables == expected


def test_every_picture_is_in_the_page_and_beside_the_markdown(case):
    document, folder = case
    names = [figure.name for figure in document.figures]
    assert len(set(names)) == len(names)
    files = {path.name: path.read_bytes() for path in (folder / "figures").iterdir()}
    assert sorted(files) == sorted(f"{name}.png" for name in names)
    page, text = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    for shown, linked, name in zip(Page(page).images, as_html(text).images, names, strict=True):
        assert linked["src"] == f"figures/{name}.png"
        kind, _, data = shown["src"].partition(",")
        assert kind == "data:image/png;base64"
        content = files[f"{name}.png"]
        assert base64.b64decode(data) == content
        image = Image.open(io.BytesIO(content))
        image.load()
        # 150 dots of the file to 96 of the page; no picture is wider than the page.
        assert int(shown["width"]) == round(image.width / 150 * 96) <= 1010
        assert int(shown["height"]) == round(image.height / 150 * 96)
        assert shown["alt"] == linked["alt"] != ""


def test_paragraphs_and_code_are_shown_as_they_are(case):
    document, folder = case
    wanted = [document.title, document.summary]
    for section in document.sections:
        wanted.append(section.title)
        for block in section.blocks:
            wanted += [block.text] if isinstance(block, Paragraph | Code) else [block.caption]
            wanted += block.notes if isinstance(block, Table) else ()
    for page in (
        Page((folder / "report.html").read_text()),
        as_html((folder / "report.md").read_text()),
    ):
        for text in wanted:
            assert text in page.text
        assert not {"script", "b", "i", "em", "code"} & set(page.tags) - {"code"}


def test_the_page_needs_nothing_else(case):
    _, folder = case
    page = (folder / "report.html").read_text()
    assert not {"script", "iframe", "object"} & set(Page(page).tags)
    loaded = re.findall(r"(?:src=|url\(|@import|<link[^>]*href=)[\"']?([^\"'>]{5})", page)
    assert set(loaded) == {"data:"}


def test_the_same_results_give_the_same_bytes(tmp_path):
    results = plain(CASES["least"])
    for folder in ("one", "two"):
        report.write(results, tmp_path / folder)
    first = sorted(path for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(first) > 5
    for path in first:
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes()


def test_the_synthetic_corpus_cannot_be_overlooked(tmp_path):
    document = made("synthetic")
    for page in (Page(html.render(document)), as_html(markdown.render(document))):
        assert page.text.count("SYNTHETIC: every utterance was drawn by a program.") == 1
        assert "on a SYNTHETIC corpus" in page.text
    real = made("iemocap")
    assert "SYNTHETIC" not in html.render(real) + markdown.render(real)


def test_absent_parts_are_left_out_or_explained():
    document = made("least")
    titles = [section.title for section in document.sections]
    absent = {"Paired tests", "Ablations", "With a modality missing", "What the evidence is"}
    assert not absent & set(titles)
    text = html.render(document)
    assert "its four tasks need IEMOCAP&#x27;s labels" in text
    assert "No two systems that the paper compares were trained here." in text
    assert "The code&#x27;s revision is not known." in text
    assert absent <= {section.title for section in made("synthetic").sections}


def test_order_of_the_sections():
    document = made("synthetic")
    assert [section.name.removesuffix("-section") for section in document.sections] == [
        "claims", "corpus", "systems", "tasks", "cited", "confusion", "classes", "sure", "groups",
        "tests", "positions", "attention", "curves", "seeds", "selection", "ablations", "missing",
        "evidence", "made",
    ]  # fmt: skip


def test_a_fence_is_longer_than_any_in_the_code():
    code = Code("a\n````\nb")
    document = Document("title", "", "summary", (Section("name", "title", (code,)),))
    assert "`````\na\n````\nb\n`````" in markdown.render(document)


@pytest.mark.usefixtures("blank_pictures")
def test_a_folder_that_cannot_be_written_is_refused_by_name(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(InputError, match="taken"):
        report.write(CASES["least"], tmp_path / "taken")


@pytest.mark.usefixtures("blank_pictures")
def test_a_report_is_written_again(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(CASES["least"]))
    report.write_again(path)
    assert len(list(tmp_path.glob("report.*"))) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda results: results.pop("corpus"),
        lambda results: results.update(seeds=3),
        lambda results: results.update(systems={"mman": []}),
        lambda results: results["systems"]["mman"]["test"].update(accuracy="high"),
    ],
)
@pytest.mark.usefixtures("blank_pictures")
def test_damaged_results_are_named_and_nothing_is_written(tmp_path, damage):
    results = plain(CASES["least"])
    damage(results)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    with pytest.raises(InputError, match=r"results\.json: no report's results"):
        report.write_again(path)
    assert not list(tmp_path.glob("report.*"))
