"""A plain redis-py Sentinel client that writes without a pause. Nothing in it knows of Vedette."""

import os
import time

from redis.exceptions import RedisError
from redis.sentinel import Sentinel

pairs = [place.rsplit(":", 1) for place in os.environ["SENTINELS"].split(",")]
sentinel = Sentinel([(host, int(port)) for host, port in pairs], socket_timeout=0.5)
master = sentinel.master_for(os.environ["GROUP"], socket_timeout=0.5)
number = 0
while True:
    number += 1
    try:
        master.set("written-by-redis-py", number)
    except RedisError as error:
        print(error, flush=True)
    time.sleep(0.01)
