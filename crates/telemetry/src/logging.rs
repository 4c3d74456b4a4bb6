use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::Subscriber;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::format::PegasusFormat;
use crate::panic_hook::install_panic_hook;

/// What goes where.
#[derive(Clone, Debug)]
pub struct TelemetryOptions {
    /// Directory of the log files, created if missing; None = stderr only, at `level`.
    pub dir: Option<PathBuf>,
    /// Lowest level, or a filter such as `info,pegasus_meta=debug`.
    pub level: String,
    /// The same for the copy on stderr.
    pub stderr_level: String,
    /// JSON lines in the files instead of text. Stderr is always text.
    pub json: bool,
    /// Files are named `<role>.log.<date>`, and `<role>.log` links to the newest.
    pub role: String,
    /// Daily files kept, at least 1.
    pub max_files: usize,
}

impl TelemetryOptions {
    /// Info to files in `dir`, warnings to stderr, 20 files.
    pub fn new(role: &str, dir: Option<PathBuf>) -> TelemetryOptions {
        TelemetryOptions {
            dir,
            level: "info".to_owned(),
            stderr_level: "warn".to_owned(),
            json: false,
            role: role.to_owned(),
            max_files: 20,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("log directory {dir}: {message}")]
    LogDirectory { dir: PathBuf, message: String },
    #[error("bad log level \"{level}\": {message}")]
    Level { level: String, message: String },
    #[error("logging or metrics were set up before in this process")]
    Twice,
    #[error("metrics: {0}")]
    Metrics(String),
}

/// Keeps the log writer alive: what is still queued is written when this is dropped, so it belongs
/// in `main`.
#[derive(Debug)]
pub struct Guard {
    levels: LevelHandle,
    dropped: Option<ErrorCounter>,
    _worker: Option<WorkerGuard>,
}

impl Guard {
    /// Changes the level while the process runs.
    pub fn levels(&self) -> LevelHandle {
        self.levels.clone()
    }

    /// Lines that were lost because the disk could not keep up; logging never blocks a thread.
    pub fn dropped_lines(&self) -> usize {
        self.dropped.as_ref().map_or(0, ErrorCounter::dropped_lines)
    }
}

/// The level in force for the files (or for stderr, when there are no files).
#[derive(Clone)]
pub struct LevelHandle {
    configured: Arc<str>,
    set: Arc<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>,
    get: Arc<dyn Fn() -> String + Send + Sync>,
}

impl std::fmt::Debug for LevelHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LevelHandle").field("configured", &self.configured).finish_non_exhaustive()
    }
}

impl LevelHandle {
    /// A level name, one of the reference's (`LOG_LEVEL_DEBUG`, `DEBUG`), or a filter.
    pub fn set(&self, level: &str) -> Result<(), TelemetryError> {
        let filter = filter(level)?;
        (self.set)(filter)
            .map_err(|message| TelemetryError::Level { level: level.to_owned(), message })
    }

    /// Back to what the process was started with.
    pub fn reset(&self) -> Result<(), TelemetryError> {
        self.set(&self.configured.clone())
    }

    pub fn current(&self) -> String {
        (self.get)()
    }
}

/// Sets logging up for the whole process, and the panic hook. Once per process.
pub fn init(options: &TelemetryOptions) -> Result<Guard, TelemetryError> {
    let (subscriber, guard) = build(options)?;
    subscriber.try_init().map_err(|_| TelemetryError::Twice)?;
    install_panic_hook();
    Ok(guard)
}

pub(crate) fn build(
    options: &TelemetryOptions,
) -> Result<(impl Subscriber + Send + Sync + 'static, Guard), TelemetryError> {
    let (main_filter, levels) = reloadable(&options.level)?;
    let Some(dir) = &options.dir else {
        let layers = vec![text_layer(std::io::stderr).with_filter(main_filter).boxed()];
        let guard = Guard { levels, dropped: None, _worker: None };
        return Ok((Registry::default().with(layers), guard));
    };
    let (writer, worker) = file_writer(dir, options)?;
    let dropped = Some(writer.error_counter());
    let layers = vec![
        file_layer(writer, options.json).with_filter(main_filter).boxed(),
        text_layer(std::io::stderr).with_filter(filter(&options.stderr_level)?).boxed(),
    ];
    let guard = Guard { levels, dropped, _worker: Some(worker) };
    Ok((Registry::default().with(layers), guard))
}

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

fn text_layer<W>(writer: W) -> BoxedLayer
where
    W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
    layer.event_format(PegasusFormat).boxed()
}

fn file_layer(writer: NonBlocking, json: bool) -> BoxedLayer {
    if !json {
        return text_layer(writer);
    }
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
    layer.json().with_thread_names(true).with_line_number(true).boxed()
}

fn file_writer(
    dir: &Path,
    options: &TelemetryOptions,
) -> Result<(NonBlocking, WorkerGuard), TelemetryError> {
    let failed = |message: String| TelemetryError::LogDirectory { dir: dir.to_owned(), message };
    std::fs::create_dir_all(dir).map_err(|error| failed(error.to_string()))?;
    let name = format!("{}.log", options.role);
    let appender = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix(&name)
        .latest_symlink(&name)
        .max_log_files(options.max_files.max(1))
        .build(dir)
        .map_err(|error| failed(error.to_string()))?;
    // A full queue drops lines and counts them: a shard thread must never wait for a log file.
    let builder = NonBlockingBuilder::default().lossy(true).thread_name("log-writer");
    Ok(builder.finish(appender))
}

type ReloadableFilter = reload::Layer<EnvFilter, Registry>;

fn reloadable(level: &str) -> Result<(ReloadableFilter, LevelHandle), TelemetryError> {
    let (layer, handle) = reload::Layer::new(filter(level)?);
    let set_handle = handle.clone();
    let levels = LevelHandle {
        configured: Arc::from(level),
        set: Arc::new(move |filter| set_handle.reload(filter).map_err(|error| error.to_string())),
        get: Arc::new(move || handle.with_current(ToString::to_string).unwrap_or_default()),
    };
    Ok((layer, levels))
}

fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    let directive = match level.strip_prefix("LOG_LEVEL_").unwrap_or(level) {
        "DEBUG" => "debug",
        "INFO" => "info",
        "WARNING" => "warn",
        "ERROR" | "FATAL" => "error",
        _ => level,
    };
    let failed = |message: String| TelemetryError::Level { level: level.to_owned(), message };
    // A lone word that is no level would be taken for the name of a module.
    let lone = !directive.contains(['=', ',']);
    if lone && directive.parse::<tracing_subscriber::filter::LevelFilter>().is_err() {
        return Err(failed("expected a level or a filter such as info,module=debug".to_owned()));
    }
    EnvFilter::try_new(directive).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn options(dir: &Path) -> TelemetryOptions {
        TelemetryOptions {
            stderr_level: "off".to_owned(),
            ..TelemetryOptions::new("meta", Some(dir.to_owned()))
        }
    }

    #[test]
    fn lines_begin_as_the_reference_ones_do() {
        let dir = tempfile::tempdir().unwrap();
        let (subscriber, guard) = build(&options(dir.path())).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("request", id = 7);
            let _entered = span.enter();
            tracing::warn!(table = "temp", "slow");
            tracing::debug!("hidden");
        });
        assert_eq!(guard.dropped_lines(), 0);
        drop(guard);
        let text = std::fs::read_to_string(dir.path().join("meta.log")).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("W20"), "{text}");
        assert!(text.contains("request{id=7}: slow table=\"temp\""), "{text}");
    }

    #[test]
    fn the_level_changes_at_run_time() {
        let dir = tempfile::tempdir().unwrap();
        let json = TelemetryOptions { json: true, ..options(dir.path()) };
        let (subscriber, guard) = build(&json).unwrap();
        let levels = guard.levels();
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!("one");
            levels.set("DEBUG").unwrap();
            assert_eq!(levels.current(), "debug");
            tracing::debug!("two");
            levels.set("error,pegasus_telemetry=info").unwrap();
            tracing::info!("three");
            levels.reset().unwrap();
            tracing::debug!("four");
        });
        assert!(levels.set("loud").is_err());
        drop(guard);
        let text = std::fs::read_to_string(dir.path().join("meta.log")).unwrap();
        let found: Vec<bool> =
            ["one", "two", "three", "four"].iter().map(|word| text.contains(word)).collect();
        assert_eq!(found, [false, true, true, false], "{text}");
        assert!(text.lines().all(|line| line.starts_with('{') && line.ends_with('}')));
    }

    #[test]
    fn old_files_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        for day in 10..20 {
            std::fs::write(dir.path().join(format!("meta.log.2020-01-{day}")), "").unwrap();
        }
        let few = TelemetryOptions { max_files: 3, ..options(dir.path()) };
        let (_, guard) = build(&few).unwrap();
        drop(guard);
        let files = std::fs::read_dir(dir.path()).unwrap();
        assert_eq!(files.filter(|f| f.as_ref().unwrap().metadata().unwrap().is_file()).count(), 3);
    }

    #[test]
    fn bad_levels_and_directories_are_errors() {
        assert!(filter("LOG_LEVEL_FATAL").is_ok());
        assert!(filter("info,pegasus_meta=debug").is_ok());
        assert!(filter("info,x=loud").is_err());
        let file = tempfile::NamedTempFile::new().unwrap();
        let below = options(&file.path().join("log"));
        assert!(matches!(build(&below), Err(TelemetryError::LogDirectory { .. })));
    }
}
