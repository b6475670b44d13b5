"""Certificates and tokens: made once, read by both sides, and wrong ones refused in one sentence."""

import os
import stat
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="needs the remote extra (cryptography)")

from support.remote import Board
from weft_runtime.remote.address import Address
from weft_runtime.remote.credentials import has_token, load_credentials, make_credentials
from weft_runtime.remote.device import RemoteDevice
from weft_runtime.remote.errors import RemoteError
from weft_runtime.remote.server import ServerOptions, serving
from weft_runtime.remote.sources import KeptDevice


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("credentials") / "made"
    make_credentials(folder, ["board.lan", "10.0.0.7"])
    return folder


@pytest.fixture(scope="module")
def address(folder):
    options = ServerOptions(credentials=load_credentials(folder, key=True))
    with serving([KeptDevice("board", Board())], options) as address:
        yield address


def with_credentials(address: Address, folder: Path | None) -> Address:
    return Address(address.host, address.port, credentials=folder)


def refusal(call, *arguments, **options) -> str:
    with pytest.raises(RemoteError) as caught:
        call(*arguments, **options)
    return str(caught.value)


def test_only_the_owner_may_read_key_and_token(folder):
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"certificate.pem": 0o644, "key.pem": 0o600, "token": 0o600}


def test_the_certificate_is_for_the_names(folder):
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate((folder / "certificate.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["board.lan", "localhost"]
    assert [str(x) for x in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7", "127.0.0.1", "::1"]


def test_nothing_is_overwritten(folder):
    before = (folder / "token").read_bytes()
    assert refusal(make_credentials, folder, []) == (
        f"credentials file {folder / 'certificate.pem'} exists already; delete the old ones or choose another folder"
    )
    assert (folder / "token").read_bytes() == before


def test_names_that_are_none(tmp_path):
    assert refusal(make_credentials, tmp_path / "new", ["bö\n"]) == (
        "names bö\n: not all are host names or addresses; write board.lan"
    )
    assert not (tmp_path / "new").exists()


def test_a_client_with_the_credentials_is_let_in(address, folder, tmp_path):
    """It needs no key."""
    for name in ("certificate.pem", "token"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with RemoteDevice(with_credentials(address, tmp_path)) as device:
        place = device.allocate(64)
        assert not device.read(place, 64).any()


def test_a_wrong_token(address, folder, tmp_path):
    (tmp_path / "certificate.pem").write_bytes((folder / "certificate.pem").read_bytes())
    (tmp_path / "token").write_text("not the token, but long enough\n")
    assert refusal(RemoteDevice, with_credentials(address, tmp_path)) == (
        "the token is wrong or missing; use the server's credentials, as in grpc://host:port?credentials=FOLDER"
    )


def test_every_call_needs_the_token(address, folder):
    """Also those that a client makes only after it was let in."""
    import grpc
    from weft_runtime.remote.messages import METHODS

    secure = grpc.ssl_channel_credentials((folder / "certificate.pem").read_bytes())
    refused = []
    with grpc.secure_channel(address.target, secure) as channel:
        for method in METHODS.values():
            call = getattr(channel, method.kind)(method.path, method.encode, method.reply.FromString)
            request = iter([method.request()]) if method.streams_requests else method.request()
            answer = (lambda *arguments, call=call: list(call(*arguments))) if method.streams_replies else call
            with pytest.raises(grpc.RpcError) as caught:
                answer(request, 10)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            refused.append(method.name)
    assert len(refused) == len(METHODS) >= 12


def test_another_certificate(address, tmp_path):
    make_credentials(tmp_path / "other", [])
    message = refusal(RemoteDevice, with_credentials(address, tmp_path / "other"))
    assert message.startswith(f"server {address} and this client do not agree on TLS (")
    assert message.endswith("; use the certificate that the server has, made for the name by which you call it")


def test_no_credentials_at_all(address):
    message = refusal(RemoteDevice, with_credentials(address, None))
    assert message.startswith(f"server {address} does not answer (")


def test_credentials_for_a_server_without(folder):
    with serving([KeptDevice("board", Board())]) as plain:
        message = refusal(RemoteDevice, with_credentials(plain, folder))
    assert message.startswith(f"server {plain} and this client do not agree on TLS (")


def test_a_client_does_not_talk_to_other_machines_without():
    assert refusal(RemoteDevice, "grpc://192.0.2.1") == (
        "server grpc://192.0.2.1:7350 is not on this machine, which takes its certificate and token; copy both from "
        "the server's credentials and open grpc://192.0.2.1:7350?credentials=FOLDER"
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "board.lan"])
def test_a_server_does_not_listen_to_other_machines_without(host):
    assert refusal(ServerOptions, host=host) == (
        f"listen address {host} can be reached from other machines, which takes a certificate and a token; make them "
        "with weft serve --make-credentials FOLDER and serve with --credentials FOLDER, or listen on 127.0.0.1"
    )


def test_files_that_are_missing(folder, tmp_path):
    assert refusal(load_credentials, tmp_path, key=False) == (
        f"credentials file {tmp_path / 'token'} cannot be read: No such file or directory; make the files with "
        "weft serve --make-credentials FOLDER, and give clients all but the key"
    )


@pytest.mark.parametrize("token", ["", "short", "x" * 40 + "\x00", "ö" * 40])
def test_tokens_that_are_none(folder, tmp_path, token):
    (tmp_path / "token").write_text(token, encoding="utf-8")
    assert refusal(load_credentials, tmp_path, key=False) == (
        f"token in {tmp_path / 'token'} is not at least 16 printable ASCII characters; "
        "make one with weft serve --make-credentials FOLDER"
    )


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "below"
    assert refusal(make_credentials, folder, []) == (
        f"credentials cannot be written to {folder}: Not a directory; choose another folder"
    )
    assert os.listdir(tmp_path) == ["file"]


def test_the_whole_token_counts():
    assert has_token([("authorization", "Bearer abc")], "abc")
    for value in ("Bearer ab", "Bearer abcd", "abc", "", "Bearer ABC", "bearer abc", b"Bearer abc"):
        assert not has_token([("authorization", value)], "abc")
    assert not has_token([("other", "Bearer abc")], "abc")
