"""What the suite itself costs: a verdict from a cold start, an example drawn, a bit pattern enumerated, an import."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.measure import play, played_back
from vggprep import strategies
from vggprep.implementations import keras as keras_paths
from vggprep.implementations.targets import TargetSpec
from vggprep.proof import shards
from vggprep.proof.shards import IMAGE, Part, judge, tune_malloc
from vggprep.spec import ModeName

EXAMPLES = 300


def python(*arguments: str) -> None:
    """Run a fresh interpreter."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    # 1 is a verdict, too: a release of Keras may have deviations that are in no ledger yet.
    assert done.returncode in (0, 1), done.stderr[-2000:]


def interleaved(calls: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call, ``rounds`` times in shuffled order, after one that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    plan = [name for name in calls for _ in range(rounds)]
    random.shuffle(plan)
    for name in [*calls, *plan]:
        start = time.perf_counter()
        calls[name]()
        seconds[name].append(time.perf_counter() - start)
    return {name: found[1:] for name, found in seconds.items()}


@pytest.mark.benchmark(group="the suite: a verdict, cold")
def test_check_reference(benchmark: BenchmarkFixture) -> None:
    benchmark.extra_info["what"] = "vggprep check reference, new process"
    benchmark.pedantic(python, ("-m", "vggprep", "check", "reference"), rounds=2)


@pytest.mark.benchmark(group="the suite: a verdict, cold")
def test_check_keras(benchmark: BenchmarkFixture) -> None:
    try:
        version = keras_paths.version_of("keras")
        paths = keras_paths.load("keras")
    except keras_paths.UnavailableError as error:
        pytest.skip(str(error))
    benchmark.extra_info["what"] = "vggprep check keras, new process"
    benchmark.extra_info["note"] = f"Keras {version}, {len(paths)} paths"
    benchmark.pedantic(python, ("-m", "vggprep", "check", "keras"), rounds=1)


@pytest.mark.benchmark(group="the suite: drawing examples")
@pytest.mark.parametrize("name", ["images", "cases"])
def test_strategies(benchmark: BenchmarkFixture, name: str) -> None:
    drawn = 0

    # Derandomised: each round draws the same examples.
    @settings(
        max_examples=EXAMPLES,
        database=None,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(getattr(strategies, name)())
    def draw(_: object) -> None:
        nonlocal drawn
        drawn += 1

    draw()
    count, drawn = drawn, 0
    benchmark.extra_info["what"] = f"strategies.{name}(), {count} examples"
    benchmark.pedantic(draw, rounds=5)
    if benchmark.stats:
        benchmark.extra_info["ms_per_example"] = benchmark.stats.stats.median / count * 1e3
        benchmark.extra_info["note"] = f"{benchmark.extra_info['ms_per_example']:.2f} ms an example (median)"


PATTERNS = 1 << 23
PATTERNS_END = 0x43000000 + PATTERNS


@pytest.fixture(scope="module")
def enumeration_seconds() -> dict[str, list[float]]:
    """Seconds of 2^23 float32 patterns in each mode, and of a plain copy of as many images."""
    wanted = TargetSpec(("reference",))
    images = [np.ones((PATTERNS // IMAGE, IMAGE // 256, 256, 3), np.float32) for _ in range(2)]

    def enumerate_part(mode: ModeName) -> None:
        (tally,) = judge(Part(wanted, 0, "forward", mode, ("channels_last",), "float32", 0x43000000, PATTERNS_END))
        assert tally.wrong == 0
        assert tally.patterns == PATTERNS

    def by_numpy_alone(mode: ModeName) -> None:
        repays, shards._REPAYS = shards._REPAYS, PATTERNS + 1
        try:
            enumerate_part(mode)
        finally:
            shards._REPAYS = repays

    tune_malloc()
    modes: tuple[ModeName, ...] = ("caffe", "tf", "torch")
    calls: dict[str, Callable[[], None]] = {mode: partial(enumerate_part, mode) for mode in modes}
    calls |= {f"{mode}, judged by NumPy alone": partial(by_numpy_alone, mode) for mode in modes}
    return interleaved({**calls, "copy": partial(np.copyto, images[0], images[1])}, rounds=8)


@pytest.mark.benchmark(group="the suite: every bit pattern, one core", timer=played_back)
@pytest.mark.parametrize(
    "name", [*(f"{mode}{how}" for mode in ("caffe", "tf", "torch") for how in ("", ", judged by NumPy alone")), "copy"]
)
def test_enumeration(benchmark: BenchmarkFixture, enumeration_seconds: dict[str, list[float]], name: str) -> None:
    what = "np.copyto of the same images" if name == "copy" else f"vggprep prove reference, forward, {name}"
    benchmark.extra_info["what"] = f"{what}, float32, 2^23 patterns in 3 channels"
    best = min(enumeration_seconds[name])
    benchmark.extra_info["patterns_per_second"] = PATTERNS / best
    part = min(enumeration_seconds["copy"]) / best
    benchmark.extra_info["fraction_of_copyto"] = part
    benchmark.extra_info["note"] = (
        f"{PATTERNS / best / 1e6:.0f} million patterns a second, {part:.3f} of np.copyto (minima)"
    )
    play(benchmark, enumeration_seconds[name])


IMPORTS = {
    "numpy": "import numpy",
    "vggprep": "import numpy, vggprep",
    "preprocess_input": "import numpy; from vggprep import preprocess_input",
}


@pytest.fixture(scope="module")
def import_seconds() -> dict[str, list[float]]:
    """Seconds of each import in a new process."""
    return interleaved({name: partial(python, "-c", code) for name, code in IMPORTS.items()}, rounds=12)


@pytest.mark.benchmark(group="the suite: imports", timer=played_back)
@pytest.mark.parametrize("name", IMPORTS)
def test_import(benchmark: BenchmarkFixture, import_seconds: dict[str, list[float]], name: str) -> None:
    benchmark.extra_info["what"] = f"python -c '{IMPORTS[name]}'"
    over = (min(import_seconds[name]) - min(import_seconds["numpy"])) * 1e3
    if name != "numpy":
        benchmark.extra_info["over_numpy_ms"] = over
        benchmark.extra_info["note"] = f"{over:+.1f} ms over import numpy (minima)"
    play(benchmark, import_seconds[name])
