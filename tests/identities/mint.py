"""JSON Web Tokens as PyJWT makes them, with fresh keys: mint.py FOLDER

Writes keys into FOLDER, and one JSON object a line to standard output: the source that a token is
for, what is special about it, whom it speaks of, and the token.
"""

import base64
import hashlib
import hmac
import json
import sys
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

FOLDER = Path(sys.argv[1])
SECRET = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
NOW = int(time.time())
CLAIMS = {"sub": "42", "exp": NOW + 3600, "aud": "shop", "iss": "https://id.example"}

KEYS = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "rsa_other": rsa.generate_private_key(65537, 2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p256_other": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "p521": ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}


def pem(name):
    return KEYS[name].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def row(source, label, user, token):
    print(json.dumps({"variant": source, "label": label, "user": user, "value": token}))


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(header, claims, signature=b""):
    """What a library refuses to make."""
    return f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}.{b64(signature)}"


def confused(public):
    """A public key, which everybody knows, used as a secret."""
    signed = by_hand({"alg": "HS256", "typ": "JWT"}, CLAIMS).rsplit(".", 1)[0]
    return f"{signed}.{b64(hmac.new(public, signed.encode(), hashlib.sha256).digest())}"


for key in KEYS:
    (FOLDER / f"{key}.pem").write_bytes(pem(key))
(FOLDER / "secret").write_text(SECRET + "\n")
JWKS = [
    json.loads(RSAAlgorithm.to_jwk(KEYS["rsa"].public_key())) | {"kid": "r", "use": "sig"},
    json.loads(ECAlgorithm.to_jwk(KEYS["p256"].public_key())) | {"kid": "e", "alg": "ES256"},
    json.loads(OKPAlgorithm.to_jwk(KEYS["ed25519"].public_key())) | {"kid": "o"},
    json.loads(RSAAlgorithm.to_jwk(KEYS["rsa_other"].public_key())) | {"kid": "x", "use": "enc"},
    {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA", "kid": "k"},
]
(FOLDER / "jwks.json").write_text(json.dumps({"keys": JWKS}))

ALGORITHMS = {
    "HS256": ("secret", SECRET), "HS384": ("secret", SECRET), "HS512": ("secret", SECRET),
    "RS256": ("rsa", KEYS["rsa"]), "RS384": ("rsa", KEYS["rsa"]), "RS512": ("rsa", KEYS["rsa"]),
    "PS256": ("rsa", KEYS["rsa"]), "PS384": ("rsa", KEYS["rsa"]), "PS512": ("rsa", KEYS["rsa"]),
    "ES256": ("p256", KEYS["p256"]), "ES384": ("p384", KEYS["p384"]),
    "ES512": ("p521", KEYS["p521"]), "EdDSA": ("ed25519", KEYS["ed25519"]),
}
USUAL = {"HS256", "RS256", "ES256", "ES384", "ES512", "EdDSA"}

for algorithm, (source, key) in ALGORITHMS.items():
    token = jwt.encode(CLAIMS, key, algorithm)
    row(source, algorithm, "42" if algorithm in USUAL else None, token)
    row(f"{source}_all", f"{algorithm}, allowed", "42", token)
    row(source, f"{algorithm}, past", None, jwt.encode(CLAIMS | {"exp": NOW - 60}, key, algorithm))

for source, key, algorithm in [("rsa", "rsa_other", "RS256"), ("p256", "p256_other", "ES256")]:
    row(source, "another's key", None, jwt.encode(CLAIMS, KEYS[key], algorithm))
for source in ("rsa", "p256", "ed25519"):
    for form in (PublicFormat.SubjectPublicKeyInfo, ):
        der = KEYS[source].public_key().public_bytes(Encoding.DER, form)
        row(source, "the public key (DER) as a secret", None, confused(der))
    row(source, "the public key (PEM) as a secret", None, confused(pem(source)))
    row(source, "none", None, jwt.encode(CLAIMS, None, "none"))
    row(source, "nOnE", None, by_hand({"alg": "nOnE"}, CLAIMS))
    row(source, "its key brought along", None, jwt.encode(
        CLAIMS, KEYS["rsa_other"], "RS256",
        headers={"jwk": json.loads(RSAAlgorithm.to_jwk(KEYS["rsa_other"].public_key()))}))

for label, user, more in [
    ("from now on", "42", {"nbf": NOW}), ("not yet", None, {"nbf": NOW + 600}),
    ("within the leeway", "42", {"exp": NOW - 10}), ("no user", None, {"sub": None}),
    ("a number", "42", {"sub": 42}), ("for others", None, {"aud": "bank"}),
    ("for several", "42", {"aud": ["bank", "shop"]}), ("of others", None, {"iss": "https://x"}),
    ("another user", "7", {"sub": "7"}), ("exp as text", None, {"exp": str(NOW + 60)}),
]:
    claims = {name: value for name, value in (CLAIMS | more).items() if value is not None}
    # PyJWT has opinions about `sub` and `exp`; what it signs is told by us.
    token = jwt.PyJWS().encode(json.dumps(claims).encode(), KEYS["ed25519"], "EdDSA")
    row("strict", label, user, token)
row("strict", "endless", None, jwt.encode(
    {k: v for k, v in CLAIMS.items() if k != "exp"}, KEYS["ed25519"], "EdDSA"))
row("strict", "critical", None, jwt.encode(
    CLAIMS, KEYS["ed25519"], "EdDSA", headers={"crit": ["x"], "x": 1}))

for kid, user, key, algorithm in [
    ("r", "42", "rsa", "RS256"), ("e", "42", "p256", "ES256"), ("o", "42", "ed25519", "EdDSA"),
    ("e", None, "rsa", "RS256"), ("x", None, "rsa_other", "RS256"), ("gone", None, "rsa", "RS256"),
    ("../../etc/passwd", None, "rsa", "RS256"), (None, "42", "ed25519", "EdDSA"),
]:
    headers = {"kid": kid} if kid else None
    row("set", f"kid {kid} by {key}", user, jwt.encode(CLAIMS, KEYS[key], algorithm, headers=headers))
