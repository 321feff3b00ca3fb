"""What the suite itself costs its users: a verdict from a cold start, an example drawn, an import."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from benchmarks.measure import play, played_back
from vggprep import strategies
from vggprep.implementations import keras as keras_paths

EXAMPLES = 300


def python(*arguments: str) -> None:
    """Run a fresh interpreter."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    # 1 is a verdict, too: a release of Keras may have deviations that no ledger knows yet.
    assert done.returncode in (0, 1), done.stderr[-2000:]


@pytest.mark.benchmark(group="the suite: a verdict, cold")
def test_check_reference(benchmark):
    benchmark.extra_info["what"] = "vggprep check reference, new process"
    benchmark.pedantic(python, ("-m", "vggprep", "check", "reference"), rounds=2)


@pytest.mark.benchmark(group="the suite: a verdict, cold")
def test_check_keras(benchmark):
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
def test_strategies(benchmark, name):
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


IMPORTS = {
    "numpy": "import numpy",
    "vggprep": "import numpy, vggprep",
    "preprocess_input": "import numpy; from vggprep import preprocess_input",
}


@pytest.fixture(scope="module")
def import_seconds():
    """Seconds of each import in a new process, rounds shuffled together."""
    seconds = {name: [] for name in IMPORTS}
    plan = [name for name in IMPORTS for _ in range(12)]
    random.shuffle(plan)
    for name in [*IMPORTS, *plan]:
        start = time.perf_counter()
        python("-c", IMPORTS[name])
        seconds[name].append(time.perf_counter() - start)
    return {name: found[1:] for name, found in seconds.items()}


@pytest.mark.benchmark(group="the suite: imports", timer=played_back)
@pytest.mark.parametrize("name", IMPORTS)
def test_import(benchmark, import_seconds, name):
    benchmark.extra_info["what"] = f"python -c '{IMPORTS[name]}'"
    over = (min(import_seconds[name]) - min(import_seconds["numpy"])) * 1e3
    if name != "numpy":
        benchmark.extra_info["over_numpy_ms"] = over
        benchmark.extra_info["note"] = f"{over:+.1f} ms over import numpy (minima)"
    play(benchmark, import_seconds[name])
