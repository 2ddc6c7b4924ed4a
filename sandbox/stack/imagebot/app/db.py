# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from datetime import datetime

from sqlalchemy import Column, DateTime, Integer, String, create_engine, func, select
from sqlalchemy.orm import declarative_base, sessionmaker

from app.config import DATABASE_URL

engine = create_engine(DATABASE_URL, connect_args={"check_same_thread": False, "timeout": 30})
SessionLocal = sessionmaker(bind=engine)
Base = declarative_base()


class User(Base):
    __tablename__ = "users"

    id = Column(Integer, primary_key=True)
    chat_id = Column(Integer, unique=True, index=True)
    name = Column(String(128))
    created_at = Column(DateTime, default=datetime.utcnow)


class Usage(Base):
    __tablename__ = "usage"

    id = Column(Integer, primary_key=True)
    chat_id = Column(Integer, index=True)
    kind = Column(String(32))
    prompt = Column(String(4096))
    created_at = Column(DateTime, default=datetime.utcnow)


class Media(Base):
    __tablename__ = "media"

    id = Column(Integer, primary_key=True)
    chat_id = Column(Integer, index=True)
    prompt = Column(String(4096))
    path = Column(String(512))
    width = Column(Integer)
    height = Column(Integer)
    size = Column(Integer)
    created_at = Column(DateTime, default=datetime.utcnow)


def init_db():
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    # bot, api workers and the image worker may all start at once
    for table in Base.metadata.sorted_tables:
        try:
            table.create(engine, checkfirst=True)
        except Exception as e:
            if "already exists" not in str(e):
                raise


def log_usage(chat_id, kind, prompt, name=None):
    with SessionLocal() as session:
        user = session.execute(select(User).where(User.chat_id == chat_id)).scalar_one_or_none()
        if user is None:
            session.add(User(chat_id=chat_id, name=name))
        session.add(Usage(chat_id=chat_id, kind=kind, prompt=prompt))
        session.commit()


def usage_stats():
    with SessionLocal() as session:
        users = session.execute(select(func.count(User.id))).scalar()
        kinds = session.execute(select(Usage.kind, func.count(Usage.id)).group_by(Usage.kind)).all()
        media = session.execute(select(func.count(Media.id), func.sum(Media.size))).one()
    return {"users": users, "usage": dict(map(tuple, kinds)), "media": media[0], "media_bytes": media[1] or 0}
