// Plain ioredis Sentinel clients that write without a pause, one with its failover detector. Nothing
// in them knows of Vedette.

import Redis from "ioredis";

const sentinels = process.env.SENTINELS.split(",").map((place) => {
  const at = place.lastIndexOf(":");
  return { host: place.slice(0, at), port: Number(place.slice(at + 1)) };
});
for (const [key, failoverDetector] of [["ioredis", false], ["ioredis-detector", true]]) {
  const redis = new Redis({
    sentinels,
    name: process.env.GROUP,
    failoverDetector,
    commandTimeout: 500,
    // Without it a connection to a machine that hangs is kept: the detector is the other way out.
    socketTimeout: 1000,
    sentinelCommandTimeout: 500,
    maxRetriesPerRequest: 1,
  });
  redis.on("error", (error) => console.log(key, error.message));
  // ioredis ends for good if its detector hears of a change while it connects.
  redis.on("end", () => {
    console.log(key, "ended");
    redis.connect().catch((error) => console.log(key, error.message));
  });
  let number = 0;
  setInterval(() => redis.set(`written-by-${key}`, ++number).catch(() => {}), 10);
}
