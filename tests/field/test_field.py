"""A real run: real processes that judge and time; what is missing, broken or dies is a row that says so."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from command_line import Done, one_line, vggprep
from jsonschema import Draft202012Validator

from vggprep.cases import Cell
from vggprep.conformance.results import Result as Judged
from vggprep.field import judged, picture, quiet, results, run
from vggprep.field.adapters import named
from vggprep.field.limit import LIMIT
from vggprep.spec import DATA_FORMATS, RANKS

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/schemas/field.schema.json").read_text(encoding="utf-8"))
QUIET = quiet.Noise(0.1, 1.0, 0.0, 0.01, 0.0)

Row = dict[str, Any]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Row:
    """Means that are wrong, an inverse that is right, a library that is broken, and one that ends its process."""
    folder = tmp_path_factory.mktemp("libraries")
    (folder / "numexpr.py").write_text("raise ImportError('broken here')\n")
    (folder / "mlx").mkdir()
    (folder / "mlx" / "core.py").write_text("import os\nos._exit(3)\n")
    chosen = named(("means 104, 117, 123", "round, clip, astype", "numexpr", "MLX"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("XDG_CACHE_HOME", str(folder))
        made = run.field(chosen, "caffe", lambda what, done: None, images=1, most=0.0)
        # Verdicts are kept: a second run times only.
        patch.setattr(run, "_judge", lambda worker, adapter, *about: {"skipped": f"{adapter.name} judged again"})
        patch.setattr(run, "_time_all", lambda *about: None)
        again = run.field(chosen, "caffe", lambda what, done: None)
    assert {r["skipped"] for r in again["rows"]} == {"", "MLX on the CPU judged again", "numexpr judged again"}
    return made


def test_a_long_cause_is_cut_at_a_word_and_a_short_one_is_whole() -> None:
    cause = {"fault": "", "words": "raises error: " + "/io/build/arithm.cpp:688 " * 40, "dtypes": ["float16"]}
    said = results.cause_words({"causes": [cause], "crashes": []})
    assert said.endswith("/io/build/arithm.cpp:688 … (float16)")
    assert len(said) < 340
    cause["words"] = "computes R - 104. And more."
    assert results.cause_words({"causes": [cause], "crashes": []}) == "computes R - 104 (float16)"


def test_a_cause_of_one_data_format_or_rank_says_so_where_others_were_judged() -> None:
    cells = [Cell("tf", data_format, "uint8", rank) for data_format in DATA_FORMATS for rank in RANKS]
    every = [Judged("f", "value", *cell, status="failed", diagnosis="is wrong") for cell in cells]
    assert judged._cause(every, every)["where"] == []
    assert judged._cause(every[2:], every)["where"] == ["channels_first"]
    assert judged._cause(every[2:3], every)["where"] == ["channels_first", "rank 3"]
    assert judged._cause(every[2:3], every[2:])["where"] == ["rank 3"]
    refused = [replace(result, status="refused") for result in every[:2]]
    cause = judged._cause(every[2:3], [*refused, *every[2:]])
    assert cause["where"] == ["rank 3"]
    assert results.cause_words({"causes": [cause], "crashes": []}) == "is wrong (rank 3, uint8)"


def row(found: Row, name: str) -> Row:
    (one,) = (r for r in found["rows"] if r["name"] == name)
    return one  # type: ignore[no-any-return]


def test_what_is_wrong_has_its_cause_its_bytes_and_its_time(found: Row) -> None:
    wrong = row(found, "means 104, 117, 123")
    assert not wrong["conforms"]
    assert (wrong["level"], wrong["wrong"]) == (None, 768)
    assert [cause["fault"] for cause in wrong["causes"]] == ["integer_means"]
    assert 0.67 < wrong["levels"] < 0.69
    assert wrong["refused"] == ["channels_first"]
    assert 0 < wrong["ns"]["min"] <= wrong["ns"]["median"]
    assert wrong["rounds"] >= run.LEAST
    assert wrong["times_keras"] is None  # no Keras here


def test_an_inverse_that_is_right_conforms(found: Row) -> None:
    right = row(found, "round, clip, astype")
    assert (right["conforms"], right["level"], right["wrong"], right["units"]) == (True, "exact", 0, None)
    assert results.error_words(right) == "0 bytes"


def test_what_cannot_be_loaded_or_dies_is_a_row_with_the_reason(found: Row) -> None:
    assert row(found, "numexpr")["skipped"] == "cannot import numexpr (ImportError: broken here)"
    assert row(found, "MLX on the CPU")["skipped"] == "ends its process"
    assert row(found, LIMIT)["ns"]["min"] > 0


def test_the_file_is_valid_and_read_back(found: Row, tmp_path: Path) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    results.write(tmp_path / "mine.json", found)
    read = results.read(tmp_path / "mine.json")
    assert read == found
    Draft202012Validator(SCHEMA).validate(read)


@pytest.mark.parametrize(
    ("at", "broken"),
    [
        ("rows", []),
        ("mode", "vgg"),
        ("noise", {}),
        ("machine", {"cores": 2}),
        ("rows", [{"name": "x", "direction": "forward", "skipped": ""}]),
        (
            "rows",
            [
                {
                    "name": "x",
                    "direction": "sideways",
                    "distribution": "x",
                    "copied": False,
                    "judged": None,
                    "skipped": "gone",
                }
            ],
        ),
    ],
)
def test_a_broken_file_is_not_valid(found: Row, at: str, broken: object) -> None:
    assert not Draft202012Validator(SCHEMA).is_valid(found | {at: broken})


# Several machines, pages and pictures -----------------------------------------------------------------------------


def quiet_file(found: Row, path: Path, **more: Any) -> Path:
    """The file of the run, as if nothing else had been going on."""
    made = copy.deepcopy(found) | {"noise": asdict(QUIET), **more}
    results.write(path, made)
    return path


def call(*arguments: object) -> Done:
    return vggprep("field", *map(str, arguments))


def test_two_machines_are_shown_side_by_side(found: Row, tmp_path: Path) -> None:
    other = copy.deepcopy(found)
    other["machine"] = {"processor": "another", "cores": 8, "system": "Plan 9 mips"}
    other["rows"] = [r for r in other["rows"] if r["name"] != "round, clip, astype"]
    row(other, "means 104, 117, 123")["ns"] = {"min": 7.0, "median": 7.25}
    mine = quiet_file(found, tmp_path / "mine.json")
    yours = quiet_file(other, tmp_path / "yours.json")
    done = call("--merge", mine, "--merge", yours, "--markdown", tmp_path / "both.md")
    assert done.returncode == 0, done.output
    assert "another, 8 cores, Plan 9 mips" in done.stdout
    (line,) = (line for line in done.stdout.splitlines() if "7.00 / 7.25" in line)
    assert line.startswith("│means 104")
    assert "│ -" in next(line for line in done.stdout.splitlines() if line.startswith("│round, clip"))
    assert {path.name for path in tmp_path.glob("*.svg")} == {"both-caffe-1.svg", "both-caffe-2.svg"}
    assert (tmp_path / "both.md").read_text(encoding="utf-8").count("](both-caffe-") == 2


def test_a_noisy_run_is_shown_but_not_drawn_unless_told_to(found: Row, tmp_path: Path) -> None:
    noise = asdict(quiet.Noise(3.0, 3.5, 0.0, 1.5, 0.0))
    path = quiet_file(found, tmp_path / "noisy.json", noise=noise)
    done = call("--merge", path, "--markdown", tmp_path / "page.md")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert done.stderr.startswith("vggprep: no picture is drawn of a noisy run: other processes kept 1.50 cores busy")
    assert "means 104" in done.stdout
    assert not (tmp_path / "page.md").exists()
    assert call("--merge", path, "--markdown", tmp_path / "page.md", "--noisy").returncode == 0
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| means 104, 117, 123 | does NOT conform | 768 of 768 bytes, up to 0.68 grey levels | behaves like" in page
    assert "- numexpr: cannot import numexpr (ImportError: broken here)" in page
    assert "A noisy run: other processes kept 1.50 cores busy" in page
    ElementTree.parse(tmp_path / "page.svg")
    assert "lower left is better (a noisy run)</text>" in (tmp_path / "page.svg").read_text(encoding="utf-8")


def test_a_page_has_the_picture_and_every_row(found: Row, tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    done = call("--merge", quiet_file(found, tmp_path / "mine.json"), "--html", tmp_path / "page.html")
    assert done.returncode == 0, done.output
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert html.count("<svg") == 1
    assert "integer_means: The means are the whole numbers" in html
    assert "cannot import numexpr" in html


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot read .*: No such file"),
        ("", "is not a whole file of results; make one with vggprep field --report FILE"),
        ('{"format": "vggprep-field/1", "rows": [{}]}', "is not a whole file"),
        ('{"format": "vggprep-field/9", "rows": []}', "has the format 'vggprep-field/9'; this vggprep reads"),
        ("[1]", "is not a whole file"),
        ('{"format": "vggprep-field/1", "rows": [], "noise": {"steal": 1}}', "is not a whole file"),
    ],
)
def test_another_file_is_one_line_and_exit_code_2(text: str | None, says: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "x.json").write_text(text)
    assert says.partition(" .*")[0] in one_line(call("--merge", tmp_path / "x.json"))


def test_a_name_that_nothing_has_is_one_line() -> None:
    said = one_line(call("--only", "fortran"))
    assert said.startswith("vggprep: no implementation is called fortran; there are vggprep numba, ")


def test_json_is_the_file(found: Row, tmp_path: Path) -> None:
    path = quiet_file(found, tmp_path / "mine.json")
    assert call("--merge", path, "--json").stdout == path.read_text(encoding="utf-8")


def crowd(count: int) -> Row:
    """Many implementations of one error, close together."""
    rows = [
        {"name": f"implementation {n} of many", "direction": "forward", "skipped": "", "conforms": n % 3 > 0,
         "wrong": 0, "units": 0.48, "ns": {"min": 0.9 * 1.04**n, "median": 1.04**n}}
        for n in range(count)
    ]  # fmt: skip
    return {"mode": "caffe", "rows": rows, "noise": None}


def test_labels_stand_by_their_points_inside_the_picture_and_apart() -> None:
    points = [(r["name"], 100 + 15.0 * n, 400.0) for n, r in enumerate(crowd(60)["rows"])]
    placed = picture.labels(points)
    assert {(label.name, label.x, label.y) for label in placed} == set(points)
    for n, label in enumerate(placed):
        box = label.box
        assert picture.LEFT <= box.x0 < box.x1 <= picture.WIDTH
        assert picture.TOP <= box.y0 < box.y1 <= picture.HEIGHT - picture.BOTTOM
        assert not any(box.meets(other.box) for other in placed[:n])
        assert not any(box.x0 < x < box.x1 and box.y0 < y < box.y1 for _, x, y in points)


def test_a_picture_of_a_crowd_is_whole_and_one_too_many_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = ElementTree.fromstring(picture.svg(crowd(60)))
    texts = {element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")}
    assert {r["name"] for r in crowd(60)["rows"]} <= texts
    monkeypatch.setattr(picture, "TOP", picture.HEIGHT - picture.BOTTOM - 40)
    with pytest.raises(results.FieldError, match="no room for the label 'implementation"):
        picture.svg(crowd(60))


def test_the_front_is_what_is_right_on_every_byte_and_nothing_right_beats() -> None:
    def made(name: str, ns: float, units: float, wrong: int = 0) -> Row:
        return {"name": name, "ns": {"median": ns}, "units": units, "wrong": wrong}

    rows = [made("wrong", 0.5, 0.0, 3), made("fast", 1.0, 3.0), made("beaten", 2.0, 3.0), made("near", 4.0, 0.5)]
    assert [r["name"] for r in picture.front(rows)] == ["fast", "near"]


# How quiet it was -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("noise", "why"),
    [
        (QUIET, ""),
        (None, "nothing is known"),
        (quiet.Noise(0, 0, 0.02, 0, 0), "2.0% of the time was stolen by the hypervisor (at most 1%)"),
        (quiet.Noise(0, 0, 0, 0.5, 0), "other processes kept 0.50 cores busy (at most 0.1)"),
        (quiet.Noise(9, 9, 0, 0, 0.6), "60% of the rows have not settled (at most 50%)"),
    ],
)
def test_a_run_is_noisy_by_what_others_did_and_by_its_own_spread(noise: quiet.Noise | None, why: str) -> None:
    assert quiet.why_noisy(noise).startswith(why)
    assert bool(quiet.why_noisy(noise)) == bool(why)


def test_noise_is_what_was_busy_less_ones_own_and_what_was_stolen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    before, after = quiet.Snapshot(100.0, 50.0, 1.0, 10.0, 0.5), quiet.Snapshot(110.0, 65.0, 1.4, 19.0, 1.5)
    assert quiet.noise(before, after, 0.25) == quiet.Noise(0.5, 1.5, 0.02, 0.6, 0.25)
    assert quiet.noise(None, after) is None


def test_the_state_of_the_machine_is_read_where_the_system_tells() -> None:
    before = quiet.snapshot()
    if before is None:
        pytest.skip("no /proc/stat")
    sum(n * n for n in range(1_500_000))
    after = quiet.snapshot()
    assert after is not None
    assert after.own > before.own
    assert after.busy > before.busy


@pytest.mark.parametrize(
    ("seconds", "is_settled"), [([1.0, 1.04, 1.05, 9.0], True), ([1.0, 1.06, 1.07], False), ([2.0], True)]
)
def test_rounds_have_settled_if_their_median_is_near_their_minimum(seconds: list[float], is_settled: bool) -> None:
    assert quiet.settled(seconds) is is_settled
