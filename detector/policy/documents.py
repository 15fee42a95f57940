"""Policy documents: their shape, and what is wrong with one, by key and line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cache
from typing import Annotated, Any, TypeAlias

import pydantic
import pydantic.json_schema
import yaml
from pydantic import Field

from detector import config, errors
from detector.policy import actions, catalogue, promql, sections
from detector.policy.conditions import base, selecting, table

MOST_NODES = 20_000
MOST_CONDITIONS = 200
DEEPEST = 12
TOO_DEEP = f"too deep: conditions in {DEEPEST} levels are allowed"
Path: TypeAlias = tuple[str | int, ...]


class Rule(sections.Section):
    """A condition and what is to happen; among rules that hold, the lowest priority number acts."""

    condition: table.AnyCondition
    action: actions.AnyAction
    priority: Annotated[int, Field(ge=0, le=1_000_000)] = 1


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("one line of text is allowed")
    return text


class Document(sections.Section):
    """A policy.

    per  labels that say which series of two rules are about the same thing, where one rule's
         priority quietens the other; all labels, if not given
    """

    name: Annotated[
        str,
        Field(max_length=200, json_schema_extra={"minLength": 1}),
        pydantic.AfterValidator(_one_line),
    ]
    description: Annotated[str, Field(max_length=5_000)] = ""
    enabled: bool = True
    rules: Annotated[tuple[Rule, ...], Field(min_length=1, max_length=100)]
    per: tuple[config.LabelName, ...] | None = None

    @pydantic.model_validator(mode="after")
    def _outermost_waits(self) -> Document:
        faults = [
            (path, f"{key}: only on the outermost condition, which waits for all of it")
            for position, rule in enumerate(self.rules)
            for path, condition in _within(rule.condition, ("rules", position, "condition"))
            for key, wait in (
                ("for", condition.for_),
                ("keep_firing_for", condition.keep_firing_for),
            )
            if wait
        ]
        if faults:
            path, text = faults[0]
            raise ValueError(f"{'.'.join(map(str, path))}.{text}")
        return self

    @pydantic.model_validator(mode="after")
    def _is_not_too_deep(self) -> Document:
        if max(_depth(rule.condition) for rule in self.rules) > DEEPEST:
            raise ValueError(TOO_DEEP)
        return self


def _depth(condition: base.Condition) -> int:
    return 1 + max((_depth(inner) for _, inner in condition.parts()), default=0)


def _within(condition: base.Condition, path: Path) -> Iterator[tuple[Path, base.Condition]]:
    for part, inner in condition.parts():
        yield (*path, *part), inner
        yield from _within(inner, (*path, *part))


def parse(tree: object, source: str) -> Document:
    """The document that this tree of mappings, lists and plain values is.

    source  what it came from, for messages. Raises PolicyError with every fault.
    """
    too_much = _too_much(tree)
    if too_much:
        raise errors.PolicyError(source, [errors.PolicyFault("", "", too_much)])
    unwritable = list(_unwritable((), tree))
    if unwritable:
        raise errors.PolicyError(source, unwritable)
    try:
        return Document.model_validate(tree)
    except pydantic.ValidationError as exc:
        raise errors.PolicyError(source, list(_faults(exc, tree))) from None


def switched(document: Document, *, is_enabled: bool) -> Document:
    """The same document, enabled or disabled."""
    return document.model_copy(update={"enabled": is_enabled})


def tree_of(document: Document) -> dict[str, Any]:
    """The document as it is written in JSON: the keys that were given, each value in the one way
    that we write it; parse() makes the same document of it."""
    tree: dict[str, Any] = _types_first(
        document.model_dump(mode="json", by_alias=True, exclude_unset=True)
    )
    return tree


def yaml_of(document: Document) -> str:
    """The document as YAML that people read."""
    text: str = yaml.safe_dump(tree_of(document), sort_keys=False, allow_unicode=True, width=100)
    return text


def _types_first(node: Any) -> Any:
    """As people write it: what a thing is, then the rest."""
    if isinstance(node, list):
        return [_types_first(each) for each in node]
    if not isinstance(node, dict):
        return node
    keys = sorted(node, key=lambda key: key != "type")
    return {key: _types_first(node[key]) for key in keys}


def from_yaml(text: str, source: str) -> list[tuple[Document, yaml.Node]]:
    """The documents of a YAML or JSON text, each with its place: one, a list, or several with ---.

    Raises PolicyError with the lines of the faults.
    """
    found = []
    faults: list[errors.PolicyFault] = []
    for node in _nodes(text, source):
        tree = _plain(node, source)
        try:
            found.append((parse(tree, source), node))
        except errors.PolicyError as exc:
            faults += with_lines(exc, node).faults
    if faults:
        raise errors.PolicyError(source, faults)
    if not found:
        raise errors.PolicyError(source, [errors.PolicyFault("", "", "no policy is in it")])
    return found


class _SchemaMaker(pydantic.json_schema.GenerateJsonSchema):
    """Durations as they are written in documents."""

    def encode_default(self, dft: object) -> object:
        return promql.duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def json_schema() -> dict[str, Any]:
    """JSON Schema of a document."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_schema("#/$defs/{model}")}


def openapi_schemas(name: str) -> dict[str, Any]:
    """The same as components of an OpenAPI document: `name`, and name.part for each part."""
    schema = _schema(f"#/components/schemas/{name}.{{model}}")
    parts = schema.pop("$defs")
    return {name: schema} | {f"{name}.{part}": each for part, each in parts.items()}


def _schema(ref_template: str) -> dict[str, Any]:
    return Document.model_json_schema(
        by_alias=True, schema_generator=_SchemaMaker, ref_template=ref_template
    )


def fault_at(path: Path, tree: object, text: str, value: object = None) -> errors.PolicyFault:
    """A fault at this path of a document's tree, with what stands there."""
    shown = _at(tree, path) if value is None else value
    return errors.PolicyFault(".".join(map(str, path)), _shown(shown), text)


def _too_much(tree: object) -> str | None:
    """Why a tree is not even looked at: too large, or deeper than anything that people write."""
    count, level = 0, [tree]
    conditions = 0
    for _ in range(4 * DEEPEST + 8):
        following: list[object] = []
        for node in level:
            count += 1
            if isinstance(node, Mapping):
                kind = node.get("type")
                conditions += isinstance(kind, str) and kind in table.TYPES
                following += node.values()
            elif isinstance(node, list | tuple):
                following += node
            if count + len(following) > MOST_NODES or conditions > MOST_CONDITIONS:
                return f"too large: {MOST_CONDITIONS} conditions in a policy are allowed"
        if not following:
            return None
        level = following
    return TOO_DEEP


def _unwritable(path: Path, node: object) -> Iterator[errors.PolicyFault]:
    """Texts, keys too, that are not Unicode: no file can hold them."""
    if isinstance(node, Mapping):
        for key, inner in node.items():
            yield from _unwritable(path, key)
            yield from _unwritable((*path, key), inner)
    elif isinstance(node, list | tuple):
        for position, inner in enumerate(node):
            yield from _unwritable((*path, position), inner)
    elif isinstance(node, str) and _UNWRITABLE.search(node):
        yield fault_at(
            path, None, "whole characters are allowed: half a surrogate pair is in it", node
        )


_UNWRITABLE = re.compile(r"[\ud800-\udfff]")


def _nodes(text: str, source: str) -> list[yaml.Node]:
    try:
        tops = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        problem = getattr(exc, "problem", None) or " ".join(str(exc).split())
        line = None if mark is None else mark.line + 1
        fault = errors.PolicyFault("", "", f"not YAML: {problem}", line)
        raise errors.PolicyError(source, [fault]) from None
    except RecursionError:
        raise errors.PolicyError(source, [errors.PolicyFault("", "", TOO_DEEP)]) from None
    found: list[yaml.Node] = []
    for top in tops:
        found += top.value if isinstance(top, yaml.SequenceNode) else [top]
    return found


def _plain(node: yaml.Node, source: str) -> object:
    twice = _key_twice(node)
    if twice is not None:
        text = "this key stands twice: one of the two would be lost"
        fault = errors.PolicyFault(_shown(twice.value), "", text, twice.start_mark.line + 1)
        raise errors.PolicyError(source, [fault])
    loader = yaml.SafeLoader("")
    try:
        tree: object = loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        problem = getattr(exc, "problem", None) or " ".join(str(exc).split())
        fault = errors.PolicyFault("", "", f"not YAML: {problem}", node.start_mark.line + 1)
        raise errors.PolicyError(source, [fault]) from None
    finally:
        loader.dispose()
    return tree


def _key_twice(top: yaml.Node) -> yaml.ScalarNode | None:
    """A key that its mapping has had already; each node is looked at once, however often it is
    referred to."""
    seen, left = {id(top)}, [top]
    while left:
        node = left.pop()
        inner = list(node.value) if isinstance(node, yaml.SequenceNode) else []
        if isinstance(node, yaml.MappingNode):
            keys = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                    if (key.tag, key.value) in keys:
                        return key
                    keys.add((key.tag, key.value))
                inner += [key, value]
        left += [each for each in inner if id(each) not in seen]
        seen.update(map(id, inner))
    return None


_MERGE = "tag:yaml.org,2002:merge"


def with_lines(error: errors.PolicyError, node: yaml.Node) -> errors.PolicyError:
    """The same error, its faults with the lines of a document that from_yaml gave."""
    return errors.PolicyError(error.source, [_with_line(each, node) for each in error.faults])


def _with_line(fault: errors.PolicyFault, node: yaml.Node) -> errors.PolicyFault:
    line = node.start_mark.line
    for part in fault.path.split(".") if fault.path else ():
        following = _child(node, part)
        if following is None:
            break
        line, node = following
    return errors.PolicyFault(fault.path, fault.value, fault.text, line + 1)


def _child(node: yaml.Node, part: str) -> tuple[int, yaml.Node] | None:
    """The line and the node under this key or position."""
    if isinstance(node, yaml.MappingNode):
        places = [(key.value, key, value) for key, value in node.value]
    else:
        places = [(str(position), each, each) for position, each in enumerate(node.value)]
    found = ((at.start_mark.line, inner) for name, at, inner in places if name == part)
    return next(found, None)


_TAGS = {*table.TYPES, *actions.TYPES, *selecting.TAGS}


def _faults(exc: pydantic.ValidationError, tree: object) -> Iterator[errors.PolicyFault]:
    for each in exc.errors(include_url=False):
        path = _path(each["loc"], tree)
        text = each["msg"].removeprefix("Value error, ").replace("Tuple", "A list", 1)
        match each["type"]:
            case "too_short" if each["input"]:
                pass  # what is in it was refused, and has been told
            case "extra_forbidden":
                yield fault_at(path, None, _unknown_key(str(path[-1])))
            case "missing":
                yield fault_at(path, None, "is needed")
            case "model_type" | "model_attributes_type" | "dict_type":
                yield fault_at(path, None, "keys with values are allowed", each["input"])
            case "tuple_type":
                yield fault_at(path, None, "a list is allowed", each["input"])
            case "union_tag_not_found":
                yield fault_at((*path, "type"), None, f"is needed: {_allowed_types(path)}")
            case "union_tag_invalid":
                tag = str(each["ctx"]["tag"])
                yield fault_at((*path, "type"), None, _allowed_types(path, tag), tag)
            case "literal_error" | "enum":
                yield fault_at(path, None, _choice(each["ctx"]["expected"]), each["input"])
            case "too_short":
                yield fault_at(path, None, "one at least is needed")
            case "string_pattern_mismatch" if path[-1] == "url":
                yield fault_at(path, None, _URL, each["input"])
            case "string_pattern_mismatch" if path[-1] == "metric_name":
                yield fault_at(path, tree, _not_a_metric(str(each["input"])))
            case "string_pattern_mismatch" if each["input"] == path[-1] or path[-1] == "query":
                yield fault_at(path, None, "letters, digits and _ are allowed", each["input"])
            case "value_error" if text.startswith("rules."):  # it says itself where it is
                at, _, rest = text.partition(": ")
                yield errors.PolicyFault(at, "", rest)
            case _:
                yield fault_at(path, None, text, each["input"])


def _choice(expected: str) -> str:
    """What pydantic says of a choice, without what the members of an enum are called."""
    values = re.sub(r"<[\w.]+: ('[^']*')>", r"\1", expected).replace("'", "")
    return f"{values.replace(' or ', ', ')} are allowed"


_URL = "http:// or https:// with a host is allowed, without a user or password in it"


def _not_a_metric(name: str) -> str:
    close = catalogue.nearest(name)
    meant = f"; did you mean {close[0]}?" if close else ""
    return f"letters, digits, _ and : are allowed{meant}"


def _path(loc: Path, tree: object) -> Path:
    """The keys and positions of a place, without the names that pydantic puts between."""
    found: list[str | int] = []
    node = tree
    for part in loc:
        if _has(node, part):
            node = node[part]  # type: ignore[index]  # which has been seen
        elif part in _TAGS or part == "[key]":
            continue
        found.append(part)
    return tuple(found)


def _at(tree: object, path: Path) -> object:
    for part in path:
        if not _has(tree, part):
            return None
        tree = tree[part]  # type: ignore[index]  # which has been seen
    return tree


def _has(node: object, part: str | int) -> bool:
    if isinstance(node, Mapping):
        return part in node
    return isinstance(node, list | tuple) and isinstance(part, int) and part < len(node)


def _shown(value: object) -> str:
    if value is None or isinstance(value, dict | list):
        return ""
    text = value if isinstance(value, str) else repr(value)
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _types(path: Path) -> list[str]:
    return list(actions.TYPES if path and path[-1] == "action" else table.TYPES)


def _allowed_types(path: Path, given: str = "") -> str:
    types = _types(path)
    close = difflib.get_close_matches(given, types, n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    return f"{', '.join(types)} are allowed{meant}"


def _unknown_key(key: str) -> str:
    close = difflib.get_close_matches(key, _keys(), n=1)
    return f"unknown key; did you mean {close[0]}?" if close else "unknown key"


@cache
def _keys() -> tuple[str, ...]:
    """All keys that documents have, from their schema."""
    definitions = json_schema()
    parts = [definitions, *definitions.get("$defs", {}).values()]
    return tuple(sorted({key for part in parts for key in part.get("properties", {})}))
