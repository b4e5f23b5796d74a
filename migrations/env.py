"""Alembic's environment: one connection, the models' metadata, and SQLite's foreign keys off while tables are rebuilt."""

from alembic import context
from flask import current_app

from courseapp.extensions import db


def run() -> None:
    """Run the migrations on the application's own database."""
    engine = db.engine
    is_sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        if is_sqlite:
            # A batch migration rebuilds a table, and with foreign keys on that deletes the rows that point to it.
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        context.configure(
            connection=connection,
            target_metadata=db.metadata,
            render_as_batch=is_sqlite,
            transactional_ddl=True,
            **{name: value for name, value in current_app.extensions["migrate"].configure_args.items() if name != "render_as_batch"},
        )
        with context.begin_transaction():
            context.run_migrations()
        if is_sqlite:
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
            if broken:
                raise RuntimeError(f"the migration would leave rows that point nowhere: {broken[:5]}")
        connection.commit()
        if is_sqlite:
            connection.rollback()
            connection.exec_driver_sql("COMMIT") if connection.in_transaction() else None
            connection.connection.driver_connection.execute("PRAGMA foreign_keys=ON")


run()
