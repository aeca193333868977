"""Reads a seed with nkeys of PyPI, signs, verifies with the public key, and prints both."""
import json
import sys

import nkeys

seed = bytearray(open(sys.argv[1], "rb").read().strip())
pair = nkeys.from_seed(seed)
public = pair.public_key.decode()
signature = pair.sign(b"text")
print(json.dumps({"public": public, "verified": pair.verify(b"text", signature)}))
