"""Use the client that openapi-python-client generates: URL, username and password as arguments."""

import sys

from generated import AuthenticatedClient, Client
from generated.api.movies import create_movie, delete_movie, list_movies
from generated.api.tokens import sign_in
from generated.models import Credentials, MovieFields, Problem, TokenPair

url, username, password = sys.argv[1:]
anonymous = Client(base_url=url)
refused = sign_in.sync(client=anonymous, body=Credentials(username=username, password="wrong"))
assert isinstance(refused, Problem)
assert refused.code == "no_active_account"
tokens = sign_in.sync(client=anonymous, body=Credentials(username=username, password=password))
assert isinstance(tokens, TokenPair)
client = AuthenticatedClient(base_url=url, token=tokens.access)
body = MovieFields(title="Made by openapi-python-client", genre="Test", year=1979)
movie = create_movie.sync(client=client, body=body)
assert (movie.title, movie.year, movie.creator) == (body.title, 1979, username)
page = list_movies.sync(client=client, title=body.title.upper(), year_gte=1979)
assert [one.id for one in page.results] == [movie.id]
assert delete_movie.sync_detailed(client=client, movie_id=movie.id).status_code == 204
