"""The process that functions under test run in: its side of ``isolation``.

Nothing here trusts the functions: what is needed is imported before them, and where the interpreter no longer works
after a call, the process ends with an exit code that says so.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import pickle
import signal
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import fields
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from vggprep.errors import VggprepError
from vggprep.implementations import Implementation, callables
from vggprep.implementations.adapters import Adaptation, adapted
from vggprep.implementations.callables import Call, Outcome, call, call_again, call_together, describe, now, parameters
from vggprep.implementations.isolation import DISCONNECTED, REASON, UNUSABLE
from vggprep.implementations.targets import TargetSpec, load_all
from vggprep.spec import DIRECTIONS, Direction, known, registered

_KEPT = 64  # outcomes whose arrays are held for later questions
_OPTIONS = ("preprocess", "deprocess", "source", "inverse_source", "_")


def main(descriptor: int, options: Mapping[str, Any]) -> None:
    """Answer requests on a socket until it is closed."""
    with contextlib.suppress(OSError, AttributeError):  # Linux: to end with the process that started this one
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    faulthandler.enable()
    callables.INTERRUPTS_ARE_ITS_OWN = True
    connection, me = Connection(descriptor), os.getpid()
    depth = sys.getrecursionlimit()
    server = _Server(options)
    leave = os._exit
    told = 0
    try:
        while True:
            modes, request = pickle.loads(connection.recv_bytes())
            for mode in modes:
                known(mode)
            answer = server.answer(*request)
            if os.getpid() != me:
                leave(0)  # the function has forked, and this is the child
            sys.setrecursionlimit(depth)
            mine = registered()
            connection.send_bytes(pickle.dumps((mine[told:], answer)))
            told = len(mine)
    except EOFError:
        leave(0)  # threads of the function may never end
    except OSError:
        leave(DISCONNECTED)
    except BaseException as error:
        with contextlib.suppress(BaseException):
            os.write(2, f"{REASON}{describe(error)}\n".encode())
        leave(UNUSABLE)


class _Server:
    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._loaded: list[Implementation] | None = None
        self._kept: OrderedDict[int, Outcome] = OrderedDict()

    def answer(self, what: str, *about: Any) -> Any:
        """The answer to a request."""
        if what == "describe":
            return self._describe()
        if what == "now":
            outcome = self._kept[about[0]]
            return now(call, outcome)
        place, direction, *rest = about
        if what == "source":
            implementation = self._implementations()[place]
            source = implementation.source if direction == "forward" else implementation.inverse_source
            assert source is not None
            return source(*rest)
        at, how = place
        function = self._function(at, how, direction)
        if what == "together":
            calls, rounds, gives_way = rest
            together = [Call(memory.array(), *words) for memory, *words in calls]
            return call_together(function, together, rounds, gives_way)
        if what == "again":
            key, values, mode, data_format = rest
            outcome = self._kept[key] = call_again(function, self._kept[key], values, mode, data_format)
            return _sendable(outcome, key)
        memory, mode, data_format, key = rest
        outcome = call(function, memory.array(), mode, data_format)
        if key:
            self._kept[key] = outcome
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return _sendable(outcome, key)

    def _implementations(self) -> list[Implementation]:
        if self._loaded is None:
            self._loaded = load_all(TargetSpec(**self._options))
        return self._loaded

    def _function(self, at: int, how: Adaptation, direction: Direction) -> Callable[..., Any]:
        implementation = self._implementations()[at]
        function = implementation.preprocess if direction == "forward" else implementation.deprocess
        assert function is not None
        return function if how.is_plain else adapted(function, **vars(how))

    def _describe(self) -> str | list[dict[str, Any]]:
        try:
            found = self._implementations()
        except VggprepError as error:
            return str(error)
        return [_description(implementation) for implementation in found]


def _description(implementation: Implementation) -> dict[str, Any]:
    functions = dict(zip(DIRECTIONS, (implementation.preprocess, implementation.deprocess), strict=True))
    sources = dict(zip(DIRECTIONS, (implementation.source, implementation.inverse_source), strict=True))
    claims = {f.name: getattr(implementation, f.name) for f in fields(implementation) if f.name not in _OPTIONS}
    return {
        "fields": claims,
        "takes": {d: parameters(function) for d, function in functions.items() if function is not None},
        "sourced": [d for d, source in sources.items() if source is not None],
    }


def _sendable(outcome: Outcome, key: int) -> Outcome:
    """An outcome without the live objects."""
    after = np.array(outcome.input_after) if key or outcome.changed_input else None
    problem = outcome.problem and outcome.problem._replace(about=dict(outcome.problem.about))
    return outcome._replace(returned=None, input_after=after, problem=problem, key=key)
