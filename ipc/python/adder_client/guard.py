"""What is answered when the daemon is not: the failure policy, its memory and its counters.

"allow": every row is allowed. "keep": rows of accounts last known as flagged get the decision they
last got, all others are allowed. So nothing is done that the daemon did not do while it answered:
in shadow mode, or with --action flag, a flagged account is still allowed.

Poison is drawn here then. It is a wrong answer: the top label is uniform among those the model did
not predict, with a probability above one half; what is left is shared out at random. It is keyed by
a secret of this process, the account, the predicted class and the row's bytes, so that a repeated
query gets the same bytes; they are not those that the daemon would have drawn.

Memory: at most flagged_max names of 128 bytes or less; the least recently seen goes first. A group
is remembered where a reply says that it is flagged, which is with detail; else only the accounts
seen flagged in it.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter, OrderedDict

import numpy as np

from .errors import UNANSWERED, AdderError
from .wire import Decision, Reason, Reply, Rows, Verdict

POLICIES = ("keep", "allow")
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Guard:
    """Any number of threads may use one."""

    def __init__(self, on_failure: str, flagged_max: int) -> None:
        if on_failure not in POLICIES:
            raise AdderError(
                "bad_request", f'on_failure: expected "keep" or "allow", came {on_failure!r}'
            )
        if flagged_max < 1:
            raise AdderError("bad_request", f"flagged_max: expected at least 1, came {flagged_max}")
        self._keep = on_failure == "keep"
        self._flagged_max = flagged_max
        # (name, whether it is a group's) -> its last decision
        self._flagged: OrderedDict[tuple[str, bool], int] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._secret = os.urandom(32)
        self._lock = threading.Lock()

    def learn(self, rows: Rows, reply: Reply) -> None:
        """Remembers who is flagged, by the last of an account's rows."""
        flagged = (reply.decisions == Decision.POISON) | (reply.decisions == Decision.LABEL_ONLY)
        if reply.verdicts is not None:
            flagged |= reply.verdicts == Verdict.FLAGGED
        with self._lock:
            self._counts["answered"] += 1
            if not self._flagged and not flagged.any():
                return
            decisions = reply.decisions.tolist()
            for name, is_flagged, decision in zip(rows.accounts, flagged.tolist(), decisions):
                self._learn((name, False), is_flagged, decision)
            if rows.groups is not None and reply.group_verdicts is not None:
                groups = (reply.group_verdicts == Verdict.FLAGGED).tolist()
                # What is done to who is on the allow-list says nothing of the rest of its group.
                reasons = [None] * rows.count if reply.reasons is None else reply.reasons.tolist()
                exempt = [reason == Reason.ALLOWED for reason in reasons]
                for group, is_flagged, decision, passes in zip(
                    rows.groups, groups, decisions, exempt
                ):
                    if group is not None and not (is_flagged and passes):
                        self._learn((group, True), is_flagged, decision)

    def _learn(self, key: tuple[str, bool], is_flagged: bool, decision: int) -> None:
        if not is_flagged:
            self._flagged.pop(key, None)
            return
        self._flagged[key] = decision
        self._flagged.move_to_end(key)
        if len(self._flagged) > self._flagged_max:
            self._flagged.popitem(last=False)
            self._counts["evicted"] += 1

    def _known(self, rows: Rows) -> list[int | None]:
        """By row the last decision of its account, or else of its group."""
        if not self._flagged:
            return []
        groups = [None] * rows.count if rows.groups is None else rows.groups
        return [
            self._flagged.get((account, False), self._flagged.get((group, True)))
            for account, group in zip(rows.accounts, groups)
        ]

    def forget(self, name: str, group: bool = False) -> None:
        with self._lock:
            self._flagged.pop((name, group), None)

    def count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1

    def counters(self) -> dict[str, int]:
        named = ("answered", "refused", "assumed", "assumed_rows", "assumed_poison_rows", "evicted")
        with self._lock:
            counts = {name: self._counts[name] for name in (*named, *sorted(UNANSWERED))}
            counts["flagged"] = len(self._flagged)
        return counts

    def answer(self, rows: Rows, classes: int, hard_label: bool, error: AdderError) -> Reply:
        """The policy's reply in the place of error, which is raised if it is no matter for it."""
        if error.code not in UNANSWERED:
            self.count("refused")
            raise error
        allow, count = int(Decision.ALLOW), rows.count
        with self._lock:
            known = self._known(rows)
        decisions = np.full(count, allow, np.uint8)
        verdicts = np.full(count, Verdict.UNDECIDED, np.uint8)
        if any(decision is not None for decision in known):
            verdicts[[decision is not None for decision in known]] = Verdict.FLAGGED
            if self._keep:
                decisions[:] = [allow if decision is None else decision for decision in known]
        reply = Reply(
            scores=np.full(count, np.nan, np.float32),
            decisions=decisions,
            fill=np.zeros(count, np.uint32),
            verdicts=verdicts,
            assumed=True,
            cause=error.code,
        )
        chosen = np.flatnonzero(decisions == Decision.POISON).astype(np.uint32)
        if rows.want_poison and len(chosen) and classes > 0:
            self._poison(reply, rows, chosen, classes, hard_label)
        with self._lock:
            self._counts["assumed"] += 1
            self._counts["assumed_rows"] += count
            self._counts["assumed_poison_rows"] += len(chosen)
            self._counts[error.code] += 1
        return reply

    def _poison(
        self, reply: Reply, rows: Rows, chosen: np.ndarray, classes: int, hard_label: bool
    ) -> None:
        seeds = self._seeds(rows, chosen)
        predicted = rows.classes[chosen].astype(np.uint64)
        # One of the others: one step to (classes - 1) steps on from the predicted one.
        steps = 1 + seeds[:, 0] % np.uint64(max(classes - 1, 1))
        labels = ((predicted + steps) % np.uint64(classes)).astype(np.uint32)
        reply.poison_rows = chosen
        if hard_label:
            reply.poison_labels = labels
            return
        shares = _uniform(seeds[:, 1:2] + np.arange(1, classes + 1, dtype=np.uint64) * _GOLDEN)
        at = np.arange(len(chosen))
        shares = -np.log(shares)  # exponential: shared out uniformly once they are scaled
        rest = 0.45 * _uniform(seeds[:, 2:3])[:, 0] ** 3  # mostly small, as a network's is
        shares[at, labels] = 0
        total = shares.sum(axis=1)
        shares *= (rest / np.where(total > 0, total, 1))[:, None]
        shares[at, labels] = 1 - shares.sum(axis=1)
        reply.poison = shares.astype(np.float32)

    def _seeds(self, rows: Rows, chosen: np.ndarray) -> np.ndarray:
        """[K, 3] 64-bit seeds, by the account, the predicted class and the row's bytes."""
        digests = bytearray()
        for row in chosen.tolist():
            digest = hashlib.blake2b(key=self._secret, digest_size=24)
            digest.update(rows.embeddings[row])
            digest.update(rows.classes[row : row + 1])
            digest.update(rows.accounts[row].encode())
            digests += digest.digest()
        return np.frombuffer(digests, "<u8").reshape(-1, 3)


def _uniform(words: np.ndarray) -> np.ndarray:
    """Of 64-bit words, float64 in (0, 1): splitmix64's finish, which spreads what is counted up."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    words = words ^ (words >> np.uint64(31))
    return ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
