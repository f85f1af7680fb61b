"""Does an error of SQLite say that a file holds other bytes than were written?"""

from __future__ import annotations

import apsw

DAMAGE = (apsw.SQLITE_IOERR_DATA, apsw.SQLITE_IOERR_CORRUPTFS)


def damaged(error: BaseException) -> bool:
    """A page whose checksum or form is wrong; not a disk that is full or does not answer."""
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return True
    return isinstance(error, apsw.IOError) and getattr(error, "extendedresult", 0) in DAMAGE
