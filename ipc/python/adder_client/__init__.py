"""Client of Adder: ask the daemon about rows your model has just answered.

    from adder_client import Client

    with Client("ipc:///run/adder.sock", timeout_s=0.05) as adder:
        reply = adder.score(accounts, classes, embeddings, want_poison=True)
        answers = reply.apply(probabilities)

``Client`` blocks and may be shared by threads; ``AsyncClient`` is the same for one asyncio loop.
"""

from .aio import AsyncClient
from .client import Client
from .errors import AdderError
from .tls import Tls
from .wire import Decision, Reason, Reply, Verdict

__all__ = ["AdderError", "AsyncClient", "Client", "Decision", "Reason", "Reply", "Tls", "Verdict"]
__version__ = "0.1.0"
