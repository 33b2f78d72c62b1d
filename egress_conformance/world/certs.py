"""The world's own certificate authority."""

import base64
import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = datetime.timedelta(days=365)


def make_ca() -> tuple[bytes, bytes]:
    """Make a certificate authority.

    Returns:
        Certificate and key, PEM. The world's servers issue a certificate per host from it.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "egress-conformance world CA")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), _private(key)


@dataclass(frozen=True)
class Issuer:
    """The world's CA, to issue certificates for those who call on it.

    Attributes:
        certificate: PEM, in base64 as in a Secret.
        key: likewise.
    """

    certificate: str
    key: str

    def client(self, name: str) -> tuple[str, str]:
        """A client certificate with a name of its own.

        Args:
            name: its common name.

        Returns:
            Certificate and key, PEM in base64 as in a Secret.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(name, key.public_key())
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        return self._signed(builder), _encoded(_private(key))

    def rsa_server(self, host: str, *, digital_signature: bool) -> tuple[str, str]:
        """A server certificate with an RSA key, for key encipherment, as for the key exchange of old.

        Args:
            host: its name.
            digital_signature: it is for digital signatures too, which today's key exchanges need.

        Returns:
            Certificate and key, PEM in base64 as in a Secret.
        """
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        builder = (
            self._builder(host, key.public_key())
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(_key_usage(digital_signature=digital_signature, key_encipherment=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        )
        return self._signed(builder), _encoded(_private(key))

    def _builder(self, name: str, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> x509.CertificateBuilder:
        issuer = x509.load_pem_x509_certificate(base64.b64decode(self.certificate))
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(issuer.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    def _signed(self, builder: x509.CertificateBuilder) -> str:
        key = serialization.load_pem_private_key(base64.b64decode(self.key), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("the world's CA has an EC key")
        return _encoded(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def _key_usage(**uses: bool) -> x509.KeyUsage:
    """For these uses alone."""
    every = ("content_commitment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign")
    return x509.KeyUsage(**{**dict.fromkeys((*every, "encipher_only", "decipher_only"), False), **uses})


def _private(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()
