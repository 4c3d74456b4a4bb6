use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::{Timestamp, Zoned};
use pegasus_client::{Client, CreateTable, Error, Filter, MultiGet, Table};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tracing::{debug, error, info, warn};

use crate::board::{Board, Change};
use crate::probe::{Latencies, hash_keys, probe};
use crate::windows::{Counts, Report, Span};

/// How often the table's number of partitions is looked at.
const RECHECK: Duration = Duration::from_secs(60);

/// Windows are closed and reports stored at this pace.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// What the detector does; read from `[pegasus.collector]`.
#[derive(Clone, Debug)]
pub struct Settings {
    pub cluster: String,
    /// Table that is probed and that receives the reports.
    pub table: String,
    /// Between two probes of one partition.
    pub interval: Duration,
    /// Of each set, get and delete.
    pub timeout: Duration,
    /// Failures of one partition in a row that raise an alert.
    pub alert_after: u32,
    /// Who is told about alerts besides the log.
    pub mail: Option<Mail>,
    /// How long reports are kept; `None`: for ever.
    pub report_ttl: Option<Duration>,
    /// A table that is missing this long is created. Not at once, because the meta server makes
    /// the cluster's first tables itself.
    pub create_after: Duration,
    /// Sort key of the probes; tells this collector's from another's.
    pub prober: String,
}

/// `sendmail.sh` in `directory` is run with this address.
#[derive(Clone, Debug)]
pub struct Mail {
    pub directory: PathBuf,
    pub address: String,
}

/// Probes every partition of a table for ever and keeps the score on a [`Board`].
#[derive(Debug)]
pub struct Detector {
    client: Client,
    settings: Settings,
    board: Arc<Board>,
    /// Makes every value written by this process different.
    values: AtomicU64,
    latencies: Latencies,
}

impl Detector {
    pub fn new(client: Client, settings: Settings, board: Arc<Board>) -> Detector {
        Detector { client, settings, board, values: AtomicU64::new(0), latencies: Latencies::new() }
    }

    /// Never returns; drop the future to stop. Probes under way are then given up.
    pub async fn run(self: Arc<Self>) {
        let mut restored = false;
        loop {
            let table = self.open().await;
            if !restored {
                restored = self.restore(&table).await;
            }
            self.watch(&table).await;
        }
    }

    /// Waits for the table.
    async fn open(&self) -> Table {
        let name = &self.settings.table;
        let begin = Instant::now();
        let mut told = false;
        loop {
            let error = match self.client.table(name).await {
                Ok(table) => return table.with_timeout(self.settings.timeout),
                Err(error) => error,
            };
            self.board.set_waiting(&error.to_string());
            if !told {
                warn!(table = %name, %error, "cannot open the table to probe, trying on");
                told = true;
            }
            let missing = matches!(error, Error::NoSuchTable(_));
            if missing && begin.elapsed() >= self.settings.create_after {
                match self.client.create_table(name, &CreateTable::default()).await {
                    Ok(app_id) => info!(table = %name, app_id, "created the table to probe"),
                    Err(error) => warn!(table = %name, %error, "cannot create the table to probe"),
                }
            }
            tokio::time::sleep(self.settings.interval).await;
        }
    }

    /// Fetches what was counted earlier in this hour and day, before a restart. False if the
    /// cluster could not be asked.
    async fn restore(&self, table: &Table) -> bool {
        let now = Zoned::now();
        let day = Span::Day.label(&now);
        let what = MultiGet::all().filter(Filter::Prefix(day.clone().into()));
        let minutes = match table.multi_get(Span::Minute.hash_key(), &what).await {
            Ok(result) => result.kvs,
            Err(error) => {
                warn!(%error, "the earlier results of today are not known");
                return false;
            }
        };
        let hour = Span::Hour.label(&now);
        let (mut of_hour, mut of_day) = (Counts::default(), Counts::default());
        for (label, line) in &minutes {
            if let Some(counts) = std::str::from_utf8(line).ok().and_then(Counts::parse) {
                of_day.add(counts);
                if label.starts_with(hour.as_bytes()) {
                    of_hour.add(counts);
                }
            }
        }
        info!(minutes = minutes.len(), detect = of_day.detect, "restored the results of today");
        self.board.with_windows(|windows| {
            windows.add(Span::Hour, hour, of_hour);
            windows.add(Span::Day, day, of_day);
        });
        true
    }

    /// Probes until the number of partitions changes or the table is gone.
    async fn watch(self: &Arc<Self>, table: &Table) {
        // The handle's own count may date from before a split.
        let partitions = match self.client.query_config(table.name()).await {
            Ok(config) => config.partition_count(),
            Err(_) => table.partition_count(),
        };
        let keys = hash_keys(partitions);
        info!(table = table.name(), partitions, "probing");
        self.board.set_partitions(&keys);
        // Dropped, and with it every probe, when this function ends.
        let mut probers = JoinSet::new();
        let count = u32::try_from(keys.len()).unwrap_or(u32::MAX).max(1);
        for (partition, key) in keys.into_iter().enumerate() {
            // Spread over the interval, not all at once.
            let turn = u32::try_from(partition).unwrap_or(u32::MAX);
            let offset = (self.settings.interval / count).saturating_mul(turn);
            let (detector, table) = (Arc::clone(self), table.clone());
            probers
                .spawn(async move { detector.probe_for_ever(table, partition, key, offset).await });
        }
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut checked = Instant::now();
        loop {
            housekeeping.tick().await;
            self.report(table).await;
            if checked.elapsed() >= RECHECK {
                checked = Instant::now();
                if self.has_changed(table, partitions).await {
                    return;
                }
            }
        }
    }

    async fn has_changed(&self, table: &Table, partitions: usize) -> bool {
        match self.client.query_config(table.name()).await {
            Ok(config) => config.partition_count() != partitions,
            Err(Error::NoSuchTable(_)) => true,
            // An outage is what the probes are for.
            Err(_) => false,
        }
    }

    async fn probe_for_ever(
        &self,
        table: Table,
        partition: usize,
        hash_key: String,
        offset: Duration,
    ) {
        tokio::time::sleep(offset).await;
        let mut turns = tokio::time::interval(self.settings.interval.max(Duration::from_millis(1)));
        turns.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            turns.tick().await;
            let started = Zoned::now();
            let value = self.next_value();
            let prober = &self.settings.prober;
            let latencies = &self.latencies;
            let result = probe(&table, partition, &hash_key, prober, &value, latencies).await;
            let change = self.board.record(partition, &started, &result, self.settings.alert_after);
            let table = &self.settings.table;
            if let Err(failure) = &result {
                debug!(%table, partition, %failure, "probe failed");
            }
            match change {
                Change::None => {}
                Change::Failing => {
                    let failure = result.err().map(|failure| failure.to_string());
                    warn!(%table, partition, failure, "partition does not answer probes");
                }
                Change::Recovered { after } => {
                    info!(%table, partition, failures = after, "partition answers probes again");
                }
                Change::Alert { failures } => self.alert(partition, failures).await,
            }
        }
    }

    fn next_value(&self) -> String {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        format!("detect_value_{seconds}_{}", self.values.fetch_add(1, Ordering::Relaxed))
    }

    /// An error in the log is for a person; so is the mail, if one is wanted.
    async fn alert(&self, partition: usize, failures: u32) {
        let Settings { cluster, table, .. } = &self.settings;
        error!(%cluster, %table, partition, failures, "ALERT: partition is not available");
        let Some(mail) = &self.settings.mail else {
            return;
        };
        let mut command = Command::new("bash");
        command
            .args(["sendmail.sh", "alert", &mail.address, cluster, table, &partition.to_string()])
            .current_dir(&mail.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        match tokio::task::spawn_blocking(move || command.status()).await {
            Ok(Ok(status)) if status.success() => {}
            Ok(Ok(status)) => warn!(%status, "sendmail.sh failed"),
            Ok(Err(error)) => warn!(%error, "sendmail.sh could not be run"),
            Err(error) => warn!(%error, "sendmail.sh could not be run"),
        }
    }

    /// Closes the windows that have ended, logs them and stores them in the table.
    async fn report(&self, table: &Table) {
        // A probe takes at most three operations.
        let longest = self.settings.timeout.saturating_mul(3);
        let longest = i64::try_from(longest.as_secs().saturating_add(1)).unwrap_or(i64::MAX);
        let settled = Timestamp::now().as_second().saturating_sub(longest);
        let Ok(settled) = Timestamp::from_second(settled) else {
            return;
        };
        let settled = settled.to_zoned(jiff::tz::TimeZone::system());
        for Report { span, label, counts } in self.board.close(&settled) {
            let Counts { detect, success } = counts;
            let (span, ratio) = (span.name(), counts.ratio());
            info!(span, label, detect, success, ratio, "availability");
        }
        for span in Span::ALL {
            metrics::gauge!("pegasus_availability_ratio", "window" => span.name())
                .set(self.board.ratio(span));
        }
        // Those that cannot be stored now are tried again with the next window.
        while let Some(report) = self.board.first_unstored() {
            let (hash_key, line) = (report.span.hash_key(), report.counts.line());
            let ttl = self.settings.report_ttl;
            if let Err(error) = table.set(&hash_key, &report.label, &line, ttl).await {
                debug!(%error, label = report.label, "a report could not be stored yet");
                return;
            }
            self.board.stored(&report);
        }
    }
}
