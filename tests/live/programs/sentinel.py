"""A plain Sentinel client that writes without a pause. Nothing in it knows of Vedette.

LIBRARY is redis or valkey. With SENTINEL_CA it speaks TLS to the Sentinels, with SENTINEL_USER and SENTINEL_PASSWORD it logs
in there. It says which number it tries to write, which was acknowledged, and where it writes whenever that is another place.
"""

import importlib
import os
import time

library = os.environ.get("LIBRARY", "redis")
errors = importlib.import_module(f"{library}.exceptions")
AnyError = errors.RedisError if library == "redis" else errors.ValkeyError
Sentinel = importlib.import_module(f"{library}.sentinel").Sentinel

pairs = [place.rsplit(":", 1) for place in os.environ["SENTINELS"].split(",")]
login = {"socket_timeout": 0.5}
if "SENTINEL_CA" in os.environ:
    login |= {"ssl": True, "ssl_ca_certs": os.environ["SENTINEL_CA"]}
if "SENTINEL_USER" in os.environ:
    login |= {"username": os.environ["SENTINEL_USER"], "password": os.environ["SENTINEL_PASSWORD"]}
sentinel = Sentinel([(host, int(port)) for host, port in pairs], sentinel_kwargs=login)
master = sentinel.master_for(os.environ["GROUP"], socket_timeout=0.5)
name = os.environ["NAME"]
number = 0
place = None
while True:
    number += 1
    print("try", number, flush=True)
    try:
        master.sadd(f"written-by-{name}", number)
        if place != master.connection_pool.master_address:
            place = master.connection_pool.master_address
            print("on", *place, flush=True)
        print("ack", number, flush=True)
    except AnyError as error:
        print(error, flush=True)
    time.sleep(0.01)
