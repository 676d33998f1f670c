"""Floors: for each read model, the lowest generation that it may show. SQL of both databases."""

CREATE = (
    "CREATE TABLE IF NOT EXISTS cinelog_read_models "
    "(read_model varchar(36) PRIMARY KEY, generation bigint NOT NULL)"
)
_SELECT = "SELECT generation FROM cinelog_read_models WHERE read_model={0}"
_RAISE = (
    "INSERT INTO cinelog_read_models AS known (read_model, generation) VALUES ({0}, {0}) "
    "ON CONFLICT (read_model) DO UPDATE SET generation=excluded.generation "
    "WHERE known.generation<excluded.generation"
)
SQLITE_SELECT, SQLITE_RAISE = _SELECT.format("?"), _RAISE.format("?")
POSTGRES_SELECT, POSTGRES_RAISE = _SELECT.format("%s"), _RAISE.format("%s")
