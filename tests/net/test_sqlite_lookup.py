"""Databases: Exim's shape of rows, and queries that would hurt."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from labkit.mail.lookups import SqliteRows, Unanswered
from labkit.net import sqlite_lookup as module
from labkit.net.disk import Disk
from labkit.net.sqlite_lookup import CANNOT_OPEN, SqliteFiles, statements


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "host").mkdir()
    return tmp_path / "host"


def ask(root: Path, *queries: str, file: str = "/db") -> Any:
    """What the last of the queries gives."""

    async def asking() -> Any:
        files = SqliteFiles(Disk(root), patience=lambda: 0.2)
        try:
            answers = [await files.rows(SqliteRows(file, query)) for query in queries]
            return answers[-1]
        finally:
            files.close()

    return asyncio.run(asking())


TABLE = "create table t(n, v); insert into t values(1, 'x y'), (2, null)"


@pytest.mark.parametrize(
    "query, rows, because",
    [
        ("select v from t", ((("v", "x y"),), (("v", "<NULL>"),)), "NULL has a name"),
        ("select n, v from t where n=1", ((("n", "1"), ("v", "x y")),), "columns with names"),
        ("select v from t where n=9", (), "none"),
        ("insert into t values(3, 'z')", (), "a statement that tells nothing"),
        ("insert into t values(4, 'z'); select count(*) c from t", ((("c", "3"),),), "two statements"),
        ("select 1 a; select 2 b;", ((("a", "1"),), (("b", "2"),)), "the rows of both"),
        ("select nosuch from t", (), "an error is as nothing found"),
        ("this is no SQL", (), "so is this"),
        ("", (), "no statement"),
        (";;", (), "empty ones"),
        ("-- only a comment", (), "no statement"),
        ("select ';' a, \"v\" from t where n=1", ((("a", ";"), ("v", "x y")),), "a semicolon in quotes"),
        ("select 0.1 a, 1e300*10 b, 1.0 c, -9e999 d", None, "numbers as SQLite writes them"),
        ("select x'410042' a", ((("a", "A"),),), "a value ends at its NUL"),
        ("select '\xc3\xa9' a", ((("a", "\xc3\xa9"),),), "octets in, octets out"),
        ("select '\xff' a", ((("a", "\xc3\xbf"),),), "what is no UTF-8 is taken for latin-1"),
        ("select 1\0", (), "a NUL"),
    ],
)
def test_rows(root: Path, query: str, rows: Any, because: str) -> None:
    numbers = ((("a", "0.1"), ("b", "1.0e+301"), ("c", "1.0"), ("d", "-Inf")),)
    assert ask(root, TABLE, query) == (rows if rows is not None else numbers), because


def test_what_was_written_is_there_for_others(root: Path) -> None:
    ask(root, TABLE, "insert into t values(7, 'seven')")
    base = sqlite3.connect(root / "db")
    assert base.execute("select v from t where n=7").fetchall() == [("seven",)]
    base.close()


def test_another_file_of_the_same_name_is_another_database(root: Path) -> None:
    async def story() -> None:
        files = SqliteFiles(Disk(root))
        await files.rows(SqliteRows("/db", TABLE))
        (root / "db").unlink()
        assert await files.rows(SqliteRows("/db", "select * from t")) == ()
        files.close()

    asyncio.run(story())


@pytest.mark.parametrize("file", ["/../db", "/folder", "/none/db", "/fifo", "db", "", "/a\0b", "/link"])
def test_no_database(root: Path, file: str) -> None:
    (root / "folder").mkdir()
    os.mkfifo(root / "fifo")
    (root / "link").symlink_to(root.parent / "outside")
    assert ask(root, "create table t(a)", file=file) == CANNOT_OPEN
    assert not (root.parent / "outside").exists()
    assert not (root.parent / "db").exists()


def test_a_file_that_is_no_database(root: Path) -> None:
    (root / "db").write_text("ann: bob\n" * 100)
    assert ask(root, "select 1 from sqlite_master") == ()


def test_attach_stays_inside(root: Path) -> None:
    outside = root.parent / "outside.db"
    assert ask(root, f"attach '{outside}' as o; create table o.t(a)") == ()
    assert ask(root, "create table t(a)", f"vacuum into '{outside}'") == ()
    assert not outside.exists()
    assert ask(root, f"attach '{root}/other' as o; create table o.t(a); select 1 a") == ((("a", "1"),),)
    assert (root / "other").exists()


def test_a_query_without_end(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LOOKS", 50)
    begun = time.monotonic()
    endless = "with recursive c(x) as (select 1 union all select x+1 from c) select count(*) from c"
    assert isinstance(ask(root, endless), Unanswered)
    assert time.monotonic() - begun < 2


def test_a_query_that_brings_too_much(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_OCTETS", 1000)
    many = "with recursive c(x) as (select 1 union all select x+1 from c) select x from c"
    assert isinstance(ask(root, many), Unanswered)


def test_a_value_without_end(root: Path) -> None:
    begun = time.monotonic()
    assert ask(root, "select length(zeroblob(999999999)) a, hex(zeroblob(999999999)) b") in ((), CANNOT_OPEN)
    assert time.monotonic() - begun < 5


def test_a_lock_of_somebody_else(root: Path) -> None:
    ask(root, TABLE)
    base = sqlite3.connect(root / "db", isolation_level=None)
    base.execute("begin exclusive")
    assert ask(root, "select * from t") == Unanswered("sqlite: database is locked")

    async def story() -> Any:
        files = SqliteFiles(Disk(root))
        asking = asyncio.create_task(files.rows(SqliteRows("/db", "select count(*) c from t")))
        await asyncio.sleep(0.1)  # it waits, and others go on
        assert not asking.done()
        base.execute("commit")
        found = await asking
        files.close()
        return found

    assert asyncio.run(story()) == ((("c", "2"),),)
    base.close()


def test_a_transaction_ends_with_its_query(root: Path) -> None:
    ask(root, TABLE, "begin; insert into t values(9, 9)")
    assert ask(root, "select count(*) c from t") == ((("c", "2"),),)


@pytest.mark.parametrize(
    "query, count",
    [
        ("select 1; select 2", 2),
        ("select ';' ; select ';;'", 2),
        ("/* ; */ select 1", 1),
        ("-- ;\nselect 1", 1),
        ('select ";", [;], `;`', 1),
        ("create trigger x after insert on t begin delete from t; delete from t; end; select 1", 2),
    ],
)
def test_statements(query: str, count: int) -> None:
    assert len(list(statements(query))) == count


def test_a_long_query_is_cut_quickly() -> None:
    begun = time.monotonic()
    assert len(list(statements("select '" + ";" * 200_000 + "'"))) == 1
    assert len(list(statements(";" * 100_000))) == 100_000
    assert len(list(statements("'" + ";" * 1000 + "/*" * 10_000))) >= 1
    assert time.monotonic() - begun < 3
