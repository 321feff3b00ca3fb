"""From the text of a configuration to a mapping: JSON, TOML, XML, INI, command lines and calls in programs.

Numbers become ``Decimal``, with the digits that the text has.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any
from xml.etree import ElementTree

from vggprep.configurations.decimals import decimal_of
from vggprep.errors import VggprepError

Fields = Mapping[str, Any]


def parsed(text: str, suffix: str) -> Fields:
    """The mapping that a text holds, whatever its syntax."""
    start = text.lstrip()[:1]
    if start == "{" or suffix == ".json":
        try:
            document = json.loads(text, parse_float=Decimal, parse_constant=_no_number)
        except ValueError as error:
            raise VggprepError(f"not valid JSON: {error}") from None
        return document if isinstance(document, dict) else {"list": document}
    if suffix == ".toml" or re.search(r"^\s*\[\[steps\]\]|^\s*steps *= *\[", text, flags=re.MULTILINE):
        try:
            return tomllib.loads(text, parse_float=Decimal)
        except ValueError as error:
            raise VggprepError(f"not valid TOML: {error}") from None
    if start == "<":
        return {"openvino": _intermediate(text)}
    if call := re.search(r"\bblobFromImages?\s*\(", text):
        return {"blobFromImage": _call(text[call.start() :])}
    if _OPTION.search(text):
        return {"openvino": _command_line(text)}
    if re.search(r"^\s*(net-scale-factor|offsets|model-color-format)\s*[=:]", text, flags=re.MULTILINE):
        return {"deepstream": _ini(text)}
    return {}


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no number that a mode can have")


def _numbers(text: str) -> list[Decimal | str]:
    """The numbers in a list such as ``[123.675,116.28,103.53]`` or ``104;117;123``; what is none stays text."""
    words = [word for word in re.split(r"[\s,;]+", text.strip("[]()\"' ")) if word]
    return [Decimal(word) if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", word) else word for word in words]


_OPTION = re.compile(
    r"(?<![\w-])--?(mean_values|scale_values|scale|reverse_input_channels|input_shape)\b(?:[= ]\s*([^\n]*?))?"
    r"(?=\s+--|\s*\\?\s*(?:\n|$))"
)


def _command_line(text: str) -> Fields:
    """The options of OpenVINO's Model Optimizer; values may stand for an input: ``data[123,117,104]``."""
    fields: dict[str, Any] = {}
    for key, value in _OPTION.findall(text):
        value = value.strip("\"' ")
        if key == "reverse_input_channels":
            fields[key] = value.lower() not in ("false", "0")
            continue
        fields[key] = _of_one_input(key, value) if key != "input_shape" else value
    return fields


def _of_one_input(key: str, value: str) -> list[Decimal | str]:
    lists = re.findall(r"[\[(]([^\])]*)[\])]", value)
    if len(lists) > 1:
        raise VggprepError(f"{key} has values for {len(lists)} inputs; leave those of one")
    return _numbers(lists[0] if lists else value)


def _intermediate(text: str) -> Fields:
    """What an IR of OpenVINO says of preprocessing that is not among its operations: ``rt_info``, older ``meta_data``.

    Of ``conversion_parameters``, the operations that ``mo`` inserted do the same.
    """
    try:
        elements = {e.tag: e.get("value", "") for e in ElementTree.fromstring(text).iter() if e.get("value")}
    except ElementTree.ParseError as error:
        raise VggprepError(f"not valid XML: {error}") from None
    fields: dict[str, Any] = {
        key: _of_one_input(key, value) for key, value in elements.items() if key in ("mean_values", "scale_values")
    }
    if "reverse_input_channels" in elements:
        fields["reverse_input_channels"] = elements["reverse_input_channels"].lower() in ("true", "yes", "1")
    return fields


def _ini(text: str) -> Fields:
    """Keys of DeepStream's configuration, INI or YAML, that bear on values or size."""
    fields: dict[str, Any] = {}
    for key, value in re.findall(r"^[ \t]*([\w-]+)[ \t]*[=:]([^#\n]*)", text, flags=re.MULTILINE):
        if key in ("net-scale-factor", "offsets", "model-color-format"):
            numbers = _numbers(value)
            fields[key] = numbers if key != "model-color-format" else numbers[0] if numbers else ""
        if key in ("mean-file", "infer-dims"):
            fields[key] = value.strip()
    return fields


def _call(text: str) -> Fields:
    """The arguments of a call of blobFromImage in Python, C++ or JavaScript."""
    depth = 0
    for end, letter in enumerate(text, 1):
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0 and letter in ")]}":
            text = text[:end]
            break
    source = text.replace("::", ".").replace("new ", "").replace("{", "[").replace("}", "]")
    source = re.sub(r"(?<![\w.])(\d+\.?\d*)f\b", r"\1", source)
    try:
        call = ast.parse(" ".join(source.split()), mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        raise VggprepError("the call of blobFromImage cannot be understood") from None
    if not isinstance(call, ast.Call):
        raise VggprepError("the call of blobFromImage cannot be understood")
    names = ("image", "scalefactor", "size", "mean", "swapRB", "crop", "ddepth")
    arguments = list(call.args)
    if len(arguments) > 2 and _folded(arguments[1]) is None and _folded(arguments[2]) is not None:
        del arguments[1]  # C++: where the blob is put
    given = dict(zip(names, arguments, strict=False)) | {k.arg: k.value for k in call.keywords if k.arg}
    fields: dict[str, Any] = {"scalefactor": Fraction(1), "mean": [0, 0, 0]}
    for name in ("scalefactor", "mean", "size", "swapRB", "crop"):
        if name in given:
            fields[name] = _constant(name, given[name])
    return fields


def _constant(name: str, node: ast.expr) -> Any:
    if isinstance(node, ast.Call):  # Scalar(104, 117, 123), Size(224, 224)
        return [_constant(name, one) for one in node.args]
    if isinstance(node, ast.Tuple | ast.List):
        return [_constant(name, one) for one in node.elts]
    if name in ("swapRB", "crop"):
        word = ast.unparse(node).lower()
        if word in ("true", "false"):
            return word == "true"
        if name == "swapRB":
            raise VggprepError(f"swapRB is not written as true or false: {ast.unparse(node)}")
    if name in ("size", "crop"):
        return ast.unparse(node)
    value = _folded(node)
    if value is None:
        raise VggprepError(f"{name} is not written as numbers: {ast.unparse(node)}")
    return value if name == "scalefactor" else Decimal(decimal_of(value))


def _folded(node: ast.expr) -> Fraction | None:
    """The value of an expression of numbers, such as ``1/127.5``."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return Fraction(str(node.value))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and (value := _folded(node.operand)) is not None:
        return -value
    if (
        isinstance(node, ast.BinOp)
        and (left := _folded(node.left)) is not None
        and (right := _folded(node.right)) is not None
    ):
        if isinstance(node.op, ast.Mult):
            return left * right
        if isinstance(node.op, ast.Div) and right:
            return left / right
    return None
