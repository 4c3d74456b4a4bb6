use std::time::Duration;

use pegasus_client::{Client, ClientOptions, Table};

use crate::failure::Failure;
use crate::flags::Parsed;
use crate::output::{self, Table as Printed};

/// What the shell remembers between commands (`spec/admin.md` 1.1).
pub struct Session {
    pub client: Client,
    pub meta_list: String,
    pub app_name: Option<String>,
    /// Opened by the first command that needs it; kept so that its routes are.
    opened: Option<Table>,
    /// Deadline of data operations.
    pub timeout: Duration,
    pub escape_all: bool,
    /// `-j` on the command line: everything as JSON.
    pub json: bool,
}

impl Session {
    pub fn connect(meta_list: &str, json: bool) -> Result<Session, pegasus_client::Error> {
        let client = Client::connect(meta_list, ClientOptions::default())?;
        Ok(Session {
            client,
            meta_list: meta_list.to_owned(),
            app_name: None,
            opened: None,
            timeout: Duration::from_millis(5000),
            escape_all: false,
            json,
        })
    }

    /// Moves to another cluster; nothing changes if its address is not one.
    pub fn reconnect(&mut self, meta_list: &str) -> Result<(), pegasus_client::Error> {
        let fresh = Session::connect(meta_list, self.json)?;
        *self = Session { timeout: self.timeout, escape_all: self.escape_all, ..fresh };
        Ok(())
    }

    /// Makes a table the current one. Whether it exists is found out when it is used.
    pub fn use_app(&mut self, app_name: &str) {
        self.app_name = Some(app_name.to_owned());
        self.opened = None;
    }

    /// The current table, ready for use.
    pub async fn table(&mut self) -> Result<Table, Failure> {
        let Some(name) = &self.app_name else {
            return Err(Failure::message("No app is using now\nUSAGE: use [app_name]"));
        };
        if self.opened.is_none() {
            self.opened = Some(self.client.table(name).await?);
        }
        match &self.opened {
            Some(table) => Ok(table.with_timeout(self.timeout)),
            None => Err(Failure::message("ERROR: the table could not be opened")),
        }
    }

    /// Prints tables as the command's and the shell's options ask for it: as text or JSON, to the
    /// screen or to a file.
    pub fn emit(&self, tables: &[Printed], parsed: &Parsed) -> Result<(), Failure> {
        let text = output::render_all(tables, self.json || parsed.has("json"));
        deliver(&text, parsed)
    }

    /// The same for a single table without an empty line after it.
    pub fn emit_one(&self, table: &Printed, parsed: &Parsed) -> Result<(), Failure> {
        let text = output::render_one(table, self.json || parsed.has("json"));
        deliver(&text, parsed)
    }

    /// Shows bytes in the way that is set.
    pub fn escape(&self, bytes: &[u8]) -> String {
        crate::text::escape(bytes, self.escape_all)
    }
}

fn deliver(text: &str, parsed: &Parsed) -> Result<(), Failure> {
    match parsed.text("output") {
        Some(path) => std::fs::write(&path, text)
            .map_err(|error| Failure::message(format!("ERROR: cannot write {path}: {error}"))),
        None => {
            print(text);
            Ok(())
        }
    }
}

/// Writes to stdout. When nobody reads it any more there is nothing left to do.
pub fn print(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}
