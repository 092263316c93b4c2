"""Gets an access token with a signed token (RFC 7523) by Authlib, and reads with it.

Usage: private_key_jwt.py ROOT ISSUER CLIENT_ID KEY_FILE
ROOT is where the server is, ISSUER what it calls itself; KEY_FILE is a private key as PEM.
"""

import sys

from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import ECKey

root, issuer, client_id, key_file = sys.argv[1:]
with open(key_file, encoding="ascii") as file:
    key = ECKey.import_key(file.read())
session = OAuth2Session(client_id, key, token_endpoint_auth_method="private_key_jwt", scope="User:read")
session.trust_env = False
session.register_client_auth_method(PrivateKeyJWT(f"{issuer}/oauth/token", alg="ES256"))
token = session.fetch_token(f"{root}/oauth/token", grant_type="client_credentials")
assert token["scope"] == "User:read", token
answer = session.get(f"{root}/scim/v2/Users")
assert answer.status_code == 200, answer.text
print("read", answer.json()["totalResults"], "users")
