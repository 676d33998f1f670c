// The event store, and the table of movies that an inline projection keeps in the same transaction.
import { SQL } from "@event-driven-io/dumbo";
import { projections } from "@event-driven-io/emmett";
import {
  getPostgreSQLEventStore,
  postgreSQLRawSQLProjection,
} from "@event-driven-io/emmett-postgresql";
import pg from "pg";

const SCHEMA = [
  SQL`CREATE TABLE IF NOT EXISTS movies (
    id uuid PRIMARY KEY,
    title text NOT NULL,
    genre text NOT NULL,
    year integer NOT NULL,
    created_at timestamptz NOT NULL
  )`,
  SQL`CREATE INDEX IF NOT EXISTS movies_created_at ON movies (created_at DESC, id DESC)`,
  SQL`CREATE INDEX IF NOT EXISTS movies_year ON movies (year)`,
  SQL`DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm') THEN
      CREATE EXTENSION IF NOT EXISTS pg_trgm;
      CREATE INDEX IF NOT EXISTS movies_title ON movies USING gin (title gin_trgm_ops);
    END IF;
  END $$`,
];

const moviesProjection = postgreSQLRawSQLProjection({
  name: "movies",
  canHandle: ["MovieCreated", "MovieUpdated"],
  init: () => SCHEMA,
  evolve({ type, data: { id, title, genre, year, at } }) {
    return type === "MovieCreated"
      ? SQL`INSERT INTO movies (id, title, genre, year, created_at)
            VALUES (${id}, ${title}, ${genre}, ${year}, ${at})`
      : SQL`UPDATE movies SET title = ${title}, genre = ${genre}, year = ${year} WHERE id = ${id}`;
  },
});

export function openPool(url, connections = 10) {
  return new pg.Pool({
    connectionString: url,
    max: connections,
    options: "-c synchronous_commit=on",
  });
}

/** The event store over the pool; migrate creates the schema first. */
export async function openEventStore(url, pool, { migrate = false } = {}) {
  const eventStore = getPostgreSQLEventStore(url, {
    connectionOptions: { pool },
    projections: projections.inline([moviesProjection]),
    schema: { autoMigration: "None" },
  });
  if (migrate) await eventStore.schema.migrate();
  return eventStore;
}
