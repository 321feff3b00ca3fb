"""Making the record from nothing: build every environment, observe every combination, write the compressed record."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vggprep.releases import observation
from vggprep.releases.environments import (
    BASES,
    LINES,
    Combination,
    build_base,
    combinations,
    observation_file,
    observe_combination,
)
from vggprep.releases.observation import ObservationError
from vggprep.releases.record import Record, Recorded, pack, read

Report = Callable[[str], None]


def rebuild(
    directory: Path,
    output: Path,
    *,
    only: Iterable[str] = (),
    workers: int = 2,
    resume: bool = False,
    report: Report = print,
) -> None:
    """Observe every combination and write the record; or ``only`` some, and keep what ``output`` has of the others.

    ``workers`` is how many releases are observed at a time. With ``resume``, observations that are in ``directory``
    already are kept.
    """
    only = set(only)
    wanted = [combination for combination in combinations() if not only or combination.name in only]
    before = read(output) if only and output.exists() else Record((), {}, (), {})
    failures: dict[str, str] = {}

    def build(base: str) -> None:
        try:
            build_base(base, directory)
        except ObservationError as error:
            report(f"{base}: {error}")

    def observe(combination: Combination) -> None:
        path = observation_file(combination.name, directory)
        if path.exists() and resume:
            return
        path.unlink(missing_ok=True)
        started = time.monotonic()
        try:
            observed = observe_combination(combination, directory)
        except ObservationError as error:
            failures[combination.name] = str(error)
            report(f"{combination.name}: not run: {error}")
            return
        observation.write(observed, path)
        ran = sum(not row.skipped for row in observed.rows.values())
        report(f"{combination.name}: {ran} rows in {time.monotonic() - started:.0f} s")

    (directory / "observations").mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(build, [base for base in BASES if any(c.base == base for c in wanted)]))
        list(pool.map(observe, wanted))
    observed = []
    for line, members in LINES.items():
        for combination in members:
            name, path = combination.name, observation_file(combination.name, directory)
            if combination not in wanted and name in before.names():
                found = before.observation(name)
            elif path.exists():
                found = observation.read(path)
            else:
                failures.setdefault(name, before.not_run.get(name, "not observed"))
                continue
            observed.append((Recorded(name, line, found.running), found))
    if not observed:
        raise ObservationError("no combination could be observed; see the reasons above")
    data = pack(observed, failures)
    unfinished = output.with_name(f"{output.name}.part")
    unfinished.write_bytes(data)
    os.replace(unfinished, output)
    report(f"{output}: {len(observed)} releases, {len(data)} bytes; not run: {', '.join(failures) or 'none'}")
