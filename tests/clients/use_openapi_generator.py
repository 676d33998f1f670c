"""Use the Python client of OpenAPI Generator: URL, username and password as arguments."""

import sys

import openapi_client as generated

url, username, password = sys.argv[1:]
settings = generated.Configuration(host=url)
with generated.ApiClient(settings) as client:
    try:
        generated.TokensApi(client).sign_in(
            generated.Credentials(username=username, password="wrong")
        )
        raise AssertionError("a wrong password signs in")
    except generated.exceptions.UnauthorizedException:
        pass
    credentials = generated.Credentials(username=username, password=password)
    settings.access_token = generated.TokensApi(client).sign_in(credentials).access
    movies = generated.MoviesApi(client)
    fields = generated.MovieFields(title="Made by OpenAPI Generator", genre="Test", year=1979)
    movie = movies.create_movie(fields)
    assert (movie.title, movie.year, movie.creator) == (fields.title, 1979, username)
    page = movies.list_movies(title=fields.title.upper(), page=1, page_size=5)
    assert [one.id for one in page.results] == [movie.id]
    movies.delete_movie(movie.id)
