"""Messages: arguments become a request's bytes, and a reply's bytes become numpy arrays.

No input or output here. Arrays go out as they are where they are little-endian and C-contiguous:
the only copies are the one into the message and NNG's own. What comes back is a read-only view of
the bytes that msgpack handed out.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Any, Sequence

import msgpack
import numpy as np

from .errors import AdderError

VERSION = 1
NAME_BYTES_MAX = 128
BIN_BYTES_MAX = 2**32 - 1
TEXT_MAX = 256

_DTYPES = {"f32": np.dtype("<f4"), "f16": np.dtype("<f2"), "bf16": np.dtype("<u2")}


class Decision(enum.IntEnum):
    """What to return for a row: the model's answer (ALLOW, WARMING), a replacement, the label."""

    ALLOW = 0
    POISON = 1
    WARMING = 2
    LABEL_ONLY = 3


class Verdict(enum.IntEnum):
    """What Adder believes of a row's account and group, also where it only watches."""

    CLEAN = 0
    FLAGGED = 1
    UNDECIDED = 2


class Reason(enum.IntEnum):
    """What flagged an account: its rows' evidence, its window, its memory, its group, a list."""

    NONE = 0
    ROWS = 1
    WINDOW = 2
    MEMORY = 3
    GROUP = 4
    DENIED = 5
    ALLOWED = 6


# Columns of a score reply: type, whether it must come, largest value of a byte.
_COLUMNS: dict[str, tuple[str, bool, int]] = {
    "scores": ("<f4", True, 0),
    "decisions": ("u1", True, max(Decision)),
    "fill": ("<u4", True, 0),
    "memory_scores": ("<f4", False, 0),
    "excess": ("<f4", False, 0),
    "verdicts": ("u1", False, max(Verdict)),
    "memory_excess": ("<f4", False, 0),
    "evidence": ("<f4", False, 0),
    "group_scores": ("<f4", False, 0),
    "group_excess": ("<f4", False, 0),
    "group_evidence": ("<f4", False, 0),
    "group_verdicts": ("u1", False, max(Verdict)),
    "reasons": ("u1", False, max(Reason)),
}


@dataclass(frozen=True)
class Rows:
    """The arguments of a score, checked: N rows in the order of the model's batch."""

    accounts: Sequence[str]
    groups: Sequence[str | None] | None
    classes: np.ndarray  # [N] <u4
    embeddings: np.ndarray  # [N, dim], C-contiguous
    dtype: str  # of the embeddings on the wire
    want_poison: bool
    detail: bool

    @property
    def count(self) -> int:
        return len(self.classes)


@dataclass
class Reply:
    """The answer to one score of N rows. Arrays are read-only; None: did not come.

    scores, excess (standard deviations above honest rows) and fill are those of the row's
    observation. K rows, poison_rows, are to be answered by poison or poison_labels instead.
    """

    scores: np.ndarray  # [N] f4; NaN where assumed
    decisions: np.ndarray  # [N] u1, each a Decision
    fill: np.ndarray  # [N] u4, rows in the window
    memory_scores: np.ndarray | None = None  # [N] f4
    excess: np.ndarray | None = None  # [N] f4
    verdicts: np.ndarray | None = None  # [N] u1, each a Verdict
    # With detail; the groups' where rows have groups.
    memory_excess: np.ndarray | None = None  # [N] f4
    evidence: np.ndarray | None = None  # [N] f4, the account's over what flags it
    group_scores: np.ndarray | None = None  # [N] f4
    group_excess: np.ndarray | None = None  # [N] f4
    group_evidence: np.ndarray | None = None  # [N] f4
    group_verdicts: np.ndarray | None = None  # [N] u1
    reasons: np.ndarray | None = None  # [N] u1, each a Reason
    # With want_poison, where rows are to be poisoned.
    poison_rows: np.ndarray | None = None  # [K] u4, ascending
    poison: np.ndarray | None = None  # [K, classes] f4, probabilities
    poison_labels: np.ndarray | None = None  # [K] u4
    model: str | None = None
    degraded: bool = False  # the daemon lost its accelerator
    assumed: bool = False  # the daemon did not answer in time and the failure policy did
    cause: str | None = None  # if assumed: the code of the error that it stands for

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """The model's probabilities [N, classes] as they may leave: a copy in which poisoned rows
        are replaced and rows of decision POISON by label, or LABEL_ONLY, hold 1 at that label.
        Needs want_poison."""
        lacking = np.count_nonzero(self.decisions == Decision.POISON)
        lacking -= 0 if self.poison_rows is None else len(self.poison_rows)
        if lacking:
            raise AdderError("bad_request", f"apply: {lacking} rows lack poison: ask want_poison")
        answers = np.array(probabilities)
        if answers.ndim != 2 or len(answers) != len(self.decisions):
            raise AdderError(
                "bad_request",
                f"probabilities: expected shape [{len(self.decisions)}, classes], "
                f"came {list(answers.shape)}",
            )
        bare = np.flatnonzero(self.decisions == Decision.LABEL_ONLY)
        _set_labels(answers, bare, answers[bare].argmax(axis=1) if len(bare) else bare)
        if self.poison_labels is not None:
            _set_labels(answers, self.poison_rows, self.poison_labels)
        elif self.poison is not None:
            answers[self.poison_rows] = self.poison
        return answers


def _set_labels(answers: np.ndarray, rows: np.ndarray | None, labels: np.ndarray) -> None:
    answers[rows] = 0
    answers[rows, labels] = 1


def _bad(message: str, code: str = "bad_request") -> AdderError:
    return AdderError(code, message)


def check_names(names: Sequence[Any], what: str, none_allowed: bool = False) -> None:
    """Refuses what no account or group can be called; each different name is looked at once."""
    try:
        different = set(names)
    except TypeError:
        raise _bad(f"{what}: expected str, came something that cannot be a name") from None
    for name in different:
        if name is None and none_allowed:
            continue
        if not isinstance(name, str):
            raise _bad(f"{what}: expected str, came {type(name).__name__}")
        length = len(name.encode("utf-8", "replace"))
        if not 1 <= length <= NAME_BYTES_MAX:
            raise _bad(f"{what}: expected 1 to {NAME_BYTES_MAX} bytes, came {length}")
        if not name.isascii():
            try:
                name.encode()
            except UnicodeEncodeError:
                raise _bad(f"{what}: expected text, came a lone surrogate") from None


def _embeddings(given: Any, dtype: str | None) -> tuple[np.ndarray, str]:
    array = np.asarray(given)
    if dtype is None:
        dtype = "f16" if array.dtype.kind == "f" and array.dtype.itemsize == 2 else "f32"
    if dtype not in _DTYPES:
        raise _bad(f"dtype: expected f32, f16 or bf16, came {dtype!r}")
    kinds = "ui" if dtype == "bf16" else "f"
    if array.dtype.kind not in kinds or (dtype == "bf16" and array.dtype.itemsize != 2):
        expected = "uint16 holding bf16" if dtype == "bf16" else "float16, 32 or 64"
        raise _bad(f"embeddings: expected {expected}, came {array.dtype}")
    if array.ndim != 2 or array.shape[0] == 0 or array.shape[1] == 0:
        raise _bad(f"embeddings: expected shape [N, dim], came {list(array.shape)}")
    if dtype == "bf16" and array.dtype.isnative:
        array = array.view("<u2")
    with np.errstate(over="ignore"):  # becomes infinite, which the daemon refuses
        array = np.ascontiguousarray(array, _DTYPES[dtype])
    if array.nbytes > BIN_BYTES_MAX:
        raise _bad(f"embeddings: {array.nbytes} bytes are too many for a message", "too_large")
    return array, dtype


def _classes(given: Any, count: int) -> np.ndarray:
    array = np.asarray(given)
    if array.dtype.kind not in "ui":
        raise _bad(f"classes: expected integers, came {array.dtype}")
    if array.shape != (count,):
        raise _bad(f"classes: expected shape [{count}], came {list(array.shape)}")
    if array.dtype != np.dtype("<u4"):
        if array.min() < 0 or array.max() > np.iinfo(np.uint32).max:
            raise _bad("classes: expected 32 bits without sign, came more", "bad_class")
    return np.ascontiguousarray(array, "<u4")


def rows(
    accounts: str | Sequence[str],
    classes: Any,
    embeddings: Any,
    groups: str | Sequence[str | None] | None,
    dtype: str | None,
    want_poison: bool,
    detail: bool,
) -> Rows:
    """Checks what can be checked without the daemon; a str stands for that name in every row."""
    array, dtype = _embeddings(embeddings, dtype)
    count = len(array)
    names: list[Any] = []
    for what, given in (("accounts", accounts), ("groups", groups)):
        if given is not None or what == "accounts":
            given = [given] * count if isinstance(given, (str, type(None))) else list(given)
            if len(given) != count:
                raise _bad(f"{what}: expected {count}, one a row, came {len(given)}")
            check_names(given, what, what == "groups")
        names.append(given)
    return Rows(*names, _classes(classes, count), array, dtype, want_poison, detail)


def _bin(key: str, array: np.ndarray) -> tuple[bytes, np.ndarray]:
    return msgpack.packb(key) + struct.pack(">BI", 0xC6, array.nbytes), array


def request(op: str, **fields: Any) -> bytes:
    """A request without arrays; fields that are None are left out."""
    came = {key: value for key, value in fields.items() if value is not None}
    return msgpack.packb({"v": VERSION, "op": op, **came})


def score_request(
    rows: Rows, model: str | None, client: int, seq: int, deadline_ms: int
) -> bytes:
    want = [word for word, on in (("poison", rows.want_poison), ("detail", rows.detail)) if on]
    fields = {"v": VERSION, "op": "score", "client": client, "seq": seq, "dtype": rows.dtype}
    fields["deadline_ms"] = deadline_ms
    optional = {"model": model, "groups": rows.groups, "want": want or None}
    fields |= {key: value for key, value in optional.items() if value is not None}
    packer = msgpack.Packer(autoreset=False)
    packer.pack_map_header(len(fields) + 3)
    for key, value in fields.items():
        packer.pack(key)
        packer.pack(value)
    packer.pack("accounts")
    packer.pack(rows.accounts)
    return b"".join(
        (
            packer.bytes(),
            *_bin("classes", rows.classes),
            *_bin("embeddings", rows.embeddings),
        )
    )


def _bad_reply(message: str) -> AdderError:
    return AdderError("bad_reply", f"reply: {message}")


def _line(text: Any) -> str:
    """The daemon's line may go to a terminal: what is not printable ASCII becomes '?'."""
    return "".join(c if " " <= c <= "~" else "?" for c in str(text)[:TEXT_MAX])


def reply(message: bytes) -> dict[str, Any]:
    """The map of a reply; raises AdderError for a refusal and for what is no reply."""
    try:
        fields = msgpack.unpackb(message)
    except Exception as error:  # msgpack's, ValueError, RecursionError: all say the same here
        raise _bad_reply(f"expected one MessagePack map, came {_line(error)}") from None
    if not isinstance(fields, dict) or fields.get("v") != VERSION:
        raise _bad_reply(f"expected a map of version {VERSION}, came another")
    if fields.get("status") == "error":
        retry = fields.get("retry_after_ms")
        retry = retry if isinstance(retry, int) and retry > 0 else None
        raise AdderError(_line(fields.get("code")), _line(fields.get("message")), retry)
    if fields.get("status") != "ok":
        raise _bad_reply("status: expected ok or error, came another")
    return fields


def member(fields: dict[str, Any], key: str, kind: type) -> Any:
    """A field that must have come and be of this kind."""
    value = fields.get(key)
    if not isinstance(value, kind):
        raise _bad_reply(f"{key}: expected {kind.__name__}, came {type(value).__name__}")
    return value


def _array(fields: dict[str, Any], key: str, dtype: str, count: int) -> np.ndarray:
    data = member(fields, key, bytes)
    expected = count * np.dtype(dtype).itemsize
    if len(data) != expected:
        raise _bad_reply(f"{key}: expected {expected} bytes, came {len(data)}")
    return np.frombuffer(data, dtype)


def _poison(fields: dict[str, Any], count: int) -> dict[str, np.ndarray]:
    outputs = [key for key in ("poison", "poison_labels") if key in fields]
    if len(outputs) != ("poison_rows" in fields):
        raise _bad_reply("poison_rows: expected with one of poison and poison_labels")
    if not outputs:
        return {}
    chosen = len(member(fields, "poison_rows", bytes)) // 4
    found = _array(fields, "poison_rows", "<u4", chosen)
    ascending = chosen > 0 and bool(np.all(found[1:] > found[:-1])) and found[-1] < count
    if not ascending:
        raise _bad_reply(f"poison_rows: expected ascending rows below {count}")
    if outputs == ["poison_labels"]:
        labels = _array(fields, "poison_labels", "<u4", chosen)
        return {"poison_rows": found, "poison_labels": labels}
    columns = len(member(fields, "poison", bytes)) // (4 * chosen)
    poison = _array(fields, "poison", "<f4", max(columns, 1) * chosen)
    return {"poison_rows": found, "poison": poison.reshape(chosen, -1)}


def score_reply(message: bytes, count: int) -> Reply:
    """A score's reply; every length, row and decision is checked."""
    fields = reply(message)
    columns: dict[str, Any] = {}
    for key, (dtype, needed, largest) in _COLUMNS.items():
        if not needed and key not in fields:
            continue
        columns[key] = _array(fields, key, dtype, count)
        if largest and count and columns[key].max() > largest:
            raise _bad_reply(f"{key}: expected 0 to {largest}, came {columns[key].max()}")
    return Reply(
        **columns,
        **_poison(fields, count),
        model=fields.get("model"),
        degraded=fields.get("degraded") is True,
    )
