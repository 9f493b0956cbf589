// Who is master of a group of Vedette, now and at each change; for nats. To be copied into an application.

const answerLimit = 1000; // ms for an orchestrator to answer, and for JetStream
const askEvery = 5000; // ms; asked again although nothing seems wrong: an announcement may get lost
const pause = 200; // ms, at the least, between two questions

/**
 * Follows a group, by its plain name, with a connection of nats.
 *
 * `moved` is called with the present master first, then with the new one at each change, each as the object that was announced:
 * `host`, `port`, `epoch` and what else README.md lists. No epoch ever follows a higher one. While nobody knows who is master, it is
 * not called. `prefix` is the word at the beginning of all subjects, as the services have it in `nats.prefix`.
 *
 * Returns `doubt()`, which has the master asked for again soon, to be called after each error of the connection to Redis, `READONLY`
 * too; and `stop()`. The connection to NATS stays the application's own.
 */
export function follow(nats, group, moved, prefix = "vedette") {
  const name = group.replace(/[^A-Za-z0-9_-]/gu, (c) =>
    [...Buffer.from(c)].map((b) => "=" + b.toString(16).toUpperCase().padStart(2, "0")).join(""));
  let epoch = 0, revision = 0, doubted = false, stopped = false, wake = () => {};

  /** Takes a record over if it is newer; says whether it was one. */
  function consider(message) {
    let record;
    try {
      record = message.json();
    } catch {
      return false;
    }
    if (record?.schema !== 1 || !(record.epoch >= 0 && record.revision >= 0)) return false;
    if (stopped || record.epoch < epoch || (record.epoch === epoch && record.revision <= revision)) return true; // never back
    const higher = record.epoch > epoch;
    ({ epoch, revision } = record);
    if (higher) moved(record);
    return true;
  }

  function hear(message) {
    // What a stream hands over is nobody's word: whoever reads one chooses where it goes.
    return !(message.reply?.startsWith("$JS.ACK.") || message.headers?.has("Nats-Stream")) && consider(message);
  }

  /** The last master that was retained; it may be out of date. */
  async function lookUp() {
    // For applications in an account of their own JetStream is a domain named as the prefix; elsewhere nobody serves that.
    for (const domain of [prefix, undefined]) {
      try {
        const { streams } = await nats.jetstreamManager({ domain, timeout: answerLimit, checkAPI: false });
        consider(await streams.getMessage(`KV_${prefix}-masters`, { last_by_subj: `$KV.${prefix}-masters.${name}` }));
        return;
      } catch (error) {
        if (error.code !== "503") return; // it is served, and knows of none
      }
    }
  }

  async function askForEver() {
    while (!stopped && !nats.isClosed()) {
      doubted = false;
      const answer = await nats.request(`${prefix}.v1.ask.master.${name}`, "", { timeout: answerLimit }).catch(() => null);
      if (!(answer && hear(answer))) await lookUp();
      await new Promise((resolve) => setTimeout(resolve, pause));
      if (!doubted) await new Promise((resolve) => setTimeout(wake = resolve, askEvery - pause).unref());
    }
  }

  function doubt() {
    doubted = true;
    wake();
  }

  // Before the first question, so that no change between the two is missed.
  const subscription = nats.subscribe(`${prefix}.v1.master.${name}`, { callback: (error, message) => error || hear(message) });
  askForEver();
  (async () => {
    // What was announced while there was no connection has been missed.
    for await (const status of nats.status()) if (status.type === "reconnect") doubt();
  })();
  return {
    doubt,
    stop() {
      stopped = true;
      subscription.unsubscribe();
    },
  };
}
