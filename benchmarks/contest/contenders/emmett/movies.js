// Reads of the table of movies.
const COLUMNS = "id, title, genre, year, created_at";
const ORDERINGS = { title: "title", genre: "genre", year: "year", created_at: "created_at" };

/** "-year,title" as SQL; names that are not columns are ignored. The default is newest first. */
function orderBy(ordering = "") {
  const terms = ordering
    .split(",")
    .map((name) => [ORDERINGS[name.replace(/^-/, "")], name.startsWith("-") ? "DESC" : "ASC"])
    .filter(([column]) => column)
    .map(([column, direction]) => `${column} ${direction}`);
  return terms.length ? [...terms, "id DESC"].join(", ") : "created_at DESC, id DESC";
}

/** The conditions of a list as SQL, with their values. */
function where({ title, year__gte: from, year__lte: to }) {
  const terms = [];
  if (title) terms.push(["title ILIKE", `%${title.replace(/[\\%_]/g, "\\$&")}%`]);
  if (from) terms.push(["year >=", from]);
  if (to) terms.push(["year <=", to]);
  const conditions = terms.map(([condition], n) => `${condition} $${n + 1}`).join(" AND ");
  return [conditions && `WHERE ${conditions}`, terms.map(([, value]) => value)];
}

export async function findMovie(pool, id) {
  const { rows } = await pool.query({
    name: "get",
    text: `SELECT ${COLUMNS} FROM movies WHERE id = $1`,
    values: [id],
  });
  return rows[0];
}

export async function listMovies(pool, query, page, size) {
  const [condition, values] = where(query);
  const n = values.length;
  const [counted, listed] = await Promise.all([
    pool.query(`SELECT count(*)::int AS count FROM movies ${condition}`, values),
    pool.query(
      `SELECT ${COLUMNS} FROM movies ${condition}
       ORDER BY ${orderBy(query.ordering)} LIMIT $${n + 1} OFFSET $${n + 2}`,
      [...values, size, (page - 1) * size],
    ),
  ]);
  return { count: counted.rows[0].count, results: listed.rows };
}
