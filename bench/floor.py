"""The floor everything is measured against: a bare Flask application that does the least a signed-in page can do.

Flask-Login's signed cookie, one SELECT by primary key among 10,000 users, a 19 KB page from a Jinja loop over 40
autoescaped items; for writes the same login and one upsert with commit. No other extension. It runs under the same
server with the same workers on the same database as the application.

`FLOOR_SELECT=orm` (the floor) loads the user as most Flask applications do, `Session.get`; `FLOOR_SELECT=core` sends the
same statement as plain text and builds no entity, the least that is thinkable. The harness measures both and says so.
"""

import os
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from flask import Flask, abort, g, redirect, render_template, request, send_file, url_for
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user
from jinja2 import DictLoader
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from werkzeug.wrappers import Response

USERS = 10_000
ITEMS = 40
WORDS = (
    'A plain sentence with <angle brackets>, "quotation marks" & an ampersand, so that autoescaping has something to do; '
    "the rest is ordinary prose of the length that a row of a list has in a page which somebody might want to read. "
    "It goes on for as long as it takes to make the page as large as a lesson is, and then it stops without any ado."
)
PAGE = """<!doctype html>
<html lang="en">
  <head><meta charset="utf-8"><title>{{ title }}</title></head>
  <body>
    <p>Signed in as {{ user.name }}</p>
    <ul>
      {% for item in items %}
        <li id="item-{{ item.number }}" class="{% if item.number is odd %}odd{% else %}even{% endif %}">
          <a href="/items/{{ item.number }}">{{ item.title }}</a>
          <p>{{ item.text }}</p>
        </li>
      {% endfor %}
    </ul>
  </body>
</html>"""


class Base(DeclarativeBase):
    """The floor's own models."""


class FloorUser(UserMixin, Base):
    """One of 10,000."""

    __tablename__ = "floor_users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(80))
    email: Mapped[str] = mapped_column(sa.String(254))
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class FloorMark(Base):
    """What the floor writes."""

    __tablename__ = "floor_marks"

    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    item: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    marked_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class FloorHook(Base):
    """A call from outside that the floor has taken in."""

    __tablename__ = "floor_hooks"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(sa.String(255), unique=True)
    taken_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class BareUser(UserMixin):
    """A row without an entity."""

    def __init__(self, id: int, name: str) -> None:
        self.id, self.name = id, name


UPSERT = sa.text(
    "INSERT INTO floor_marks (user_id, item, marked_at) VALUES (:user_id, :item, :now) "
    "ON CONFLICT (user_id, item) DO UPDATE SET marked_at = excluded.marked_at"
)
INSERT = sa.text("INSERT INTO floor_hooks (key, taken_at) VALUES (:key, :now)")
SELECT = sa.text("SELECT id, name, email, created_at FROM floor_users WHERE id = :id")


def fill(engine: sa.Engine) -> None:
    """The floor's tables and its 10,000 users."""
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    now = datetime.now(UTC)
    rows = [{"id": n, "name": f"Person {n}", "email": f"person{n}@example.org", "created_at": now} for n in range(1, USERS + 1)]
    with engine.begin() as connection:
        connection.execute(sa.insert(FloorUser), rows)


def create_app() -> Flask:
    """The floor; `DATABASE_URL` says where."""
    app = Flask(__name__)
    app.config.update(SECRET_KEY=os.environ["SECRET_KEY"])
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    app.jinja_loader = DictLoader({"page.html": PAGE})  # render_template_string would compile it for each request
    engine = sa.create_engine(os.environ["DATABASE_URL"], pool_size=10, max_overflow=10)
    login = LoginManager(app)
    items = [{"number": n, "title": f"Item <{n}>", "text": WORDS} for n in range(1, ITEMS + 1)]
    is_core = os.environ.get("FLOOR_SELECT", "orm") == "core"

    def session() -> Any:
        if "session" not in g:
            g.session = engine.connect() if is_core else Session(engine)
        return g.session

    @login.user_loader
    def load_user(id: str) -> UserMixin | None:
        if not is_core:
            found: FloorUser | None = session().get(FloorUser, int(id))
            return found
        row = session().execute(SELECT, {"id": int(id)}).one_or_none()
        return BareUser(row.id, row.name) if row else None

    @app.teardown_appcontext
    def close(_error: BaseException | None) -> None:
        if "session" in g:
            g.pop("session").close()

    @app.get("/sign-in/<int:id>")
    def sign_in(id: int) -> Response:
        login_user(load_user(str(id)) or abort(404))
        return redirect(url_for("page"))

    @app.get("/")
    @login_required
    def page() -> str:
        return render_template("page.html", title="The floor", user=current_user, items=items)

    @app.get("/film")
    @login_required
    def film() -> Response:
        return send_file(os.environ["FLOOR_FILM"], mimetype="video/mp4", conditional=True)

    @app.post("/items/<int:item>")
    @login_required
    def mark(item: int) -> Response:
        session().execute(UPSERT, {"user_id": int(current_user.get_id()), "item": item, "now": datetime.now(UTC)})
        session().commit()
        return redirect(url_for("page"), 303)

    @app.post("/hook")
    def take() -> Response:
        session().execute(INSERT, {"key": request.get_json()["id"], "now": datetime.now(UTC)})
        session().commit()
        return Response(status=200)

    return app
