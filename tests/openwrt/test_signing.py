"""The keys of packages: the vectors of RFC 6979, openssl's files, and files that are not keys."""

import base64
import hashlib
import subprocess
import sys

import pytest

from ..lab.builders import signing
from ..lab.need import need, programs

# RFC 6979, A.2.5, with SHA-512: the private key, the public key, and for each message r and s.
SECRET = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
PUBLIC = (
    0x60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6,
    0x7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299,
)
SIGNATURES = {
    b"sample": (
        0x8496A60B5E9B47C825488827E0495B0E3FA109EC4568FD3F8D1097678EB97F00,
        0x2362AB1ADBE2B8ADF9CB9EDAB740EA6049C028114F2460F96554F61FAE3302FE,
    ),
    b"test": (
        0x461D93F31B6540894788FD206C07CFA0CC35F46FA3C91816FFF1040AD1581A04,
        0x39AF9F15DE0DB8D97E72719C74820D304CE5226E32DEDAE67519E840D1194E55,
    ),
}
KEY = signing.PrivateKey(SECRET)


@pytest.mark.parametrize("message", SIGNATURES)
def test_the_vectors_of_the_rfc(message):
    r, s = SIGNATURES[message]
    signature = KEY.sign(message)
    assert KEY.public.point == PUBLIC and r.to_bytes(32, "big") in signature and s.to_bytes(32, "big") in signature
    assert KEY.public.verify(message, signature) and not KEY.public.verify(message + b"?", signature)


def test_no_altered_signature_is_accepted():
    signature = KEY.sign(b"sample")
    for place in range(len(signature)):
        altered = signature[:place] + bytes([signature[place] ^ 0x81]) + signature[place + 1 :]
        assert not KEY.public.verify(b"sample", altered), place
    for bad in (b"", signature[:-1], signature + b"\0", bytes.fromhex("3006020100020100")):
        assert not KEY.public.verify(b"sample", bad)


def openssl(*arguments, input=None):
    return subprocess.run(["openssl", *arguments], input=input, capture_output=True, check=True).stdout


def test_openssl_and_we_read_the_same_keys(tmp_path):
    need(programs, "openssl")
    private, packed, public = (tmp_path / name for name in ("key.pem", "pkcs8.pem", "public.pem"))
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-out", private)
    openssl("pkcs8", "-topk8", "-nocrypt", "-in", private, "-out", packed)
    openssl("ec", "-in", private, "-pubout", "-out", public)
    key = signing.PrivateKey.read(private)
    assert signing.PrivateKey.read(packed).secret == key.secret and key.public.pem() == public.read_text()
    assert signing.PublicKey.read(public).id == key.id == hashlib.sha512(_point(key)).digest()[:16]
    message, signature = tmp_path / "message", tmp_path / "signature"
    for number in range(20):
        message.write_bytes(b"message %d" % number)
        signature.write_bytes(key.sign(message.read_bytes()))
        assert b"OK" in openssl("dgst", "-sha512", "-verify", public, "-signature", signature, message)
        theirs = openssl("dgst", "-sha512", "-sign", private, message)
        assert key.public.verify(message.read_bytes(), theirs)
    new = signing.PrivateKey.new()
    assert openssl("ec", "-pubout", input=new.pem().encode()).decode() == new.public.pem()


def _point(key):
    return b"\x04" + b"".join(number.to_bytes(32, "big") for number in key.public.point)


def test_keys_of_other_kinds_are_refused(tmp_path):
    need(programs, "openssl")
    path = tmp_path / "key.pem"
    commands = [
        ["ecparam", "-name", "secp384r1", "-genkey", "-noout"],
        ["genpkey", "-algorithm", "ed25519"],
        ["genrsa", "1024"],
        ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-aes128", "-pass", "pass:x"],
    ]
    for command in commands:
        path.write_bytes(openssl(*command))
        with pytest.raises(signing.KeyProblem, match="is not a P-256 key in PEM without a password"):
            signing.PrivateKey.read(path)


@pytest.mark.parametrize("kind", [signing.PrivateKey, signing.PublicKey, signing.UsignKey])
def test_files_that_are_not_keys(kind, tmp_path):
    path = tmp_path / "file"
    with pytest.raises(signing.KeyProblem, match="cannot read .*: No such file or directory"):
        kind.read(path)
    good = {signing.PrivateKey: KEY.pem(), signing.PublicKey: KEY.public.pem()}.get(kind, signing.UsignKey.new().private())
    path.write_text(good)
    kind.read(path)
    # Where a change is noticed: any number is a private key of P-256.
    places = {signing.PublicKey: range(27, 90), signing.UsignKey: range(len(good) - 80, len(good) - 4)}.get(kind, [])
    for text in ("", "x", good[: len(good) // 2], good[:-40], "\xff", *(_altered(good, place) for place in places)):
        path.write_text(text, encoding="latin-1")
        with pytest.raises(signing.KeyProblem, match="file is"):
            kind.read(path)


def _altered(text, place):
    return text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]


def test_a_key_of_usign():
    """The files are those that usign writes: the form was compared with usign of OpenWrt, by hand."""
    from nacl.signing import VerifyKey

    key = signing.UsignKey(bytes(range(8)), bytes(range(32)))
    public = base64.b64decode(key.public().splitlines()[1])
    signature = base64.b64decode(key.sign(b"text").splitlines()[1])
    assert public[:10] == signature[:10] == b"Ed" + bytes(range(8)) and (len(public), len(signature)) == (42, 74)
    VerifyKey(public[10:]).verify(b"text", signature[10:])
    assert key.sign(b"text").splitlines()[0] == "untrusted comment: signed by key 0001020304050607"


def test_a_key_of_usign_is_read_again(tmp_path):
    key = signing.UsignKey.new()
    path = tmp_path / "key"
    path.write_text(key.private())
    again = signing.UsignKey.read(path)
    assert (again.public(), again.sign(b"x")) == (key.public(), key.sign(b"x"))


def test_without_pynacl(monkeypatch):
    monkeypatch.setitem(sys.modules, "nacl.signing", None)
    with pytest.raises(signing.KeyProblem, match="PyNaCl is not installed"):
        signing.UsignKey.new()
