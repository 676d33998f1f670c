/** What differs between two moments, from the entries of the log between them. */

/** @import { MovieEvent } from "../api/types.js" */

/**
 * @typedef {object} Movie
 * @property {string} id
 * @property {number} version the last one that has the title
 * @property {string | null} title null where no entry tells it
 * @property {Record<string, {from: any, to: any}>} changes from the first moment to the second
 *
 * @param {MovieEvent[]} entries of the feed, in log order
 * @returns {{added: Movie[], changed: Movie[], deleted: Movie[]}} Without movies that are the same at
 *   both moments.
 */
export function differences(entries) {
  const movies = new Map();
  for (const entry of entries) {
    const before = movies.get(entry.movie_id);
    movies.set(entry.movie_id, before ? joined(before, entry) : begun(entry));
  }
  /** @type {{added: Movie[], changed: Movie[], deleted: Movie[]}} */
  const found = { added: [], changed: [], deleted: [] };
  for (const { existed, exists, ...movie } of movies.values()) {
    if (!existed && exists) found.added.push(movie);
    else if (existed && !exists) found.deleted.push(movie);
    else if (exists && Object.keys(movie.changes).length) found.changed.push(movie);
  }
  return found;
}

const isBirth = ({ type }) => type === "MovieCreated" || type === "MovieRestored";

/** @param {MovieEvent} entry */
function begun(entry) {
  const blank = { id: entry.movie_id, existed: !isBirth(entry), title: null, changes: {} };
  return joined(blank, entry);
}

/** @param {any} movie @param {MovieEvent} entry */
function joined(movie, entry) {
  const isDeleted = entry.type === "MovieDeleted";
  const title = entry.changes?.title;
  return {
    ...movie,
    exists: !isDeleted,
    version: isDeleted ? entry.version - 1 : entry.version,
    title: title ? title.to : movie.title,
    changes: composed(movie.changes, entry.changes || {}),
  };
}

/** A change followed by another one; what ends where it began is left out. */
function composed(one, other) {
  const all = { ...one };
  for (const [name, { from, to }] of Object.entries(other))
    all[name] = { from: name in one ? one[name].from : from, to };
  return Object.fromEntries(Object.entries(all).filter(([, { from, to }]) => from !== to));
}
