//! What a system under test consists of.

use vedette_model::NodeAddr;

/// The group of every plan. The dot is on purpose: it must be escaped in subjects.
pub const GROUP: &str = "orders.eu";

/// How many of each, and the group's settings.
#[derive(Debug, Clone)]
pub struct Plan {
    /// nats-servers: 1, or 3 as a cluster.
    pub nats: usize,
    /// Whether they have JetStream.
    pub jetstream: bool,
    /// Replicas beside the one master.
    pub replicas: usize,
    /// vedette-prober processes.
    pub probers: usize,
    /// vedette-voter processes.
    pub voters: usize,
    /// vedette-orchestrator processes.
    pub orchestrators: usize,
    /// vedette-notifier processes.
    pub notifiers: usize,
    /// More keys of the notifiers, as lines of TOML.
    pub notifier_keys: Vec<String>,
    /// The group's quorum.
    pub quorum: u32,
    /// The group's `down_after_ms`.
    pub down_after_ms: u64,
    /// The nodes' password.
    pub password: Option<String>,
    /// The password that the groups file names instead, if it is wrong.
    pub wrong_password: Option<String>,
    /// `json`, which [`crate::System::finish`] can read, or `text` for people.
    pub log_format: &'static str,
    /// More lines of the nodes' configuration files.
    pub node_lines: Vec<String>,
    /// Whether each orchestrator reaches NATS by a [`crate::Relay`].
    pub relayed: bool,
    /// More environment of the services.
    pub service_environment: Vec<(String, String)>,
    /// Whether [`crate::System::arm`] reaches the orchestrators.
    pub fault_points: bool,
    /// Whether each service has a port for health and metrics; [`System::http`](crate::System::http)
    /// says where.
    pub http: bool,
    /// More lines of the `[[group]]` table.
    pub settings: Vec<String>,
    /// More text of the groups file, with `{master}` and `{replica}` for addresses.
    pub more_groups: String,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            nats: 1,
            jetstream: true,
            replicas: 2,
            probers: 3,
            voters: 3,
            orchestrators: 2,
            notifiers: 1,
            notifier_keys: Vec::new(),
            quorum: 2,
            down_after_ms: 1_000,
            password: None,
            wrong_password: None,
            log_format: "json",
            node_lines: Vec::new(),
            relayed: false,
            service_environment: Vec::new(),
            fault_points: false,
            http: false,
            settings: vec![
                "failover_timeout_ms = 10000".into(),
                "hold_off_ms = 500".into(),
                // Tests make many failovers in a row; each is to come as soon as the first.
                "flap_window_ms = 0".into(),
            ],
            more_groups: String::new(),
        }
    }
}

impl Plan {
    /// The usual one for many failovers in a row. A master that died comes back empty, and not with
    /// what a synchronisation of long ago left on its disk: so many masters later the record would
    /// not know that history any more.
    pub fn of_many_failovers() -> Self {
        Self { node_lines: vec!["rdb-del-sync-files yes".into()], ..Self::default() }
    }

    /// The groups file of the plan.
    pub(crate) fn groups_file(&self, master: &NodeAddr, replica: Option<&NodeAddr>) -> String {
        let mut text = format!(
            "[[group]]\nname = \"{GROUP}\"\nmaster = \"{master}\"\nquorum = {}\n\
             down_after_ms = {}\n",
            self.quorum, self.down_after_ms
        );
        if let Some(password) = self.wrong_password.as_ref().or(self.password.as_ref()) {
            text += &format!("password = \"{password}\"\n");
        }
        for line in &self.settings {
            text += &format!("{line}\n");
        }
        let replica = replica.unwrap_or(master);
        text += &self
            .more_groups
            .replace("{master}", &master.to_string())
            .replace("{replica}", &replica.to_string());
        text
    }
}
