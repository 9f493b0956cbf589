//! The names of spans and attributes. The same ones, with their meanings, stand in
//! `observability/traces.md`; a test compares the two.

macro_rules! names {
    ($list:ident: $($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        $($(#[$doc])* pub const $name: &str = $text;)+
        /// All of them.
        pub const $list: &[&str] = &[$($name,)+];
    };
}

names! { SPANS:
    /// The root.
    INCIDENT = "incident",
    /// A prober finds the master down.
    DETECT = "detect",
    /// A voter finds that enough probers agree.
    VERDICT = "verdict",
    /// An orchestrator asks for votes.
    CANDIDACY = "candidacy",
    /// A voter answers a candidacy.
    BALLOT = "ballot",
    /// The members are looked at.
    SURVEY = "survey",
    /// One of them.
    INFO = "info",
    /// The choice.
    SELECT = "select",
    /// A record is written at a majority.
    COMMIT = "commit",
    /// A voter answers a proposal.
    ACCEPT = "accept",
    /// Clients' writes are made to wait.
    PAUSE_WRITES = "pause-writes",
    /// The target catches up.
    LEVEL = "level",
    /// The old master takes no writes any more.
    FREEZE = "freeze",
    /// Clients' writes wait no longer.
    UNPAUSE = "unpause",
    /// The new master's role is written down.
    SAVE = "save",
    /// The target is made master.
    PROMOTE = "promote",
    /// The new master is made known.
    ANNOUNCE = "announce",
    /// A node is made to follow the new master.
    REPOINT = "repoint",
    /// The old master is made to follow the new one.
    RETURN = "return",
    /// A gateway tells its clients of the new master.
    TELL = "tell",
    /// A notifier hands a message about the incident to a sink.
    NOTIFY = "notify",
    /// The command; its verb follows, as in `vedette status`.
    COMMAND = "vedette",
}

names! { ATTRIBUTES:
    /// Which group.
    GROUP = "vedette.group",
    /// Who recorded the span.
    SOURCE = "vedette.source",
    /// The epoch that the incident began in.
    EPOCH = "vedette.epoch",
    /// The epoch of the plan or the new master.
    NEW_EPOCH = "vedette.epoch.new",
    /// The master that failed.
    OLD_MASTER = "vedette.master.old",
    /// The new master.
    NEW_MASTER = "vedette.master.new",
    /// What an incident, a candidacy or an answer came to.
    OUTCOME = "vedette.outcome",
    /// Why, in words.
    REASON = "vedette.reason",
    /// What an incident began with, or what a ballot is wanted for.
    PURPOSE = "vedette.purpose",
    /// Bytes lost at most.
    LOSS = "vedette.loss.bytes",
    /// How old the failed master's last known offset was.
    LOSS_AGE = "vedette.loss.as_of_ms",
    /// What a prober found, as a word.
    EVIDENCE = "vedette.evidence",
    /// Since the last good reply.
    SILENCE = "vedette.silence_ms",
    /// Pings and connections tried since the last good reply.
    ATTEMPTS = "vedette.attempts",
    /// Which prober.
    PROBER = "vedette.prober",
    /// From where.
    PLACE = "vedette.place",
    /// How many probers must agree.
    QUORUM = "vedette.quorum",
    /// How many reports were counted.
    REPORTS = "vedette.reports",
    /// Which voter.
    VOTER = "vedette.voter",
    /// Which ballot.
    BALLOT_NUMBER = "vedette.ballot",
    /// Which revision of the record.
    REVISION = "vedette.revision",
    /// What is written: the plan, the master or the end.
    STAGE = "vedette.commit",
    /// How many candidacies the incident took.
    CANDIDACIES = "vedette.candidacies",
    /// Which node.
    NODE = "vedette.node",
    /// Which sink.
    SINK = "vedette.sink",
    /// What it was told.
    EVENTS = "vedette.events",
    /// Which try.
    TRY = "vedette.try",
    /// How many clients were told.
    SUBSCRIBERS = "vedette.subscribers",
    /// Which verb of the command.
    VERB = "vedette.verb",
    /// OpenTelemetry's.
    DB_SYSTEM = "db.system.name",
    /// OpenTelemetry's.
    DB_OPERATION = "db.operation.name",
    /// OpenTelemetry's.
    SERVER_ADDRESS = "server.address",
    /// OpenTelemetry's.
    SERVER_PORT = "server.port",
    /// OpenTelemetry's.
    MESSAGING_SYSTEM = "messaging.system",
    /// OpenTelemetry's.
    MESSAGING_OPERATION = "messaging.operation.name",
    /// OpenTelemetry's.
    MESSAGING_TYPE = "messaging.operation.type",
    /// OpenTelemetry's.
    MESSAGING_DESTINATION = "messaging.destination.name",
    /// OpenTelemetry's.
    EXECUTABLE = "process.executable.name",
    /// OpenTelemetry's.
    PID = "process.pid",
    /// OpenTelemetry's.
    EXIT_CODE = "process.exit.code",
    /// OpenTelemetry's.
    ERROR_TYPE = "error.type",
    /// OpenTelemetry's.
    USER = "user.name",
    /// OpenTelemetry's.
    HOST = "host.name",
}
