// node load.js FILE: add the rows of a file (one JSON object with title, genre and year a line).
import { readFileSync } from "node:fs";

import { openStore } from "./store.js";

const { DATABASE = "movies.db", TITLE_INDEX } = process.env;
const createdAt = (n) => new Date(Date.UTC(2020, 0) + n * 1000).toISOString();
const movies = readFileSync(process.argv[2], "utf8")
  .split("\n")
  .filter(Boolean)
  .map((line, n) => ({ ...JSON.parse(line), created_at: createdAt(n) }));
openStore(DATABASE, { trigrams: TITLE_INDEX === "trigram" }).load(movies);
