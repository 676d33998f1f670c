// node load.js FILE: add the rows of a file (one JSON object with title, genre and year a line).
//
// The rows go straight into the tables of the event store and of the projection, as if each had
// been created by a command; through the event store a million would take half an hour.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";

import { streamOf } from "./movie.js";
import { openEventStore, openPool } from "./store.js";

const BATCH = 10_000;
const { DATABASE_URL } = process.env;
const first = Date.UTC(2020, 0);
const movies = readFileSync(process.argv[2], "utf8")
  .split("\n")
  .filter(Boolean)
  .map((line, n) => ({ ...JSON.parse(line), at: new Date(first + n * 1000).toISOString() }));

const pool = openPool(DATABASE_URL, 1);
await openEventStore(DATABASE_URL, pool, { migrate: true });
for (let start = 0; start < movies.length; start += BATCH) {
  const batch = movies.slice(start, start + BATCH).map((movie) => ({ id: randomUUID(), ...movie }));
  const streams = batch.map(({ id }) => streamOf(id));
  await pool.query("BEGIN");
  await pool.query(
    `INSERT INTO emt_streams (stream_id, stream_position, partition, stream_type, stream_metadata)
     SELECT stream, 1, 'emt:default', 'movie', '{}' FROM unnest($1::text[]) AS stream`,
    [streams],
  );
  await pool.query(
    `INSERT INTO emt_messages (stream_id, stream_position, partition, message_data,
       message_metadata, message_schema_version, message_type, message_id, transaction_id)
     SELECT stream, 1, 'emt:default', data, '{}', '1', 'MovieCreated', gen_random_uuid(),
       pg_current_xact_id()
     FROM unnest($1::text[], $2::jsonb[]) AS t (stream, data)`,
    [streams, batch.map((movie) => JSON.stringify(movie))],
  );
  await pool.query(
    `INSERT INTO movies (id, title, genre, year, created_at)
     SELECT (data->>'id')::uuid, data->>'title', data->>'genre', (data->>'year')::int,
       (data->>'at')::timestamptz
     FROM unnest($1::jsonb[]) AS data`,
    [batch.map((movie) => JSON.stringify(movie))],
  );
  await pool.query("COMMIT");
}
await pool.query("VACUUM ANALYZE");
await pool.end();
