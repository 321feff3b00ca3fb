"""``vggprep modes`` with names and files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import one_line, vggprep

from vggprep.configurations import FORMATS, read_mode
from vggprep.published import PUBLISHED
from vggprep.spec import MODES

DATA = Path(__file__).parents[1] / "configurations" / "data"
FILES = sorted(path for path in DATA.iterdir() if path.name != "MADE_WITH.json")
CLIP = DATA / "transformers_clip.json"


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_a_file_is_described_with_lines_of_python(file: Path, tmp_path: Path) -> None:
    done = vggprep("modes", str(file), cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith(f"data/{file.name}: a mode in the format ")
    labels = [line.split("  ")[1].strip() for line in done.stdout.splitlines()[1:]]
    assert labels[:2] == ["does", "formula"]
    assert {"in Python", "undone by"} <= set(labels)


@pytest.mark.parametrize("name", [*MODES, *PUBLISHED])
def test_a_name_is_described_with_its_source(name: str, tmp_path: Path) -> None:
    done = vggprep("modes", name, cwd=tmp_path)
    assert done.stdout.startswith(f"{name}: a mode\n")
    assert (MODES.get(name) or PUBLISHED[name]).source in done.stdout


def test_the_values_are_recognised_and_what_is_not_judged_is_named(tmp_path: Path) -> None:
    document = json.loads(CLIP.read_text()) | {"do_resize": True, "do_center_crop": True}
    (tmp_path / "p.json").write_text(json.dumps(document))
    said = vggprep("modes", "p.json", cwd=tmp_path).stdout
    assert "those of clip (to 3e-14 grey levels)" in said
    assert "size 224, crop size 224x224, bicubic: not judged here" in said


def test_several_are_described_one_after_the_other_and_as_json(tmp_path: Path) -> None:
    assert vggprep("modes", "tf", "half", cwd=tmp_path).stdout.count("a mode\n") == 2
    clip, dpn = json.loads(vggprep("modes", str(CLIP), "dpn", "--json", cwd=tmp_path).stdout)
    assert (clip["format"], clip["same_values_as"], clip["order"]) == ("huggingface", ["clip"], [0, 1, 2])
    assert (dpn["name"], dpn["format"], dpn["steps"][1]["operation"]) == ("dpn", None, "multiply")
    assert read_mode({key: dpn[key] for key in ("name", "order", "steps")}).definition == PUBLISHED["dpn"].definition


def test_without_arguments_published_modes_are_listed_too(tmp_path: Path) -> None:
    said = vggprep("modes", cwd=tmp_path).stdout
    assert all(f" {name} " in said for name in (*MODES, *PUBLISHED))
    assert "103.939" in said
    document = json.loads(vggprep("modes", "--json", cwd=tmp_path).stdout)
    assert document["published"].keys() == PUBLISHED.keys()
    assert document["models"]["vgg19"] == "caffe"
    assert document["modes"]["torch"]["steps"][1]["constants"] == ["0.485", "0.456", "0.406"]


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_written_can_be_read_again(format: str, tmp_path: Path) -> None:
    done = vggprep("modes", "tf", "--as", format, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "again").write_text(done.stdout)
    assert "values     those of tf" in vggprep("modes", "./again", cwd=tmp_path).stdout or format == "toml"


def test_a_translation_that_loses_says_what_and_how_much_and_ends_with_1(tmp_path: Path) -> None:
    done = vggprep("modes", "torch", "--as", "deepstream", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith("[property]\nnet-scale-factor=0.0173")
    assert done.stderr == (
        "vggprep: deepstream cannot say three scales of torch: what is written is up to 1.41 grey levels off\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["clipp"], "there is no mode and no file 'clipp'; the nearest: clip"),
        (["qqqq"], "vggprep modes lists the modes"),
        (["missing.json"], "cannot read missing.json: No such file or directory"),
        (["."], ". is a folder; name the configuration file in it"),
        (["none.json"], "none.json: there is no mode in it"),
        (["broken.json"], "broken.json: not valid JSON"),
        (["tf", "torch", "--as", "timm"], "--as writes one mode"),
        (["--as", "timm"], "--as writes one mode"),
        (["tf", "--as", "timm", "--json"], "--as writes one mode"),
        *((["--models", *more], "--models prints one table: leave") for more in (["tf"], ["--as", "timm"])),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_no_mode_is_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text('{"vocab_size": 3}')
    (tmp_path / "broken.json").write_text('{"image_mean"')
    assert said in one_line(vggprep("modes", *arguments, cwd=tmp_path))


def test_a_named_pipe_is_refused_and_one_of_the_shell_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    assert "is no regular file" in one_line(vggprep("modes", "pipe.json", cwd=tmp_path))
    command = f"{sys.executable} -m vggprep modes <(cat {CLIP})"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    assert "those of clip" in done.stdout


def test_a_file_is_read_in_a_moment() -> None:
    before, started = os.times(), time.monotonic()
    subprocess.run([sys.executable, "-m", "vggprep", "modes", str(CLIP)], capture_output=True, check=True)
    after = os.times()
    # Of the processor, as the machine may be busy: of the clock it takes no longer where it is not.
    assert min(time.monotonic() - started, after.children_user - before.children_user) < 0.5
