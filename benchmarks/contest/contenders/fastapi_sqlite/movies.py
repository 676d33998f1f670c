"""Movies with FastAPI and SQLAlchemy, in one module."""

import os
import uuid
from datetime import UTC, datetime
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import create_engine, event, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

URL = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
engine = create_engine(URL or f"sqlite:///{os.environ['DATABASE']}", pool_size=10)
Sessions = sessionmaker(engine, expire_on_commit=False)

if not URL:

    @event.listens_for(engine, "connect")
    def durable(connection, _record):
        connection.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=20000"
        )


class Base(DeclarativeBase):
    pass


class Movie(Base):
    __tablename__ = "movies"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    title: Mapped[str]
    genre: Mapped[str]
    year: Mapped[int] = mapped_column(index=True)
    created: Mapped[datetime] = mapped_column(index=True, default=lambda: datetime.now(UTC))


class MovieIn(BaseModel):
    title: str = Field(min_length=1, max_length=100)
    genre: str = Field(min_length=1, max_length=100)
    year: int = Field(ge=1, le=9999)


class MovieOut(MovieIn):
    model_config = ConfigDict(from_attributes=True)
    id: uuid.UUID
    created: datetime


class Page(BaseModel):
    count: int
    next: str | None
    previous: str | None
    results: list[MovieOut]


bearer = HTTPBearer()


def account(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]):
    try:
        return jwt.decode(credentials.credentials, os.environ["JWT_SECRET"], ["HS256"])
    except jwt.InvalidTokenError:
        raise HTTPException(401) from None


def session():
    with Sessions() as opened:
        yield opened


Db = Annotated[Session, Depends(session)]
app = FastAPI(dependencies=[Depends(account)])
ORDERS = {"title": Movie.title, "year": Movie.year}


@app.get("/movies/")
def movies(  # noqa: PLR0913
    db: Db,
    page: int = 1,
    page_size: int = 10,
    title: str = "",
    year__gte: int | None = None,
    year__lte: int | None = None,
    ordering: str = "",
) -> Page:
    found = select(Movie)
    if title:
        found = found.where(Movie.title.icontains(title, autoescape=True))
    if year__gte is not None:
        found = found.where(Movie.year >= year__gte)
    if year__lte is not None:
        found = found.where(Movie.year <= year__lte)
    count = db.scalar(select(func.count()).select_from(found.subquery()))
    column = ORDERS.get(ordering.removeprefix("-"))
    order = Movie.created.desc() if column is None else column
    rows = db.scalars(
        found.order_by(order.desc() if ordering.startswith("-") else order)
        .limit(page_size)
        .offset((page - 1) * page_size)
    ).all()
    following = f"/movies/?page={page + 1}" if page * page_size < count else None
    return Page(count=count, next=following, previous=None, results=rows)


def _found(db, movie_id):
    movie = db.get(Movie, movie_id)
    if movie is None:
        raise HTTPException(404)
    return movie


@app.get("/movies/{movie_id}/")
def one(db: Db, movie_id: uuid.UUID) -> MovieOut:
    return _found(db, movie_id)


@app.post("/movies/", status_code=201)
def create(db: Db, fields: MovieIn) -> MovieOut:
    movie = Movie(**fields.model_dump())
    db.add(movie)
    db.commit()
    return movie


@app.put("/movies/{movie_id}/")
def change(db: Db, movie_id: uuid.UUID, fields: MovieIn) -> MovieOut:
    movie = _found(db, movie_id)
    for name, value in fields:
        setattr(movie, name, value)
    db.commit()
    return movie
