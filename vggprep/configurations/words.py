"""What a mode does, in words, as a formula, and as lines of Python that do it and undo it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vggprep.spec import Mode, Operation, Step

_SIGNS: Mapping[Operation, str] = {"divide": "/", "subtract": "-", "multiply": "*", "add": "+"}
_WORDS: Mapping[Operation, str] = {
    "divide": "divide by",
    "subtract": "subtract",
    "multiply": "multiply by",
    "add": "add",
}
_OPPOSITE: Mapping[Operation, Operation] = {
    "divide": "multiply",
    "multiply": "divide",
    "subtract": "add",
    "add": "subtract",
}


def sentence(mode: Mode) -> str:
    """For instance ``"RGB to BGR, then subtract (104, 117, 123)"``."""
    order = "" if mode.channel_order == "RGB" else f"RGB to {mode.channel_order}"
    steps = ", ".join(f"{_WORDS[step.operation]} {_constants(step)}" for step in mode.steps)
    return ", then ".join(part for part in (order, steps) if part) or "nothing"


def formula(mode: Mode) -> str:
    """For instance ``"(x / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)"``; x is in the order of the output."""
    return _expression("x", mode.steps, _constants)


def python(mode: Mode) -> tuple[str, str]:
    """Lines that make ``y`` of ``x``, of shape ``(..., 3)``, 0..255, in float32; and bytes ``x`` of such a ``y``."""
    back = tuple(Step(_OPPOSITE[step.operation], step.constants) for step in reversed(mode.steps))
    inverse = [mode.order.index(channel) for channel in range(3)]
    moved = mode.channel_order != "RGB"
    start = f"x[..., {list(mode.order)}]" if moved else "x"
    undone = _expression("y", back, _numpy)
    undone = f"({undone})[..., {inverse}]" if moved else undone
    return (
        f"y = {_expression(f'{start}.astype(np.float32)', mode.steps, _numpy)}",
        f"x = np.clip(np.rint({undone}), 0, 255).astype(np.uint8)",
    )


def _expression(start: str, steps: tuple[Step, ...], constants: Callable[[Step], str]) -> str:
    text, is_sum = start, False
    for step in steps:
        if is_sum and step.operation in ("divide", "multiply"):
            text = f"({text})"
        text = f"{text} {_SIGNS[step.operation]} {constants(step)}"
        is_sum = step.operation in ("add", "subtract")
    return text


def _constants(step: Step) -> str:
    return step.constants[0] if len(set(step.constants)) == 1 else f"({', '.join(step.constants)})"


def _numpy(step: Step) -> str:
    listed = ", ".join(step.constants)
    return f"np.float32({step.constants[0] if len(set(step.constants)) == 1 else f'[{listed}]'})"
