"""One running service for all tests that only need one."""

import itertools

import pytest

from tests.running import Cinelog

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    """A service that tests share: each makes its own movies and accounts."""
    settings = {"write_wait_ms": 5000, "access_ttl_s": 3600}  # longer than all tests take
    with Cinelog(tmp_path_factory.mktemp("service") / "var", **settings) as service:
        yield service
    assert "Traceback" not in service.output()


@pytest.fixture(scope="session")
def ann(service):
    return service.account("ann")


@pytest.fixture(scope="session")
def bob(service):
    return service.account("bob")


@pytest.fixture
def someone(service):
    """An account nobody else uses."""
    return service.account(f"someone-{next(_numbers)}")
