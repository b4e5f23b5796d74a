"""Column types that several rooms share."""

import enum
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any

import sqlalchemy as sa
from sqlalchemy import Dialect
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import mapped_column
from sqlalchemy.types import TypeDecorator

_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # no 0/o, 1/i/l: an id may be read out on the telephone
_LENGTH = 16
_LETTER_OF = bytes(ord(_ALPHABET[byte % len(_ALPHABET)]) for byte in range(256))
_UNEVEN = bytes(range(256 - 256 % len(_ALPHABET), 256))  # of these bytes, the first letters would come a little more often


class UtcDateTime(TypeDecorator[datetime]):
    """An aware moment, kept and returned in UTC; a naive one is refused."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone cannot be stored")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def enum_of(kind: type[enum.StrEnum], length: int = 24) -> sa.Enum:
    """A string column that holds only the values of `kind`, guarded by a CHECK in the database."""
    return sa.Enum(
        kind,
        name=f"{kind.__name__.lower()}",
        native_enum=False,
        create_constraint=True,
        length=length,
        values_callable=lambda members: [member.value for member in members],
    )


def random_public_id() -> str:
    """A fresh id for addresses: 16 characters, 79 bits, meaningless."""
    return random_public_ids(1)[0]


def random_public_ids(count: int) -> list[str]:
    """So many of them."""
    letters, wanted = b"", count * _LENGTH
    while len(letters) < wanted:
        letters += secrets.token_bytes(wanted - len(letters) + 8).translate(_LETTER_OF, _UNEVEN)
    text = letters[:wanted].decode()
    return [text[start : start + _LENGTH] for start in range(0, wanted, _LENGTH)]


def row_number(typed: str) -> int:
    """A row's number as it stands in an address; raises ValueError for what no database of ours could look for."""
    number = int(typed)
    if not 0 < number < 2**63:
        raise ValueError("not a row's number")
    return number


Numbers = sa.JSON().with_variant(ARRAY(sa.BigInteger), "postgresql")  # a list of them
BigId = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite counts only INTEGER keys up by itself

PrimaryKey = Annotated[int, mapped_column(BigId, primary_key=True)]
PublicId = Annotated[str, mapped_column(sa.String(16), unique=True, default=random_public_id)]
Moment = Annotated[datetime, mapped_column(UtcDateTime())]
Json = Annotated[dict[str, Any], mapped_column(sa.JSON, default=dict)]
