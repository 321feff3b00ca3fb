"""How quiet the machine was while something was timed, and whether a timing has settled. Standard library only."""

from __future__ import annotations

import os
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SETTLED = 1.05
"""A row has settled if its median is at most this many times its minimum."""

MOST_STEAL, MOST_OTHERS, MOST_UNSETTLED = 0.01, 0.1, 0.5
"""A run is noisy beyond: of the time, what the hypervisor gave to others; cores busy with other processes; of the rows,
those that have not settled. The last is generous: page faults scatter on an idle machine, too; such rows are marked."""


@dataclass(frozen=True)
class Snapshot:
    """Since the machine started, in seconds over all cores: ``busy``, ``steal``; of these, our own; and the load."""

    at: float
    busy: float
    steal: float
    own: float
    load: float


@dataclass(frozen=True)
class Noise:
    """``steal``: a share of the cores' time. ``others``: how many cores other processes kept busy."""

    load_before: float
    load_after: float
    steal: float
    others: float
    unsettled: float = 0.0


def snapshot() -> Snapshot | None:
    """The state of the machine; None where the system does not tell (it is Linux that does)."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
        load = float(Path("/proc/loadavg").read_text(encoding="ascii").split()[0])
        user, nice, system, _, _, irq, softirq, steal = (int(f) / os.sysconf("SC_CLK_TCK") for f in fields)
        return Snapshot(time.monotonic(), user + nice + system + irq + softirq, steal, _own_seconds(), load)
    except (OSError, ValueError):
        return None


def _own_seconds() -> float:
    """Processor time of this process, of those that it started and still has, and of those that it has waited for."""
    times: dict[int, float] = {}
    children: defaultdict[int, list[int]] = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        children[int(fields[1])].append(int(path.parent.name))
        times[int(path.parent.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    pending, total = [os.getpid()], 0.0
    while pending:
        pid = pending.pop()
        total += times.get(pid, 0.0)
        pending += children[pid]
    return total


def noise(before: Snapshot | None, after: Snapshot | None, unsettled: float = 0.0) -> Noise | None:
    """What happened between two snapshots; None if one is missing."""
    if before is None or after is None:
        return None
    elapsed = max(after.at - before.at, 1e-9)
    steal = (after.steal - before.steal) / elapsed / (os.cpu_count() or 1)
    others = max(0.0, after.busy - before.busy - (after.own - before.own)) / elapsed
    return Noise(before.load, after.load, round(steal, 4), round(others, 3), round(unsettled, 3))


def settled(seconds: Sequence[float]) -> bool:
    """Whether the median of some rounds is within 5 % of their minimum."""
    return statistics.median(seconds) <= SETTLED * min(seconds)


def read(found: Mapping[str, Any] | None) -> Noise | None:
    """What ``asdict`` has written."""
    return None if found is None else Noise(**found)


def why_noisy(found: Noise | None) -> str:
    """Why a run was too noisy to be drawn, or ``""``."""
    if found is None:
        return "nothing is known of what else the machine did"
    reasons = []
    if found.steal > MOST_STEAL:
        reasons.append(f"{found.steal:.1%} of the time was stolen by the hypervisor (at most {MOST_STEAL:.0%})")
    if found.others > MOST_OTHERS:
        reasons.append(f"other processes kept {found.others:.2f} cores busy (at most {MOST_OTHERS})")
    if found.unsettled > MOST_UNSETTLED:
        reasons.append(f"{found.unsettled:.0%} of the rows have not settled (at most {MOST_UNSETTLED:.0%})")
    return ", ".join(reasons)


def described(found: Noise | None) -> str:
    """How quiet a run was, in a sentence."""
    if found is None:
        return "Nothing is known of what else the machine did."
    return (
        f"Load {found.load_before:.2f} before and {found.load_after:.2f} after; while timing, other processes kept "
        f"{found.others:.2f} cores busy and {found.steal:.1%} of the time was stolen; {found.unsettled:.0%} of the "
        "rows have not settled (median within 5 % of the minimum)."
    )
