"""The base class of the tables, and types that they share."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import DateTime, LargeBinary, MetaData, Numeric, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

from sivera.values import PlatformName

Money = Numeric(20, 6)
"""Six decimals hold Google's micros exactly."""

PLATFORM_IS_KNOWN = f"platform IN ({', '.join(repr(name.value) for name in PlatformName)})"


class Base(DeclarativeBase):
    """Gives constraints names that migrations can rely on, and makes every datetime a `timestamptz`."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own class attribute
        datetime: DateTime(timezone=True),
        str: Text,
        bytes: LargeBinary,
        Decimal: Money,
        dict[str, Any]: JSONB,
    }
