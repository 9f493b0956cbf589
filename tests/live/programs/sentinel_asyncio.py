"""As sentinel.py, with redis-py's asyncio client."""

import asyncio
import os

from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisError


async def main():
    pairs = [place.rsplit(":", 1) for place in os.environ["SENTINELS"].split(",")]
    sentinel = Sentinel([(host, int(port)) for host, port in pairs], sentinel_kwargs={"socket_timeout": 0.5})
    master = sentinel.master_for(os.environ["GROUP"], socket_timeout=0.5)
    name = os.environ["NAME"]
    number = 0
    while True:
        number += 1
        print("try", number, flush=True)
        try:
            await master.sadd(f"written-by-{name}", number)
            print("ack", number, flush=True)
        except RedisError as error:
            print(error, flush=True)
        await asyncio.sleep(0.01)


asyncio.run(main())
