"""Decimals and fractions. Imports the standard library only."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

DIGITS = 17
"""Significant digits of a constant that no decimal gives: as many as tell every float64 apart."""

LARGEST_EXPONENT = 30
"""Of the constants of a mode, as in ``spec``: a number such as 1e999999999 fills the memory when it is written out."""


def number(value: int | float | str | Decimal) -> str:
    """The decimal of a number, without digits that say nothing: ``255.0`` is ``255``."""
    text = format(value if isinstance(value, Decimal) else Decimal(str(value)), "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def terminates(value: Fraction) -> bool:
    """Whether a decimal of finite length is this number."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def decimal_of(value: Fraction) -> str:
    """The decimal that is this number, or else the nearest with 17 significant digits."""
    size = len(str(abs(value.numerator))) + len(str(value.denominator)) * 4
    with localcontext(prec=size if terminates(value) else DIGITS):
        return number(Decimal(value.numerator) / Decimal(value.denominator))


def rounded(value: Fraction) -> str:
    """The decimal that is this number, if 17 digits are enough, else the shortest that is the same float64."""
    with localcontext(prec=DIGITS):
        nearest = Decimal(value.numerator) / Decimal(value.denominator)
    return number(nearest if Fraction(nearest) == value else repr(float(value)))
