// node load.js FILE: add the rows of a file (one JSON object with title, genre and year a line).
import { readFileSync } from "node:fs";

import pg from "pg";

import { createSchema } from "./store.js";

const BATCH = 10_000;
const { DATABASE_URL } = process.env;
const movies = readFileSync(process.argv[2], "utf8")
  .split("\n")
  .filter(Boolean)
  .map((line) => JSON.parse(line));

await createSchema(DATABASE_URL);
const client = new pg.Client({ connectionString: DATABASE_URL });
await client.connect();
await client.query("BEGIN");
for (let start = 0; start < movies.length; start += BATCH) {
  const batch = movies.slice(start, start + BATCH);
  await client.query(
    `INSERT INTO movies (title, genre, year, created_at)
     SELECT title, genre, year, timestamptz '2020-01-01Z' + interval '1 second' * ($4 + n)
     FROM unnest($1::text[], $2::text[], $3::int[]) WITH ORDINALITY AS t (title, genre, year, n)
     ORDER BY n`,
    [batch.map((m) => m.title), batch.map((m) => m.genre), batch.map((m) => m.year), start],
  );
}
await client.query("COMMIT");
await client.query("VACUUM ANALYZE movies");
await client.end();
