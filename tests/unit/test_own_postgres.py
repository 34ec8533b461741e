"""Sivera Jobs on a PostgreSQL that is not ours: TLS, scram, a role of few rights, a pool, another time zone."""

from sqlalchemy import URL, text

from sivera.database import open_engine
from sivera.migrating import migrate


def test_it_migrates(own_database: URL) -> None:
    engine = open_engine(own_database.render_as_string(hide_password=False))
    migrate(engine)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM ads.teams")) == 0
    engine.dispose()
