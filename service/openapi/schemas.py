"""JSON Schemas of the models that the routes use, as components of the description."""

from collections.abc import Iterable
from typing import Any

from pydantic import AliasChoices, BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

Json = dict[str, Any]


class _Schemas(GenerateJsonSchema):
    """Schemas without titles, which would only repeat names, and without null as a default."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - none should
        """Tell that a field's title is its name."""
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Return the schema, with its default where it has one."""
        if schema.get("default") is None:  # left out, which is not the same as null
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def schemas_of(shapes: Iterable[Any]) -> tuple[dict[int, Json], Json]:
    """Return the reference to each shape, by its ``id``, and the components referred to."""
    known = {id(shape): shape for shape in shapes}
    # A shape is either taken or answered, never both, so that each has one schema.
    references, definitions = TypeAdapter.json_schemas(
        [(key, "validation", TypeAdapter(shape)) for key, shape in known.items()],
        schema_generator=_Schemas,
        ref_template="#/components/schemas/{model}",
    )
    components = definitions["$defs"]
    for shape in known.values():
        if isinstance(shape, type) and issubclass(shape, BaseModel):
            _tell_other_names(shape, components[shape.__name__])
    return {key: references[key, "validation"] for key in known}, components


def _tell_other_names(model: type[BaseModel], schema: Json) -> None:
    for field in model.model_fields.values():
        if isinstance(field.validation_alias, AliasChoices):
            name, *others = map(str, field.validation_alias.choices)
            said = schema["properties"][name]
            also = " or ".join(f"`{other}`" for other in others)
            said["description"] = f"{said.get('description', '')} Taken as {also}, too.".strip()
