"""The two of whom every test of support tells."""

import pytest
from flask import Flask

from courseapp.accounts.models import User
from tests.client import Client
from tests.factories import make_user
from tests.operations.supporting import ADA


@pytest.fixture
def owner(client: Client) -> User:
    """The owner, signed in."""
    return client.sign_in(make_user("owner@example.org", roles=["owner"]))


@pytest.fixture
def ada(app: Flask) -> User:
    """A learner."""
    return make_user(ADA, name="Adelheid")
