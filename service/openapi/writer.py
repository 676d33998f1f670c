"""Operations as OpenAPI writes them; what several share becomes a component."""

from collections.abc import Collection, Iterable
from typing import Any

from service.openapi import request_headers
from service.openapi.errors import Refusal, refusals_of
from service.openapi.model import Answer, Body, Json, Operation, Parameter
from service.openapi.response_headers import (
    BEHIND_A_TOKEN,
    CACHE_CONTROL,
    EVERYWHERE,
    REQUEST_ID,
    Header,
)
from service.openapi.schemas import schemas_of
from service.web.body import JSON
from service.web.problems import PROBLEM
from service.web.representations import problems as representations

_SAFE = ("get", "head", "options")


class Writer:
    """Writes operations, and keeps the components that they refer to."""

    def __init__(self, operations: Collection[Operation]) -> None:
        taken = [one.body.shape for one in operations if one.body]
        answered = [answer.shape for one in operations for answer in one.answers.values()]
        self._shapes, schemas = schemas_of(
            [
                representations.Problem,
                representations.OAuthError,
                *taken,
                *(shape for shape in answered if shape is not None),
            ]
        )
        self.components: Json = {"schemas": schemas, "parameters": {}, "headers": {}}

    def path(self, path: str, operations: dict[str, Operation]) -> Json:
        """Return what a path does, by method."""
        first = next(iter(operations.values()))
        item: Json = {
            method: self._operation(one, path, is_safe=method in _SAFE)
            for method, one in operations.items()
        }
        if inside := _inside(first):
            item["parameters"] = [self._parameter(one) for one in inside]
        return item

    def _operation(self, said: Operation, path: str, *, is_safe: bool) -> Json:
        written: Json = {
            "operationId": said.id,
            "tags": [said.tag],
            "summary": said.summary,
            "description": said.about,
            "parameters": self._parameters(one for one in said.takes if one.place != "path"),
            "responses": self._responses(said, path, is_safe=is_safe),
        }
        if said.body:
            written["requestBody"] = self._body(said.body)
        if said.open:
            written["security"] = []
        return written

    def _responses(self, said: Operation, path: str, *, is_safe: bool) -> Json:
        common: tuple[Header, ...] = EVERYWHERE if said.limited else (REQUEST_ID,)
        if not said.open:
            common += BEHIND_A_TOKEN
        if said.oauth:
            common += (CACHE_CONTROL,)
        answers = {status: self._answer(one, common) for status, one in said.answers.items()}
        refusals = {
            status: self._refusal(one, common)
            for status, one in refusals_of(said, path, is_safe=is_safe).items()
        }
        return {str(status): one for status, one in sorted((refusals | answers).items())}

    def _answer(self, said: Answer, common: tuple[Header, ...]) -> Json:
        written: Json = {"description": said.about, "headers": self._headers(said.headers + common)}
        if said.shape is not None:
            content = {"schema": self._shapes[id(said.shape)]}
            if said.example is not None:
                content["example"] = said.example
            written["content"] = {said.media: content}
        if said.links:
            written["links"] = said.links
        return written

    def _refusal(self, said: Refusal, common: tuple[Header, ...]) -> Json:
        shape: Any = representations.Problem if said.examples else representations.OAuthError
        media, examples = (PROBLEM, said.examples) if said.examples else (JSON, said.oauth)
        return {
            "description": said.about,
            "headers": self._headers((*said.headers, *common)),
            "content": {media: {"schema": self._shapes[id(shape)], "examples": examples}},
        }

    def _body(self, said: Body) -> Json:
        content = {"schema": self._shapes[id(said.shape)], "example": said.example}
        written: Json = {"required": said.required, "content": {JSON: content}}
        if said.also:
            written["description"] = f"The same fields are accepted as `{said.also}`."
        return written

    def _parameters(self, said: Iterable[Parameter]) -> list[Json]:
        return [self._parameter(one) for one in (*said, *request_headers.EVERYWHERE)]

    def _parameter(self, said: Parameter) -> Json:
        written: Json = {
            "name": said.name,
            "in": said.place,
            "description": said.about,
            "schema": said.schema,
        }
        if said.place == "path":
            written["required"] = True
        if said.examples:
            written["examples"] = {str(one): {"value": one} for one in said.examples}
        return self._component("parameters", said.key or _key(said.name), written)

    def _headers(self, said: tuple[Header, ...]) -> Json:
        return {one.name: self._header(one) for one in said}

    def _header(self, said: Header) -> Json:
        written: Json = {"description": said.about, "schema": said.schema}
        if said.always:
            written["required"] = True
        key = said.key or _key(said.name)
        return self._component("headers", key if said.always else f"{key}Sometimes", written)

    def _component(self, kind: str, key: str, written: Any) -> Json:
        known = self.components[kind].setdefault(key, written)
        if known != written:
            raise ValueError(f"two {kind} are called {key}")
        return {"$ref": f"#/components/{kind}/{key}"}


def _inside(operation: Operation) -> list[Parameter]:
    return [one for one in operation.takes if one.place == "path"]


def _key(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.replace("_", "-").split("-"))
