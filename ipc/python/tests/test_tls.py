"""tls+tcp with certificates on both sides, made by openssl(1), against the real daemon."""

import asyncio
import shutil
import socket
import subprocess

import numpy as np
import pytest

from adder_client import AdderError, AsyncClient, Client, Tls

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def run(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two authorities; adder and worker are of the first, stranger of the other."""
    folder = tmp_path_factory.mktemp("tls")
    for name in ("authority", "another"):
        files = ["-keyout", f"{name}.key", "-out", f"{name}.pem"]
        run(folder, "req", "-x509", *NEW_KEY, *files, "-days", "1", "-subj", f"/CN={name}")
    for name, by in (("adder", "authority"), ("worker", "authority"), ("stranger", "another")):
        files = ["-keyout", f"{name}.key", "-out", f"{name}.csr"]
        run(folder, "req", "-new", *NEW_KEY, *files, "-subj", f"/CN={name}")
        signer = ["-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial"]
        run(folder, "x509", "-req", "-in", f"{name}.csr", *signer, "-out", f"{name}.pem")
        (folder / f"{name}.key").chmod(0o600)
    return folder


def tls_of(made, who="worker", authority="authority", name="adder"):
    return Tls(made / f"{authority}.pem", made / f"{who}.pem", made / f"{who}.key", name)


@pytest.fixture
def encrypted(stopped, made):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stopped.url = f"tls+tcp://127.0.0.1:{port}"
    stopped.tls = tls_of(made)
    files = ["--tls-cert", made / "adder.pem", "--tls-key", made / "adder.key"]
    return stopped.start("--tls-ca", made / "authority.pem", *files)


def test_a_good_certificate_is_served_and_others_are_not(encrypted, made, rows):
    url = encrypted.url
    with Client(url, timeout_s=30, tls=tls_of(made)) as client:
        reply = client.score("alice", rows[1], rows[0])
        assert not reply.assumed and np.all(reply.fill > 0)
        for bad in (
            tls_of(made, who="stranger"),
            tls_of(made, authority="another"),
            tls_of(made, name="somebody"),
            tls_of(made, name=None),
        ):
            with Client(url, timeout_s=1, tls=bad) as other, pytest.raises(AdderError) as raised:
                other.ping()
            assert raised.value.code == "timed_out"
        client.ping()

    async def score():
        async with AsyncClient(url, timeout_s=30, tls=tls_of(made)) as client:
            return await client.score("alice", rows[1], rows[0])

    assert not asyncio.run(score()).assumed


def test_files_that_do_not_fit_are_said_at_once(made, tmp_path):
    url = "tls+tcp://127.0.0.1:1"
    (tmp_path / "garbage").write_text("garbage\n")
    good = tls_of(made)
    for where, tls in (
        (url, None),
        ("tcp://127.0.0.1:1", good),
        (url, Tls(tmp_path / "nowhere", good.cert, good.key)),
        (url, Tls(tmp_path / "garbage", good.cert, good.key)),
        (url, Tls(good.ca, good.cert, tmp_path / "garbage")),
    ):
        with pytest.raises(AdderError) as raised:
            Client(where, tls=tls)
        assert raised.value.code == "bad_request" and raised.value.message.startswith("tls:")
