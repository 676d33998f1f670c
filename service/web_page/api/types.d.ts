/**
 * What the API takes and answers, by its own description: `openapi-typescript` makes `schema.d.ts` of
 * `/openapi.json` when the page is checked (`tests/service/web_page/test_types.py`).
 */
import type { components, paths } from "./schema.js";

type Schemas = components["schemas"];
export type Account = Schemas["OwnAccount"];
export type AccountEntry = Schemas["AccountEntry"];
export type AccountPage = Schemas["AccountPage"];
export type AccountSummary = Schemas["AccountSummary"];
export type Changes = Schemas["Changes"];
export type DaySummary = Schemas["DaySummary"];
export type Entry = Schemas["HistoryEntry"];
export type Job = Schemas["Job"];
export type JobProgress = Schemas["JobProgress"];
export type Movie = Schemas["Movie"];
export type MovieEvent = Schemas["MovieEvent"];
export type MoviePage = Schemas["MoviePage"];
export type NewPersonalToken = Schemas["NewPersonalToken"];
export type Parked = Schemas["Parked"];
export type ParkedPage = Schemas["ParkedPage"];
export type Part = Schemas["Part"];
export type PasswordLink = Schemas["PasswordLink"];
export type PersonalToken = Schemas["PersonalToken"];
export type Readiness = Schemas["Readiness"];
export type RebuildStatus = Schemas["RebuildStatus"];
export type Session = Schemas["Session"];
/** The fields of a movie at one of its versions. */
export type State = Pick<Movie, "title" | "genre" | "year" | "version">;
export type Status = Schemas["Status"];
/** Of a refusal; `/readyz` refuses with what it found. */
export type ProblemDocument = Partial<Schemas["Problem"] & Omit<Readiness, "status">>;

/** `/api/v1/movies/{movie_id}/` is called as `movies/${string}/`, `/readyz` as `../../readyz`. */
type Below<P> = P extends `/api/v1/${infer R}` ? R : P extends `/${infer R}` ? `../../${R}` : never;
type Filled<P> = P extends `${infer A}{${string}}${infer B}` ? `${A}${string}${Filled<B>}` : P;
type Called = { [K in keyof paths]: Filled<Below<K>> };
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
type KeyOf<P> = { [K in keyof Called]: Same<P, Called[K]> extends true ? K : never }[keyof Called];

export type Path = Called[keyof Called];
export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
type Operation<M extends Method, P> = paths[KeyOf<P>][Lowercase<M>];
type Content<A> = A extends { content: infer C } ? C[keyof C] : null;
type Success<R> = { [S in keyof R & (200 | 201 | 202 | 204)]: Content<R[S]> };
type ValueOf<T> = T[keyof T];

/** The body of what succeeds; null where there is none. */
export type DataOf<M extends Method, P> =
  Operation<M, P> extends { responses: infer R } ? ValueOf<Success<R>> : never;

/** Parameters and fields by name: their values are checked by the service. */
type Names<T> = { [K in keyof NonNullable<T>]?: any };
type BodyOf<O> = O extends { requestBody?: { content: infer C } } ? C[keyof C & "application/json"] : never;
export interface Options<M extends Method, P> {
  query?: Operation<M, P> extends { parameters: { query?: infer Q } } ? Names<Q> : never;
  body?: Names<BodyOf<Operation<M, P>>>;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}
export interface Answer<Data> {
  status: number;
  headers: Headers;
  data: Data;
}
