"""A plain redis-py Sentinel client that writes without a pause. Nothing in it knows of Vedette.

With SENTINEL_CA it speaks TLS to the Sentinels, with SENTINEL_USER and SENTINEL_PASSWORD it logs in there.
"""

import os
import time

from redis.exceptions import RedisError
from redis.sentinel import Sentinel

pairs = [place.rsplit(":", 1) for place in os.environ["SENTINELS"].split(",")]
login = {"socket_timeout": 0.5}
if "SENTINEL_CA" in os.environ:
    login |= {"ssl": True, "ssl_ca_certs": os.environ["SENTINEL_CA"]}
if "SENTINEL_USER" in os.environ:
    login |= {"username": os.environ["SENTINEL_USER"], "password": os.environ["SENTINEL_PASSWORD"]}
sentinel = Sentinel([(host, int(port)) for host, port in pairs], sentinel_kwargs=login)
master = sentinel.master_for(os.environ["GROUP"], socket_timeout=0.5)
name = os.environ.get("NAME", "redis-py")
number = 0
while True:
    number += 1
    try:
        master.set(f"written-by-{name}", number)
    except RedisError as error:
        print(error, flush=True)
    time.sleep(0.01)
