use pegasus_client::{Error, ErrorCode, Status};
use serde_json::{Value, json};

use crate::flags::FlagError;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub enum Failure {
    /// The words do not fit the command: the usage is shown, after an explanation if there is one.
    Usage(Option<String>),
    /// A finished message.
    Message(String),
    /// A finished message about an admin call that failed.
    Admin { code: ErrorCode, text: String },
    /// A data operation failed: `ERROR: <text>`.
    Data(Error),
}

impl Failure {
    /// The form of failed admin commands, e.g. `list apps failed, error=ERR_TIMEOUT (...)`.
    pub fn admin(what: &str, error: &Error) -> Failure {
        let text = format!("{what} failed, error={}", admin_text(error));
        Failure::Admin { code: error.code(), text }
    }

    pub fn message(text: impl Into<String>) -> Failure {
        Failure::Message(text.into())
    }

    pub fn not_supported(what: &str) -> Failure {
        Failure::Message(format!("ERROR: {what} is not supported yet"))
    }

    pub fn text(&self) -> String {
        match self {
            Failure::Usage(explanation) => explanation.clone().unwrap_or_default(),
            Failure::Message(text) | Failure::Admin { text, .. } => text.clone(),
            Failure::Data(error) => format!("ERROR: {}", data_text(error)),
        }
    }

    pub fn json(&self) -> Value {
        let code = match self {
            Failure::Data(error) => error.code(),
            Failure::Admin { code, .. } => *code,
            Failure::Usage(_) => ErrorCode::InvalidParameters,
            Failure::Message(_) => ErrorCode::Unknown,
        };
        json!({ "error": { "code": code.as_str(), "message": self.text() } })
    }
}

impl From<FlagError> for Failure {
    fn from(error: FlagError) -> Failure {
        Failure::Usage(Some(format!("ERROR: {error}")))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Data(error)
    }
}

/// The error's code, which scripts look for, and what happened, for people.
pub fn admin_text(error: &Error) -> String {
    match error {
        Error::Refused { code, hint, .. } if hint.is_empty() => code.to_string(),
        Error::NoSuchTable(_) => error.code().to_string(),
        _ => format!("{} ({error})", error.code()),
    }
}

/// The words of the reference's clients (`spec/admin.md` 1.8), and what happened behind them.
fn data_text(error: &Error) -> String {
    let words = match error {
        Error::NoSuchTable(_) => return "app not exist".to_owned(),
        Error::Storage { .. } => return status_words(error.status()).to_owned(),
        Error::InvalidArgument(text) => return text.clone(),
        Error::Timeout { .. } | Error::OutcomeUnknown { .. } => "timeout",
        Error::Unreachable { .. } | Error::ConnectionLost { .. } => "network failure",
        Error::NoPrimary { .. } => "server changed",
        Error::Refused { code, .. } => refusal_words(*code),
        _ => "unknown error",
    };
    format!("{words} ({error})")
}

fn refusal_words(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Timeout => "timeout",
        ErrorCode::ObjectNotFound => "object not found",
        ErrorCode::NetworkFailure => "network failure",
        ErrorCode::HandlerNotFound => "handler not found",
        ErrorCode::OperationDisabled => "operation disabled",
        ErrorCode::NotEnoughMember => "no enough member",
        ErrorCode::AppNotExist => "app not exist",
        ErrorCode::AppExist => "app already exist",
        ErrorCode::FileOperationFailed => "server internal error",
        ErrorCode::InvalidState => "server changed",
        ErrorCode::Busy => "app busy",
        ErrorCode::Splitting => "app splitting",
        ErrorCode::DiskInsufficient => "disk insufficient",
        _ => "unknown error",
    }
}

fn status_words(status: Option<Status>) -> &'static str {
    match status {
        Some(Status::NotFound) => "not found",
        Some(Status::Corruption) => "corruption",
        Some(Status::NotSupported) => "not supported",
        Some(Status::InvalidArgument) => "invalid argument",
        Some(Status::IoError) => "io error",
        Some(Status::MergeInProgress) => "merge in progress",
        Some(Status::Incomplete) => "incomplete",
        Some(Status::ShutdownInProgress) => "shutdown in progress",
        Some(Status::TimedOut) => "rocksdb time out",
        Some(Status::Aborted) => "aborted",
        Some(Status::Busy) => "busy",
        Some(Status::Expired) => "expired",
        Some(Status::TryAgain) => "try again",
        Some(Status::Ok) | None => "unknown error",
    }
}
