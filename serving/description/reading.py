"""The document as people read it: sections of entries, each with its fields in rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_DEEPEST = 4


@dataclass(frozen=True)
class Field:
    """One field of a body, by its way into it."""

    name: str
    kind: str
    needed: bool
    told: str


@dataclass(frozen=True)
class Body:
    """One kind of body, and its fields when it is JSON."""

    kind: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Reply:
    """What may come back."""

    status: str
    told: str
    bodies: tuple[Body, ...]


@dataclass(frozen=True)
class Entry:
    """One operation."""

    name: str
    method: str
    path: str
    summary: str
    told: str
    parameters: tuple[Field, ...]
    bodies: tuple[Body, ...]
    replies: tuple[Reply, ...]
    samples: tuple[Mapping[str, str], ...]
    needs: str


@dataclass(frozen=True)
class Section:
    """One tag with its operations."""

    anchor: str
    name: str
    told: str
    entries: tuple[Entry, ...]


def sections(document: Mapping[str, Any]) -> list[Section]:
    """Everything that the document says, in its order."""
    reader = _Reader(document)
    entries = [
        (operation["tags"][0], reader.entry(path, method, operation))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return [
        Section(
            anchor="-".join(tag["name"].lower().split()),
            name=tag["name"],
            told=tag["description"],
            entries=tuple(entry for name, entry in entries if name == tag["name"]),
        )
        for tag in document["tags"]
    ]


class _Reader:
    """Follows references through one document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def entry(self, path: str, method: str, operation: Mapping[str, Any]) -> Entry:
        content = operation.get("requestBody", {}).get("content", {})
        return Entry(
            name=operation["operationId"],
            method=method.upper(),
            path=path,
            summary=operation["summary"],
            told=operation["description"],
            parameters=tuple(self._parameter(one) for one in operation["parameters"]),
            bodies=self._bodies(content),
            replies=tuple(
                self._reply(status, one) for status, one in operation["responses"].items()
            ),
            samples=tuple(operation["x-codeSamples"]),
            needs=_needs(operation["security"]),
        )

    def _found(self, holder: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a reference leads to; anything else is itself."""
        while "$ref" in holder:
            found: Any = self._document
            for step in holder["$ref"].removeprefix("#/").split("/"):
                found = found[step]
            holder = found
        return holder

    def _parameter(self, holder: Mapping[str, Any]) -> Field:
        found = self._found(holder)
        told = found.get("description", f"in the {found['in']}")
        return Field(found["name"], _kind(found["schema"]), bool(found.get("required")), told)

    def _reply(self, status: str, holder: Mapping[str, Any]) -> Reply:
        found = self._found(holder)
        return Reply(status, found["description"], self._bodies(found["content"]))

    def _bodies(self, content: Mapping[str, Any]) -> tuple[Body, ...]:
        return tuple(
            Body(kind, tuple(self._fields(media["schema"], ""))) for kind, media in content.items()
        )

    def _fields(
        self, holder: Mapping[str, Any], way: str, *, needed: bool = True, depth: int = 0
    ) -> Iterator[Field]:
        """A field and those within it, as deep as a reader will follow."""
        schema = self._found(holder)
        if way:
            yield Field(way, _kind(schema), needed, schema.get("description", ""))
        choices = [*schema.get("oneOf", ()), *schema.get("anyOf", ())]
        if depth == _DEEPEST or "null" in {choice.get("type") for choice in choices}:
            return
        seen: set[str] = {way}
        for within, name, is_needed in _within(schema, way, choices):
            for field in self._fields(within, name, needed=is_needed, depth=depth + 1):
                if field.name not in seen:
                    seen.add(field.name)
                    yield field


def _within(
    schema: Mapping[str, Any], way: str, choices: list[Mapping[str, Any]]
) -> Iterator[tuple[Mapping[str, Any], str, bool]]:
    for choice in choices:
        yield choice, way, True
    needed = schema.get("required", ())
    for name, within in schema.get("properties", {}).items():
        yield within, f"{way}.{name}" if way else name, name in needed
    items = schema.get("items")
    if isinstance(items, dict) and ("properties" in items or "anyOf" in items or "$ref" in items):
        yield items, f"{way}[]", True


def _kind(schema: Mapping[str, Any]) -> str:
    """A schema's type in a few words."""
    if "const" in schema:
        return f"{schema['const']!r}".replace("'", '"').replace("True", "true")
    if "enum" in schema:
        return " | ".join(f'"{one}"' for one in schema["enum"])
    kind = schema.get("type")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind is None:
        choices = [*schema.get("oneOf", ()), *schema.get("anyOf", ())]
        kinds = [_kind(choice) for choice in choices if "type" in choice]
        return " or ".join(dict.fromkeys(kinds)) or "object"
    sides = schema.get("prefixItems")
    if sides:
        told = (str(side.get("const", f"1 to {side.get('maximum')}")) for side in sides)
        return f"[{', '.join(told)}]"
    low, high = schema.get("minimum"), schema.get("maximum")
    return f"{kind} {low:g} to {high:g}" if low is not None and high is not None else str(kind)


def _needs(security: list[Mapping[str, Any]]) -> str:
    schemes = [set(one) for one in security]
    if not schemes:
        return ""
    return "key, where this server asks for one" if set() in schemes else "administrator's token"
