// A movie: its events, its state and its decisions.
import { CommandHandler, IllegalStateError, NotFoundError } from "@event-driven-io/emmett";

const initialState = () => ({ exists: false });

function evolve(state, { type, data: { title, genre, year, at } }) {
  switch (type) {
    case "MovieCreated":
      return { exists: true, title, genre, year, created_at: at };
    case "MovieUpdated":
      return { ...state, title, genre, year };
    default:
      return state;
  }
}

// Two commands at the same time: the later one decides again.
export const handle = CommandHandler({
  evolve,
  initialState,
  retry: { onVersionConflict: true },
});

export const streamOf = (id) => `movie-${id}`;

/** Create the movie; it must be new. */
export function create({ id, title, genre, year, at }) {
  return ({ exists }) => {
    if (exists) throw new IllegalStateError("The movie exists.");
    return { type: "MovieCreated", data: { id, title, genre, year, at } };
  };
}

/** Change the movie; no event if all fields are as they were. */
export function update({ id, title, genre, year, at }) {
  return (state) => {
    if (!state.exists) throw new NotFoundError({ id, type: "movie" });
    if (state.title === title && state.genre === genre && state.year === year) return [];
    return { type: "MovieUpdated", data: { id, title, genre, year, at } };
  };
}
