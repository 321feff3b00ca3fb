"""On which day, and by which commit, changes in the record were made, as far as that is known. Each has its source.

The builds are those that ``vggprep bisect --nightly`` found, the commits those of https://github.com/keras-team/keras.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from vggprep.releases.questions import Question, parse

REPOSITORY = "https://github.com/keras-team/keras"


@dataclass(frozen=True)
class Dated:
    """One change of Keras: the release that has it, whatever the backend, and the rows that it is about.

    Every row of a difference must have one of the values that ``where`` has for an attribute of its question, ``rank``
    among them. ``without`` and ``first`` are neighbouring nightly builds, the last without the change and the first
    with it, with the day in their names.
    """

    release: str
    commit: str
    day: date
    title: str
    where: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    without: str = ""
    first: str = ""

    def about(self, release: str, rows: tuple[str, ...]) -> bool:
        """Whether a change that a release made in these rows is this one."""
        asked = map(parse, rows)
        return release == self.release and all(_has(q, key) in of for q in asked for key, of in self.where.items())

    @property
    def sentence(self) -> str:
        """What was found out, for a person."""
        said = f"Made on {self.day}: {self.title} ({REPOSITORY}/commit/{self.commit})."
        if self.first:
            return f"{said} First in keras-nightly=={self.first}, not yet in {self.without}."
        return f"{said} Not yet in keras-nightly=={self.without}." if self.without else said


def _has(question: Question, key: str) -> Any:
    return len(question.shape) if key == "rank" else getattr(question, key)


_LAYERS = ("rescaling", "built")
_TRACED = ("graph", "lambda", "tf.data")

DATED = (
    Dated(
        "3.12.0",
        "c22de4baa5",
        date(2025, 10, 17),
        "Fix the Bug in func `preprocess_input` when `x` in 3D and `data_format=='channels_first'` (#21750)",
        {"rank": (3,), "data_format": ("channels_first",)},
        "3.12.0.dev2025100703",
    ),
    Dated(
        "3.12.0",
        "e8771ad138",
        date(2025, 8, 8),
        'Revert "Modified compute_output_shape function to handle broadcasting behavior in layers.Rescaling (#21351)"',
        {"path": _LAYERS},
    ),
    Dated(
        "3.11.0",
        "e233825bbd",
        date(2025, 7, 10),
        "Modified compute_output_shape function to handle broadcasting behavior in layers.Rescaling (#21351)",
        {"path": _LAYERS},
        "3.10.0.dev2025071003",
        "3.10.0.dev2025071103",
    ),
    Dated(
        "3.7.0",
        "eb5c5ae1cb",
        date(2024, 10, 23),
        "Allow some TF kernels fusion: tf.nn.bias_add as special case of tf.add (#20386)",
        {"path": ("model",)},
        "3.6.0.dev2024101603",
        "3.7.0.dev2024102503",
    ),
    Dated(
        "3.0.5",
        "096b848e63",
        date(2024, 1, 19),
        "Allow bfloat16 default dtype (#19074)",
        {"floatx": ("bfloat16",)},
        "3.0.3.dev2024011903",
        "3.0.3.dev2024012003",
    ),
    Dated(
        "2.2.0",
        "84e168b5fa",
        date(2018, 5, 7),
        "Fix preprocess_input not working with int arrays (#10134)",
        {"path": ("ndarray",)},
    ),
    *(
        Dated("2.1.3", "caf05b43d1", date(2018, 1, 4), "Add DenseNet models (#8800), which adds mode torch", where)
        for where in ({"mode": ("torch",)}, {"after": ("torch",)})
    ),
    Dated(
        "2.1.2",
        "7853840162",
        date(2017, 11, 25),
        "Refactor preprocess_input so I can use it in the functional API (#8520)",
        {"path": _TRACED},
    ),
)


def found(release: str, rows: tuple[str, ...]) -> Dated | None:
    """What is known of a change that a release made, ``keras[torch]==3.12.0`` for instance."""
    package, _, version = release.partition("==")
    if package.partition("[")[0] != "keras":
        return None
    return next((one for one in DATED if one.about(version, rows)), None)
