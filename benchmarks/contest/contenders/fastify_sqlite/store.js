// Movies in SQLite. Commits are durable: WAL with synchronous=FULL.
import { setTimeout as sleep } from "node:timers/promises";

import Database from "better-sqlite3";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS movies (
    id INTEGER PRIMARY KEY,
    title TEXT NOT NULL,
    title_folded TEXT NOT NULL,
    genre TEXT NOT NULL,
    year INTEGER NOT NULL,
    created_at TEXT NOT NULL
  );
  CREATE INDEX IF NOT EXISTS movies_year ON movies (year);
`;
const TRIGRAMS = `
  CREATE VIRTUAL TABLE IF NOT EXISTS movies_title USING fts5 (
    title_folded, content='movies', content_rowid='id', tokenize='trigram case_sensitive 1'
  );
  CREATE TRIGGER IF NOT EXISTS movies_inserted AFTER INSERT ON movies BEGIN
    INSERT INTO movies_title (rowid, title_folded) VALUES (new.id, new.title_folded);
  END;
  CREATE TRIGGER IF NOT EXISTS movies_updated AFTER UPDATE ON movies BEGIN
    INSERT INTO movies_title (movies_title, rowid, title_folded)
      VALUES ('delete', old.id, old.title_folded);
    INSERT INTO movies_title (rowid, title_folded) VALUES (new.id, new.title_folded);
  END;
`;
const COLUMNS = "id, title, genre, year, created_at";
// Ids ascend in the order of creation, so the table itself is the index of creation times.
const ORDERINGS = { title: "title", genre: "genre", year: "year", created_at: "id" };

/** "-year,title" as SQL; names that are not columns are ignored. The default is newest first. */
function orderBy(ordering = "") {
  const terms = ordering
    .split(",")
    .map((name) => [ORDERINGS[name.replace(/^-/, "")], name.startsWith("-") ? "DESC" : "ASC"])
    .filter(([column]) => column)
    .map(([column, direction]) => `${column} ${direction}`);
  return [...terms, "id DESC"].join(", ");
}

/** The condition of a title and its value: the trigram index finds three characters or more. */
function titleContains(text, trigrams) {
  const folded = text.toLowerCase();
  if (!trigrams || [...folded].length < 3) return ["instr(title_folded, ?) > 0", folded];
  const phrase = `"${folded.replaceAll('"', '""')}"`;
  return ["id IN (SELECT rowid FROM movies_title WHERE movies_title MATCH ?)", phrase];
}

/** The conditions of a list as SQL, with their values. */
function where({ title, year__gte: from, year__lte: to }, trigrams) {
  const terms = [];
  if (title) terms.push(titleContains(title, trigrams));
  if (from !== undefined) terms.push(["year >= ?", from]);
  if (to !== undefined) terms.push(["year <= ?", to]);
  const conditions = terms.map(([condition]) => condition).join(" AND ");
  return [conditions && `WHERE ${conditions}`, terms.map(([, value]) => value)];
}

/** Write as soon as no other process does, without blocking this one's event loop meanwhile. */
async function whenFree(write) {
  for (;;) {
    try {
      return write();
    } catch (error) {
      if (error.code !== "SQLITE_BUSY") throw error;
      await sleep(1);
    }
  }
}

/** Return a function that does one write after the other. */
function writer() {
  let last = Promise.resolve();
  return (write) => {
    const done = last.then(() => whenFree(write));
    last = done.catch(() => undefined);
    return done;
  };
}

export function openStore(path, { trigrams = false } = {}) {
  const db = new Database(path, { timeout: 0 });
  db.pragma("journal_mode = WAL");
  db.pragma("synchronous = FULL");
  db.exec(SCHEMA);
  if (trigrams) db.exec(TRIGRAMS);

  const statements = new Map();
  const prepared = (sql) => {
    if (!statements.has(sql)) statements.set(sql, db.prepare(sql));
    return statements.get(sql);
  };
  const insert = db.prepare(`
    INSERT INTO movies (title, title_folded, genre, year, created_at)
    VALUES (@title, @title_folded, @genre, @year, @created_at) RETURNING ${COLUMNS}`);
  const update = db.prepare(`
    UPDATE movies SET title = @title, title_folded = @title_folded, genre = @genre, year = @year
    WHERE id = @id RETURNING ${COLUMNS}`);
  const one = db.prepare(`SELECT ${COLUMNS} FROM movies WHERE id = ?`);
  const inTurn = writer();
  const folded = (movie) => ({ ...movie, title_folded: movie.title.toLowerCase() });

  return {
    create: (movie) =>
      inTurn(() => insert.get({ ...folded(movie), created_at: new Date().toISOString() })),
    update: (id, movie) => inTurn(() => update.get({ ...folded(movie), id })),
    get: (id) => one.get(id),
    list(query) {
      const [condition, values] = where(query, trigrams);
      const { count } = prepared(`SELECT count(*) AS count FROM movies ${condition}`).get(values);
      const results = prepared(`
        SELECT ${COLUMNS} FROM movies ${condition}
        ORDER BY ${orderBy(query.ordering)} LIMIT ? OFFSET ?
      `).all(...values, query.page_size, (query.page - 1) * query.page_size);
      return { count, results };
    },
    /** Add movies in one transaction, the oldest first, and gather the planner's statistics. */
    load(movies) {
      db.transaction(() => {
        for (const movie of movies) insert.get(folded(movie));
      })();
      db.exec("ANALYZE");
    },
  };
}
