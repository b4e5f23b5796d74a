"""A database's schema as a set of lines, so that two can be compared: changed CHECKs and partial indexes show too."""

import re

import sqlalchemy as sa

POSTGRESQL = (
    """SELECT concat_ws(' ', 'column', table_name, column_name, data_type, character_maximum_length, is_nullable, column_default)
       FROM information_schema.columns WHERE table_schema = 'public'""",
    """SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid))
       FROM pg_constraint WHERE connamespace = 'public'::regnamespace""",
    "SELECT concat_ws(' ', 'index', indexdef) FROM pg_indexes WHERE schemaname = 'public'",
    "SELECT concat_ws(' ', 'sequence', sequencename, data_type, start_value, increment_by) FROM pg_sequences WHERE schemaname = 'public'",
)


def dump(engine: sa.Engine) -> set[str]:
    """Every column, constraint, index and sequence; the tables of Alembic and of SQLite itself are left out."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            lines = {str(line) for query in POSTGRESQL for line in connection.exec_driver_sql(query).scalars()}
        else:
            tables = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
            lines = {f"{name}: {part}" for name, statement in tables for part in parts_of(statement)}
    return {line for line in lines if "alembic_version" not in line}


def parts_of(statement: str) -> list[str]:
    """A CREATE TABLE split at its outer commas, for their order differs where a migration added a column; others whole."""
    plain = " ".join(re.sub(r'["`]', "", statement).split())
    if not plain.startswith("CREATE TABLE"):
        return [plain]
    body, parts, depth, quoted = plain[plain.index("(") + 1 : plain.rindex(")")], [""], 0, False
    for letter in body:
        quoted ^= letter == "'"
        depth += 0 if quoted else {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += letter
    return [re.sub(r"\s*([(),])\s*", r"\1", part).strip() for part in parts]
