// A plain ioredis Sentinel client that writes without a pause, with its failover detector if DETECTOR
// is set. Nothing in it knows of Vedette. It says which number it tries to write, and which was
// acknowledged.

import Redis from "ioredis";
import { setTimeout as sleep } from "node:timers/promises";

const sentinels = process.env.SENTINELS.split(",").map((place) => {
  const at = place.lastIndexOf(":");
  return { host: place.slice(0, at), port: Number(place.slice(at + 1)) };
});
const redis = new Redis({
  sentinels,
  name: process.env.GROUP,
  failoverDetector: process.env.DETECTOR !== undefined,
  commandTimeout: 500,
  // Without it a connection to a machine that hangs is kept: the detector is the other way out.
  socketTimeout: 1000,
  sentinelCommandTimeout: 500,
  maxRetriesPerRequest: 1,
});
redis.on("error", (error) => console.log(error.message));
// ioredis ends for good if its detector hears of a change while it connects.
redis.on("end", () => {
  console.log("ended");
  redis.connect().catch((error) => console.log(error.message));
});
for (let number = 1; ; ++number) {
  console.log("try", number);
  try {
    await redis.sadd(`written-by-${process.env.NAME}`, number);
    console.log("ack", number);
  } catch (error) {
    console.log(error.message);
  }
  await sleep(10);
}
