"""Movies with Litestar and asyncpg, in one module."""

import os
import uuid
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated

import asyncpg
import jwt
from litestar import Litestar, get, post, put
from litestar.datastructures import State
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.params import Parameter
from msgspec import Meta, Struct

SECRET = os.environ["JWT_SECRET"]
ORDERS = {"title": "title", "-title": "title DESC", "year": "year", "-year": "year DESC"}
Text = Annotated[str, Meta(min_length=1, max_length=100)]


class MovieIn(Struct):
    title: Text
    genre: Text
    year: Annotated[int, Meta(ge=1, le=9999)]


class Movie(MovieIn):
    id: uuid.UUID
    created: datetime


class Page(Struct):
    count: int
    next: str | None
    previous: str | None
    results: list[Movie]


def movie_of(row):
    if row is None:
        raise NotFoundException
    return Movie(row["title"], row["genre"], row["year"], row["id"], row["created"])


async def check_token(connection, _handler):
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    try:
        jwt.decode(token if scheme == "Bearer" else "", SECRET, ["HS256"])
    except jwt.InvalidTokenError:
        raise NotAuthorizedException from None


@get("/movies/")
async def movies(  # noqa: PLR0913
    db: asyncpg.Pool,
    page: int = 1,
    page_size: int = 10,
    title: str = "",
    year_from: Annotated[int, Parameter(query="year__gte")] = 0,
    year_to: Annotated[int, Parameter(query="year__lte")] = 10_000,
    ordering: str = "",
) -> Page:
    where, values = [], []
    if title:
        values.append(f"%{title.lower()}%")
        where.append(f"lower(title) LIKE ${len(values)}")
    if year_from > 0 or year_to < 10_000:
        values += [year_from, year_to]
        where.append(f"year BETWEEN ${len(values) - 1} AND ${len(values)}")
    clause = f" WHERE {' AND '.join(where)}" if where else ""
    order = ORDERS.get(ordering, "created DESC")
    async with db.acquire() as connection:
        count = await connection.fetchval(f"SELECT count(*) FROM movies{clause}", *values)
        rows = await connection.fetch(
            f"SELECT * FROM movies{clause} ORDER BY {order}"
            f" LIMIT ${len(values) + 1} OFFSET ${len(values) + 2}",
            *values,
            page_size,
            (page - 1) * page_size,
        )
    following = f"/movies/?page={page + 1}" if page * page_size < count else None
    return Page(count, following, None, [movie_of(row) for row in rows])


@get("/movies/{movie_id:uuid}/")
async def one(db: asyncpg.Pool, movie_id: uuid.UUID) -> Movie:
    return movie_of(await db.fetchrow("SELECT * FROM movies WHERE id = $1", movie_id))


@post("/movies/")
async def create(db: asyncpg.Pool, data: MovieIn) -> Movie:
    return movie_of(
        await db.fetchrow(
            "INSERT INTO movies (id, title, genre, year) VALUES ($1, $2, $3, $4) RETURNING *",
            uuid.uuid4(),
            data.title,
            data.genre,
            data.year,
        )
    )


@put("/movies/{movie_id:uuid}/")
async def change(db: asyncpg.Pool, movie_id: uuid.UUID, data: MovieIn) -> Movie:
    return movie_of(
        await db.fetchrow(
            "UPDATE movies SET title = $2, genre = $3, year = $4 WHERE id = $1 RETURNING *",
            movie_id,
            data.title,
            data.genre,
            data.year,
        )
    )


@asynccontextmanager
async def lifespan(app):
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=5, max_size=10) as pool:
        app.state.pool = pool
        yield


async def pool_of(state: State) -> asyncpg.Pool:
    return state.pool


app = Litestar(
    [movies, one, create, change],
    dependencies={"db": pool_of},
    guards=[check_token],
    lifespan=[lifespan],
)
