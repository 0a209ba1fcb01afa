"""Replies kept on disk as they come, each under the digest of everything that it depends on.

    AnswerStore(path: Path | None)         a file of SQLite; None: temporary, gone when it is closed
        .get(key) -> Reply | None          a final reply ("answered", "truncated", "refused")
        .put(key, reply, run)              commits; "error" replies are kept aside, for counting
        .failed(key, run) -> Reply | None  what failed in this very run
        .counts() -> AskedCounts           over all that was ever asked for this file, each request once

*Ours.* Every reply is one transaction in a write-ahead log: a process killed at any moment loses what was in flight
and nothing else. No prompt, image or key of a server is stored, only digests and replies.
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from aot.backends.asking.counts import AskedCounts
from aot.backends.base.backend import Reply
from aot.errors import AotError

APPLICATION = 0x414F5431  # "AOT1"; SQLite's mark for whose file it is
TABLES = """
CREATE TABLE replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE failures (key TEXT NOT NULL, run TEXT NOT NULL, reply TEXT NOT NULL, PRIMARY KEY (key, run)) WITHOUT ROWID;
"""
ANY = "SELECT EXISTS (SELECT 1 FROM replies UNION ALL SELECT 1 FROM failures)"
NEXT = "delete it (its questions are asked again), or give another folder"


class AnswerStore:
    """Replies in one file. Raises `AotError` where the file is damaged or another program's, and on a full disk."""

    def __init__(self, path: Path | str | None = None):
        self.path = None if path is None else Path(path)
        self._is_new = self.path is not None and not self.path.exists()
        with self._errors():
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            # A generator may be closed by another thread than the one that made it.
            self._database = sqlite3.connect(
                self.path or "", timeout=60, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except (sqlite3.Error, AotError):
                self._database.close()
                raise

    def _prepare(self) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last replies, not the file
        if (found := self._one("PRAGMA quick_check(1)")) != "ok":
            raise sqlite3.DatabaseError(str(found))
        self._database.execute("BEGIN IMMEDIATE")  # of two processes that start at once, one makes the tables
        owner, tables = self._one("PRAGMA application_id"), self._one("SELECT count(*) FROM sqlite_master")
        if owner == 0 and tables == 0:
            for statement in TABLES.strip().splitlines():
                self._database.execute(statement)
            self._database.execute(f"PRAGMA application_id = {APPLICATION}")
        elif owner != APPLICATION:
            raise AotError("a database of another program", where=str(self.path), hint="give another folder")
        self._database.execute("COMMIT")

    def get(self, key: str) -> Reply | None:
        """The final reply under a key, if there is one."""
        return self._read("SELECT reply FROM replies WHERE key = ?", (key,))

    def failed(self, key: str, run: str) -> Reply | None:
        """The "error" reply that a run already got under a key."""
        return self._read("SELECT reply FROM failures WHERE key = ? AND run = ?", (key, run))

    def put(self, key: str, reply: Reply, run: str = "") -> None:
        """Stores a reply; on return it outlives this process."""
        text = json.dumps(dataclasses.asdict(reply))
        with self._errors():
            if reply.status == "error":
                self._database.execute("INSERT OR REPLACE INTO failures VALUES (?, ?, ?)", (key, run, text))
            else:
                self._database.execute("INSERT OR REPLACE INTO replies VALUES (?, ?)", (key, text))

    def __len__(self) -> int:
        """Final replies."""
        with self._errors():
            return int(self._one("SELECT count(*) FROM replies"))

    def counts(self) -> AskedCounts:
        """Statuses, faults, requests and tokens of everything that was asked for this file, failures of earlier runs
        included."""
        counts = AskedCounts()
        with self._errors():
            for (text,) in self._database.execute(
                "SELECT reply FROM replies UNION ALL SELECT reply FROM failures"
            ):
                reply = self._reply(text)
                counts.asked += 1
                counts.add(reply)
                counts.spend(reply)
        return counts

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> AnswerStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """A file that was made here goes again where an error came before the first reply."""
        empty = isinstance(error, AotError) and self._is_new and not self._one(ANY)
        self.close()
        if empty and self.path is not None:
            self.path.unlink(missing_ok=True)

    def _one(self, statement: str) -> Any:
        return self._database.execute(statement).fetchone()[0]

    def _read(self, statement: str, values: tuple[str, ...]) -> Reply | None:
        with self._errors():
            row = self._database.execute(statement, values).fetchone()
        return None if row is None else self._reply(row[0])

    def _reply(self, text: str) -> Reply:
        try:
            known = json.loads(text)
            known["faults"] = tuple(known["faults"])
            if known["probabilities"] is not None:
                known["probabilities"] = tuple(known["probabilities"])
            return Reply(**known)
        except (ValueError, TypeError, KeyError) as error:
            raise AotError(
                f"a stored reply cannot be read ({error})", where=str(self.path), hint=NEXT
            ) from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:  # a full disk, no right to write, locked by another process
            raise AotError(
                f"the stored replies cannot be used ({error})",
                where=str(self.path),
                hint="make room, check the rights, or wait for the other run",
            ) from error
        except sqlite3.DatabaseError as error:
            raise AotError(f"the stored replies are damaged ({error})", where=str(self.path), hint=NEXT) from error
        except OSError as error:
            raise AotError(f"cannot write: {error}", where=str(self.path), hint="give another folder") from error
