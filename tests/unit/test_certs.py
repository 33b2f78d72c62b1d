"""Certificates the world's CA issues."""

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from egress_conformance.world.certs import Issuer, make_ca


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    certificate, key = (base64.b64encode(pem).decode() for pem in make_ca())
    return Issuer(certificate, key)


def loaded(issuer: Issuer, certificate: str, key: str) -> x509.Certificate:
    """A certificate that was issued by the CA for this key."""
    found = x509.load_pem_x509_certificate(base64.b64decode(certificate))
    found.verify_directly_issued_by(x509.load_pem_x509_certificate(base64.b64decode(issuer.certificate)))
    private = serialization.load_pem_private_key(base64.b64decode(key), password=None)
    assert private.public_key() == found.public_key()
    return found


def test_a_client_certificate_names_its_owner(issuer: Issuer) -> None:
    found = loaded(issuer, *issuer.client("a client"))
    assert found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "a client"
    uses = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.CLIENT_AUTH]


@pytest.mark.parametrize("digital_signature", [True, False])
def test_an_rsa_servers_certificate_says_what_its_key_is_for(issuer: Issuer, digital_signature: bool) -> None:
    found = loaded(issuer, *issuer.rsa_server("site.test", digital_signature=digital_signature))
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["site.test"]
    uses = found.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (uses.digital_signature, uses.key_encipherment, uses.key_cert_sign) == (digital_signature, True, False)
