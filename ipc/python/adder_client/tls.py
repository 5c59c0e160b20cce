"""Certificates for tls+tcp:// : both sides show one and verify the other's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

import pynng

from .errors import AdderError

SCHEME = "tls+tcp://"


@dataclass(frozen=True)
class Tls:
    """Paths of PEM files: who must have signed the daemon's certificate, ours, and its key,
    unencrypted. server_name is what the daemon's certificate is for, if not the URL's host."""

    ca: str | os.PathLike[str]
    cert: str | os.PathLike[str]
    key: str | os.PathLike[str]
    server_name: str | None = None


def _text(path: str | os.PathLike[str]) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise AdderError("bad_request", f"tls: {os.fspath(path)}: {error}") from None


def config(tls: Tls | None, url: str) -> pynng.TLSConfig | None:
    """What pynng wants for this URL; None: it is not encrypted."""
    if (tls is not None) != url.startswith(SCHEME):
        came = "none" if tls is None else f"with {url!r}"
        raise AdderError("bad_request", f"tls: expected with {SCHEME}HOST:PORT alone, came {came}")
    if tls is None:
        return None
    try:
        return pynng.TLSConfig(
            pynng.TLSConfig.MODE_CLIENT,
            server_name=tls.server_name or urlsplit(url).hostname,
            ca_string=_text(tls.ca),
            own_cert_string=_text(tls.cert),
            own_key_string=_text(tls.key),
            auth_mode=pynng.TLSConfig.AUTH_MODE_REQUIRED,
        )
    except pynng.NNGException as error:
        raise AdderError(
            "bad_request", f"tls: expected PEM certificates and an unencrypted key: {error}"
        ) from None
