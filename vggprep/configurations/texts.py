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
            document = json.loads(text, parse_float=Decimal, parse_int=_integer, parse_constant=_no_number)
        except ValueError as error:
            raise VggprepError(f"not valid JSON: {error}") from None
        return document if isinstance(document, dict) else {"list": document}
    if suffix == ".toml" or re.search(r"^[ \t]*\[\[steps\]\]|^[ \t]*steps *= *\[", text, flags=re.MULTILINE):
        try:
            return tomllib.loads(text, parse_float=Decimal)
        except ValueError as error:
            raise VggprepError(f"not valid TOML: {error}") from None
    if start == "<":
        return {"openvino": _intermediate(text)}
    if calls := _calls(text):
        return {"blobFromImage": calls[0]}
    if dicts := _dicts(_uncommented(text)):
        return {"openmmlab": dicts}
    if _OPTION.search(text):
        return {"openvino": _command_line(text)}
    if re.search(rf"^[ \t]*({'|'.join(_DEEPSTREAM)})[ \t]*[=:]", text, flags=re.MULTILINE):
        return {"deepstream": _ini(text)}
    if suffix in (".yaml", ".yml"):
        raise VggprepError("of YAML, DeepStream's is read; save other files as JSON")
    return {}


def _integer(digits: str) -> int | Decimal:
    """Python refuses to make an ``int`` of thousands of digits."""
    return int(digits) if len(digits) < 1000 else Decimal(digits)


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no number that a mode can have")


def _numbers(text: str) -> list[Decimal | str]:
    """The numbers in a list such as ``[123.675,116.28,103.53]`` or ``104;117;123``; what is none stays text."""
    words = [word for word in re.split(r"[\s,;]+", text.strip("[]()\"' ")) if word]
    return [
        Decimal(word) if re.fullmatch(r"[-+]?(\d+(?:\.\d*)?|\.\d+)([eE][-+]?\d+)?", word) else word for word in words
    ]


_OPTION = re.compile(r"(?<![\w-])--?(mean_values|scale_values|scale|s|reverse_input_channels|input_shape)(?![\w-])")
_ANY_OPTION = re.compile(r"(?<!\S)--?[A-Za-z]")


def _command_line(text: str) -> Fields:
    """The options of OpenVINO's Model Optimizer; values may stand for an input: ``data[123,117,104]``."""
    lines = re.sub(r"[\\^][ \t]*\n", " ", text).splitlines()
    commands = [_options(line) for line in lines if _OPTION.search(line) and not line.lstrip().startswith("#")]
    if any(command != commands[0] for command in commands):
        raise VggprepError(f"{len(commands)} lines have options that differ; leave one command in it")
    return commands[0] if commands else {}


def _options(line: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    starts = [option.start() for option in _ANY_OPTION.finditer(line)]
    for start, end in zip(starts, [*starts[1:], len(line)], strict=True):
        if not (option := _OPTION.match(line, start)):
            continue
        key, value = option[1], line[option.end() : end].strip("=\"' \t")
        key = "scale" if key == "s" else key
        if key in fields:
            raise VggprepError(f"{key} is given twice; leave one of them")
        if key == "reverse_input_channels":
            fields[key] = value.lower() not in ("false", "0")
        else:
            fields[key] = _of_one_input(key, value) if key != "input_shape" else value
    return _one_scale(fields)


def _one_scale(fields: dict[str, Any]) -> dict[str, Any]:
    """``scale`` as ``scale_values``, of which it is short for."""
    if "scale" in fields and "scale_values" in fields:
        raise VggprepError("scale and scale_values are both given; leave one of them")
    return {"scale_values" if key == "scale" else key: value for key, value in fields.items()}


def _of_one_input(key: str, value: str) -> list[Decimal | str]:
    lists = re.findall(r"[\[(]([^\[\]()]*)[\])]", value)
    if len(lists) > 1:
        raise VggprepError(f"{key} has values for {len(lists)} inputs; leave those of one")
    return _numbers(lists[0] if lists else value)


def _intermediate(text: str) -> Fields:
    """What an IR of OpenVINO says of preprocessing that is not among its operations: ``rt_info``, older ``meta_data``.

    Of ``conversion_parameters``, the operations that ``mo`` inserted do the same.
    """
    elements: dict[str, str] = {}
    try:
        for element in ElementTree.fromstring(text).iter():
            value = element.get("value", "").strip()
            if element.tag not in _OF_VALUES or value in _NOT_GIVEN:
                continue
            if elements.setdefault(element.tag, value) != value:
                raise VggprepError(f"{element.tag} is given twice; leave one of them")
    except ElementTree.ParseError as error:
        raise VggprepError(f"not valid XML: {error}") from None
    fields: dict[str, Any] = {key: _of_one_input(key, value) for key, value in elements.items() if key != _REVERSES}
    if _REVERSES in elements:
        fields[_REVERSES] = elements[_REVERSES].lower() in ("true", "yes", "1")
    return _one_scale(fields)


_REVERSES = "reverse_input_channels"
_OF_VALUES = ("mean_values", "scale_values", "scale", _REVERSES)
_NOT_GIVEN = ("", "()", "[]", "{}", "None")


def _ini(text: str) -> Fields:
    """Keys of DeepStream's configuration, INI or YAML, that bear on values or size; of sections, ``property``'s."""
    fields: dict[str, Any] = {}
    section = "property"
    for line in text.splitlines():
        if header := re.match(r"[ \t]*\[([^\]]*)\]|([\w-]+)[ \t]*:[ \t]*(?:#|$)", line):
            section = header[1] or header[2]
            continue
        entry = re.match(r"[ \t]*([\w-]+)[ \t]*[=:]([^#]*)", line)
        if not entry or (section != "property" and entry[1] not in _PREPROCESS):
            continue
        key, value = entry.groups()
        if key in ("net-scale-factor", "offsets", "model-color-format"):
            numbers = _numbers(value)
            fields[key] = numbers if key != "model-color-format" else numbers[0] if numbers else ""
        elif key in (*_DEEPSTREAM, "infer-dims", "input-tensor-from-meta"):
            fields[key] = value.strip()
    return fields


_PREPROCESS = ("pixel-normalization-factor", "network-color-format")
_DEEPSTREAM = ("net-scale-factor", "offsets", "model-color-format", "mean-file", *_PREPROCESS)


_WORDLESS = re.compile(
    r'"(?:\\.|[^"\\\n])*"'
    r"|'(?:\\.|[^'\\\n])*'"
    r"|(?P<comment>\#[^\n]*|/\*.*?(?:\*/|\Z)|(?:^[ \t]*|(?<=[;{},])[ \t]{0,80})//[^\n]*)",
    flags=re.MULTILINE | re.DOTALL,
)
"""Strings, and comments: ``//`` begins one where it cannot be Python's division."""


def _uncommented(text: str) -> str:
    return _WORDLESS.sub(lambda found: " " if found["comment"] else found[0], text)


def _calls(text: str) -> list[Fields]:
    """The calls of blobFromImage outside comments, which have to agree."""
    text = _uncommented(text)
    calls = [_call(text[call.start() :]) for call in re.finditer(r"\bblobFromImages?\s*\(", text)]
    if any(call[key] != calls[0][key] for call in calls for key in ("scalefactor", "mean", "swapRB")):
        raise VggprepError(f"it holds {len(calls)} calls of blobFromImage that differ; leave one in it")
    if calls and (changed := re.search(r"\b\w*blob\w*(?:\[[^\]\n]{0,80}\])?[ \t]{0,80}[-+*/]=", text)):
        raise VggprepError(f"values are changed after blobFromImage: {changed[0]} ...")
    return calls


_OF_OPENMMLAB = re.compile(r"^[ \t]*(?:\w*data_preprocessor|img_norm_cfg)[ \t]*=[ \t]*(?=dict\()", re.MULTILINE)


def _dicts(text: str) -> list[Fields]:
    return [_dict(text[found.end() :]) for found in _OF_OPENMMLAB.finditer(text)]


def _dict(text: str) -> Fields:
    """The arguments of ``dict(...)``, with which a configuration of OpenMMLab begins."""
    try:
        call = ast.parse(_balanced(text), mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        raise VggprepError("its dict(...) cannot be understood") from None
    assert isinstance(call, ast.Call)
    return {argument.arg: _plain(argument.value) for argument in call.keywords if argument.arg}


def _plain(node: ast.expr) -> Any:
    """A number, a flag, a text or a list of them; what is none of these as it is written."""
    if isinstance(node, ast.Tuple | ast.List):
        return [_plain(one) for one in node.elts]
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | str | None):
        return node.value
    value = _folded(node)
    return ast.unparse(node) if value is None else Decimal(decimal_of(value))


def _balanced(text: str) -> str:
    """A text up to the end of its first bracket."""
    depth = 0
    for end, letter in enumerate(text, 1):
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0 and letter in ")]}":
            return text[:end]
    return text


def _call(text: str) -> Fields:
    """The arguments of a call of blobFromImage in Python, C++ or JavaScript."""
    source = _balanced(text).replace("::", ".").replace("new ", "").replace("{", "[").replace("}", "]")
    source = re.sub(r"(?<![\w.])(\d+(?:\.\d*)?)f\b", r"\1", source)
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
    fields: dict[str, Any] = {"scalefactor": Fraction(1), "mean": [0, 0, 0], "swapRB": False}
    for name in ("scalefactor", "mean", "size", "swapRB", "crop"):
        if name in given:
            fields[name] = _constant(name, given[name])
    if isinstance(fields["mean"], list) and len(fields["mean"]) == 4:
        del fields["mean"][3]  # a Scalar has four, of which images of three channels use three
    fields["mean"] = fields["mean"] or [0, 0, 0]  # Scalar()
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
