# Tells what Python's tarfile finds in archives: takes a line with a length and so many bytes, answers with a line for
# each member (kind, name, link in hexadecimal, size) or why there are no more, and with a dot. See differential.rs.
import io
import sys
import tarfile

KINDS = {
    tarfile.DIRTYPE: "d",
    tarfile.SYMTYPE: "l",
    tarfile.LNKTYPE: "h",
    tarfile.CHRTYPE: "c",
    tarfile.BLKTYPE: "b",
    tarfile.FIFOTYPE: "p",
}


class Member(tarfile.TarInfo):
    """tarfile stops at a header that it does not understand, without a word unless it is the first."""

    failure = None

    @classmethod
    def fromtarfile(cls, archive):
        try:
            return super().fromtarfile(archive)
        except (tarfile.EOFHeaderError, tarfile.EmptyHeaderError):
            raise
        except tarfile.HeaderError as error:
            Member.failure = error
            raise


def told(text):
    return text.encode("utf-8", "surrogateescape").hex() or "-"


def members(data):
    Member.failure = None
    how = {"encoding": "utf-8", "errors": "surrogateescape", "tarinfo": Member}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:", **how) as archive:
        for member in archive:
            kind = KINDS.get(member.type, "-")
            link = told(member.linkname) if kind in "lh" else "-"
            yield f"{kind} {told(member.name)} {link} {member.size if kind == '-' else 0}"
    if Member.failure:
        raise Member.failure


for length in sys.stdin.buffer:
    data = sys.stdin.buffer.read(int(length))
    try:
        for line in members(data):
            print(line)
    except Exception as error:
        print("!", type(error).__name__, error)
    print(".", flush=True)
